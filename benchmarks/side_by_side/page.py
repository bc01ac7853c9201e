"""The tables, as Markdown, and their place in a page between two marks."""

import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.side_by_side.model import Measured, Outcome, WayFailedError
from benchmarks.side_by_side.report import Report, Section
from benchmarks.side_by_side.rounds import median

PLOT = "side_by_side.svg"
BEGIN = "<!-- measured: begin (python -m benchmarks.side_by_side --page writes what follows) -->"
END = "<!-- measured: end -->"

_PATH = re.compile(r"(?<![\w.])/(?:[\w.+-]+/)+[\w.+-]*")
_ERROR_LENGTH = 160
_HEAD = """| way | reads | rows/s | × | s | CPU s: client | server | endpoint | client memory |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


def check(page: Path) -> tuple[str, str]:
    """What stands before and behind the place of the tables in a page.

    Raises:
        WayFailedError: the page can't be read, or has no such place.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise WayFailedError(f"can't read {page}: {error.strerror}") from None
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise WayFailedError(f"{page} lacks the marks that the tables stand between")
    return before, after


def write(page: Path, report: Report) -> None:
    """Replace what stands between the marks of a page.

    Raises:
        WayFailedError: as `check` does.
    """
    before, after = check(page)
    body = text_of(report, plot_name=f"img/{PLOT}")
    page.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}", encoding="utf-8")


def text_of(report: Report, *, plot_name: str | None) -> str:
    """The machine, and a table for each case."""
    parts = [_machine(report)]
    if plot_name is not None:
        parts.append(f"![Bars: rows a second of each way]({plot_name})")
    for section in report.sections:
        parts += _section(section)
    return "\n\n".join(parts)


def _machine(report: Report) -> str:
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    settings = ", ".join(f"`{name}` {value}" for name, value in report.settings.items())
    runs = "one run each" if report.repeat == 1 else f"median of {report.repeat} runs each"
    return (
        f"Measured on {machine.day}, {runs}. {machine.cpu}, {machine.cores} cores, "
        f"{machine.memory_bytes / 2**30:.1f} GiB of memory, {machine.system}; everything on this "
        f"machine, by Unix sockets and the loopback address.\n\nVersions: {versions}.\n\n"
        f"The server: {settings}."
    )


def _section(section: Section) -> Iterator[str]:
    base = next((one.way.title for one in section.outcomes if one.way.name == section.base), "")
    yield f"### {section.title[:1].upper()}{section.title[1:]}"
    yield (
        f"{section.rows:,} transactions: {section.raw_bytes / 1e6:,.0f} MB of NDJSON, "
        f"{section.clean_bytes / 1e6:,.0f} MB of clean CSV."
        + (f" × is times as fast as {base}." if section.base_figures else "")
    )
    yield "\n".join([_HEAD, *(_row(section, one) for one in section.outcomes)])
    yield "What each way does not do:"
    yield "\n".join(f"- {one.way.title}: {one.way.lacks}." for one in section.outcomes)


def _row(section: Section, outcome: Outcome) -> str:
    way, figures = outcome.way, median(outcome)
    if figures is None:
        # A path would name a place on one machine.
        why = _PATH.sub("…", outcome.left_out or f"failed: {outcome.errors[0]}")
        why = why.replace("|", "/")[:_ERROR_LENGTH]
        return f"| {way.title} | {way.reads} | {why} | | | | | | |"
    return f"| {way.title} | {way.reads} | {_figures(section, figures)} |"


def _figures(section: Section, figures: Measured) -> str:
    ratio = section.ratio(figures)
    fewer = f" ({figures.rows:,} rows)" if figures.rows != section.rows else ""
    return " | ".join(
        (
            f"{figures.rate:,.0f}{fewer}",
            "" if ratio is None else f"{ratio:.2f}",
            f"{figures.wall:.2f}",
            f"{figures.client_cpu:.2f}",
            f"{figures.server_cpu:.2f}",
            f"{figures.endpoint_cpu:.2f}" if figures.endpoint_cpu else "",
            f"{figures.client_bytes / 2**20:,.0f} MiB",
        )
    )
