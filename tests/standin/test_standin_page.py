"""The page about the stand-in names what is tested, and tells its options."""

import re
from pathlib import Path

import pytest

from techmart_fast.standin.process import arguments_of

FOLDER = Path(__file__).parent
PAGE = (FOLDER.parents[1] / "docs" / "stand-in.md").read_text(encoding="utf-8")
TESTED = "\n".join(
    path.read_text(encoding="utf-8")
    for path in [*FOLDER.glob("test_*.py"), *FOLDER.glob("*.jsonl")]
)


def functions() -> list[str]:
    """The functions of the table under its heading."""
    section = PAGE.split("### Functions")[1].split("\n## ")[0]
    return sorted(set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", section)))


@pytest.mark.parametrize("function", functions())
def test_a_function_that_the_page_names_is_tested(function: str) -> None:
    assert re.search(rf"\b{function}\b", TESTED)


def test_the_page_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments_of(["--help"])
    options = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert options == set(re.findall(r"--[a-z][a-z-]+", PAGE))
