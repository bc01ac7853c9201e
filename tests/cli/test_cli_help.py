"""Help teaches: every command, option and example; the reference pages say the same."""

import shlex
import subprocess
import sys
from itertools import pairwise

import click
import pytest
from cli_support import CHECKOUT, call

from techmart_fast.cli.commands import dev, quarantine, report
from techmart_fast.cli.framework import PROGRAM, ByteSize, Command
from techmart_fast.cli.invocation import Invocation
from techmart_fast.cli.main import cli
from techmart_fast.cli.reference import pages, walk
from techmart_fast.dev import DEFAULT_SHARES, Compression, FileFormat, ShopSpec
from techmart_fast.errors import ExitCode
from techmart_fast.records import Feed
from techmart_fast.warehouse import ReportKind

COMMANDS = dict(walk(cli, [PROGRAM]))
LEAVES = {name: command for name, command in COMMANDS.items() if isinstance(command, Command)}
HEAVY = ("pyarrow", "numpy", "pydantic", "rich", "structlog", "asyncpg", "google.cloud", "duckdb")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_fits_the_list_of_its_group(name: str) -> None:
    help_text = COMMANDS[name].help or ""
    assert len(help_text.split("\n\n")[0]) <= 80
    assert not COMMANDS[name].get_short_help_str(limit=62).endswith("...")


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_has_help(name: str) -> None:
    options = [param for param in LEAVES[name].params if isinstance(param, click.Option)]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_has_examples_that_it_understands(name: str) -> None:
    command = LEAVES[name]
    assert command.examples
    path = name.split()[1:]
    for meaning, line in command.examples:
        words = shlex.split(line.partition(" < ")[0].partition(" > ")[0])
        assert words[: len(path)] == path, meaning
        command.make_context(name, words[len(path) :], obj=Invocation())


def test_the_list_of_commands_begins_with_run() -> None:
    assert next(iter(cli.commands)) == "run"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from techmart_fast.cli.main import main; main(['--help']); "
        "main(['run', '--help']); main(['dev', 'generate', '--help']); "
        f"sys.exit(', '.join(name for name in {HEAVY} if name in sys.modules) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=CHECKOUT,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    called = call(capsys, "--version")
    assert called.code == 0
    assert called.out.startswith("techmart-fast 0.")


def test_help_shows_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    said = call(capsys, "--help").out
    words = said.partition("Exit codes:")[2].replace(",", " ").split()
    assert {str(int(code)) for code in ExitCode} <= set(words)


@pytest.mark.parametrize("page", ["cli.md", "settings.md"])
def test_the_reference_pages_are_up_to_date(page: str) -> None:
    written = (CHECKOUT / "docs" / "reference" / page).read_text(encoding="utf-8")
    assert written == pages(cli)[page], "run: python -m techmart_fast dev reference"


def test_the_reference_names_every_command_and_option() -> None:
    text = pages(cli)["cli.md"]
    for name, command in COMMANDS.items():
        assert f"## {name}\n" in text
        for param in command.params:
            unlisted = isinstance(param, click.Argument) or param.name == "version"
            assert unlisted or f"`{param.opts[-1]}`" in text


def test_the_words_that_commands_list_are_those_of_the_code() -> None:
    assert tuple(FileFormat) == dev.FORMATS
    assert tuple(Compression) == dev.COMPRESSIONS
    assert set(quarantine.FEEDS) == set(Feed)
    assert set(report.report.commands) == set(ReportKind)
    assert report.PERIODS == ("daily", "weekly", "monthly", "quarterly", "yearly")


def test_the_options_of_generate_are_those_of_a_shop() -> None:
    options = {param.name: param for param in dev.generate.params if param.name != "as_json"}
    fields = ShopSpec.__dataclass_fields__
    own = {name for name in options if name in fields}
    assert own == set(fields)
    for name in ("transactions", "users", "products", "seed", "split", "days"):
        assert options[name].default == fields[name].default
    assert str(fields["defects"].default) == options["defects"].default
    assert str(fields["end"].default) == options["end"].default


def test_generate_lists_the_kinds_of_defects_with_their_shares() -> None:
    assert dev.generate.facts is not None
    told = {word: meaning.partition(",")[0] for word, meaning in dev.generate.facts.rows}
    assert told == {kind.value: str(share) for kind, share in DEFAULT_SHARES.items()}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1 << 20),
        ("16MiB", 16 << 20),
        ("16 mib", 16 << 20),
        ("1.5GB", 1_500_000_000),
        ("64k", 64 << 10),
        ("2M", 2 << 20),
        ("10B", 10),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert ByteSize().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "MiB", "16 parsecs", "-1", "1e3", "nan"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        ByteSize().convert(text, None, None)


def test_byte_units_of_powers_of_two_and_ten_differ() -> None:
    sizes = [ByteSize().convert(text, None, None) for text in ("1kB", "1KiB", "1MB", "1MiB")]
    assert all(smaller < larger for smaller, larger in pairwise(sizes))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    called = call(capsys, "dev", "completion", shell)
    assert called.code == 0
    assert "_TECHMART_FAST_COMPLETE" in called.out
