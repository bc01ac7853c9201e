"""The examples of the README run as they stand, in their order, in an empty folder."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from techmart_fast.cli.framework import PROGRAM, Command
from techmart_fast.cli.invocation import Invocation
from techmart_fast.cli.main import cli
from techmart_fast.cli.reference import walk
from techmart_fast.contract import parse_contract

CHECKOUT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"(?P<mark><!-- not run: [^>]+ -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SECONDS = 120
LEAVES = {
    tuple(name.split()[1:]): command
    for name, command in walk(cli, [PROGRAM])
    if isinstance(command, Command)
}


@dataclass(frozen=True, slots=True)
class Example:
    """A block of the README. `runs`: it is tried out, not only read."""

    language: str
    code: str
    runs: bool

    def __str__(self) -> str:
        return self.code.strip().splitlines()[0][:50]


def examples() -> list[Example]:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    return [
        Example(found["language"], found["code"], found["mark"] is None)
        for found in BLOCK.finditer(text)
    ]


def commands(code: str) -> Iterator[list[str]]:
    """The calls of the program in a shell block, as words without the program's name."""
    for line in code.splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == PROGRAM:
            yield words[1:]


RUNNABLE = [one for one in examples() if one.runs and one.language in {"bash", "python"}]
# Setting up an environment within the tests of that environment would prove nothing more.
STEPS = [one for one in RUNNABLE if not one.code.startswith("make ")]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[list[str]], str]]:
    """Runs a command in an empty folder with a home of its own; its servers are kept meanwhile."""
    folder = tmp_path_factory.mktemp("readme")
    activated = Path(sys.executable).parent
    assert (activated / PROGRAM).exists(), f"not installed here; run: make setup ({activated})"
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TECHMART_", "POSTGRES_", "BIGQUERY_", "GOOGLE_", "PYTHONPATH"))
    }
    environment = kept | {
        "TECHMART_HOME": str(folder / "home"),
        "PATH": f"{activated}:{kept['PATH']}",
    }

    def run(command: list[str]) -> str:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            cwd=folder,
            env=environment,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    run([PROGRAM, "local", "start"])
    # `make run` comes first in the README.
    run([PROGRAM, "run", "--quiet"])
    yield run
    run([PROGRAM, "local", "stop"])


@pytest.mark.parametrize("example", STEPS, ids=str)
def test_an_example_runs_as_it_stands(example: Example, shell: Callable[[list[str]], str]) -> None:
    if example.language == "python":
        assert shell([sys.executable, "-W", "error", "-c", example.code])
    else:
        assert shell(["bash", "-euo", "pipefail", "-c", example.code])


@pytest.mark.parametrize(
    "words", [words for one in examples() for words in commands(one.code)], ids=shlex.join
)
def test_every_command_line_is_one_that_the_program_understands(words: list[str]) -> None:
    named = [len(path) for path in LEAVES if words[: len(path)] == list(path)]
    assert named
    LEAVES[tuple(words[: named[0]])].make_context(PROGRAM, words[named[0] :], obj=Invocation())


def test_the_contract_of_the_readme_is_one() -> None:
    [example] = [one for one in examples() if one.language == "toml"]
    contract = parse_contract(example.code, name="README.md")
    assert contract.transactions.source_name("amount") == "total"


def test_most_examples_are_tried_out() -> None:
    assert len(STEPS) >= 5
    assert {one.language for one in STEPS} == {"bash", "python"}
