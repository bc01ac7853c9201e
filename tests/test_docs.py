"""The pages: links lead somewhere, and tables say what the code says."""

import re
from pathlib import Path

import pytest

from techmart_fast.cli.main import cli
from techmart_fast.errors import ExitCode
from techmart_fast.version import VERSION

CHECKOUT = Path(__file__).parents[1]
PAGES = sorted(
    page for page in [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")] if page.is_file()
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
MACHINE = re.compile(r"/(?:tmp|home|root|work|Users)/[a-z]|localhost:\d|#\d{1,4}\b")


def name(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


def readme() -> str:
    return (CHECKOUT / "README.md").read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """Anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(CHECKOUT), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_names_a_place_on_one_machine(page: Path) -> None:
    assert MACHINE.findall(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_page_begins_with_its_title_and_closes_its_fences(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert text.count("\n```") % 2 == 0


def test_files_named_in_backticks_exist() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = set(
        re.findall(r"`((?:techmart_fast|schemas|contracts|docs|data|tests)/[\w./-]+)`", text)
    )
    assert [path for path in sorted(named) if not (CHECKOUT / path).exists()] == []


def test_the_readme_lists_every_exit_code_and_command() -> None:
    table = readme().partition("## Exit codes")[2].partition("\n## ")[0]
    told = {
        int(code) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.M) for code in row.split(",")
    }
    assert told == {int(code) for code in ExitCode}
    commands = readme().partition("## Commands")[2].partition("\n## ")[0]
    assert all(f"`{command}" in commands for command in cli.commands)


def test_the_first_screen_of_the_readme_has_the_two_commands_and_a_real_picture() -> None:
    first_screen = readme().partition("\n## ")[0]
    assert "make run" in first_screen
    assert "make test" in first_screen
    picture = (CHECKOUT / "docs" / "img" / "run.svg").read_text(encoding="utf-8")
    shown = re.sub(r"<[^>]+>", "", picture).replace("&#160;", " ")
    for part in ("make run", "Records", "Data quality", "Where the data is", "Done"):
        assert part in shown
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


def test_the_targets_that_the_readme_names_are_there() -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    assert set(re.findall(r"`?make ([a-z-]+)", readme())) <= targets


def test_the_changelog_has_this_version() -> None:
    text = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{VERSION}]" in text
