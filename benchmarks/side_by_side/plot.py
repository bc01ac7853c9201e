"""Bars of rows a second, as SVG that can be read on light and dark pages.

It is written by hand: a plotting library brings fonts as outlines, and one colour for both.
"""

from collections.abc import Iterator
from xml.sax.saxutils import escape

from benchmarks.side_by_side.model import Measured, Way
from benchmarks.side_by_side.report import Report, Section
from benchmarks.side_by_side.rounds import median

_WIDTH, _LABELS, _FIGURES = 880, 310, 150
_ROW, _BAR, _TITLE, _MARGIN = 26, 16, 40, 12
_OWN = "loader"

# Without a preference the colours have contrast on white and on black.
_STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #767676; }
.title { font-weight: 600; font-size: 14px; }
.figure { font-variant-numeric: tabular-nums; }
.own { fill: #2f81f7; }
.peer { fill: #8b949e; }
.base { stroke: #d29922; stroke-dasharray: 4 3; }
@media (prefers-color-scheme: light) { text { fill: #1f2328; } .peer { fill: #afb8c1; } }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } .peer { fill: #6e7681; } }
"""


def svg(report: Report) -> str:
    """The picture: a group of bars for each case, the base as a dashed line."""
    parts: list[str] = []
    top = _MARGIN
    for section in report.sections:
        lines = list(_bars(section, top))
        parts += lines
        top += _TITLE + _ROW * len(_shown(section)) + _MARGIN
    machine = report.machine
    said = f"{machine.cpu}, {machine.cores} cores, {machine.day}"
    parts.append(f'<text x="{_MARGIN}" y="{top + 6}">{escape(said)}</text>')
    height = top + 2 * _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">\n'
        f"<title>Rows a second of each way</title>\n<style>{_STYLE}</style>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _shown(section: Section) -> list[tuple[Way, Measured]]:
    # Beside a way that only reads, those that write would be too short to compare.
    return [
        (one.way, found) for one in section.outcomes if one.way.writes and (found := median(one))
    ]


def _bars(section: Section, top: int) -> Iterator[str]:
    figures = _shown(section)
    most = max((found.rate for _, found in figures), default=1.0)
    room = _WIDTH - _LABELS - _FIGURES
    title = f"{section.title[:1].upper()}{section.title[1:]}: rows a second"
    yield f'<text class="title" x="{_MARGIN}" y="{top + 18}">{escape(title)}</text>'
    for number, (way, found) in enumerate(figures):
        y = top + _TITLE + number * _ROW
        length = room * found.rate / most
        kind = "own" if way.name.startswith(_OWN) else "peer"
        label = escape(way.plain_title)
        ratio = section.ratio(found)
        shown = f"{found.rate:,.0f}" + ("" if ratio is None else f"  ({ratio:.2f} ×)")
        baseline = y + _BAR - 3
        yield f'<text x="{_LABELS - 8}" y="{baseline}" text-anchor="end">{label}</text>'
        yield f'<rect class="{kind}" x="{_LABELS}" y="{y}" width="{length:.1f}" height="{_BAR}"/>'
        # In a column of their own, they can't meet the dashed line.
        yield (
            f'<text class="figure" x="{_WIDTH - _MARGIN}" y="{baseline}" '
            f'text-anchor="end">{escape(shown)}</text>'
        )
    base = section.base_figures
    if base is not None:
        x = _LABELS + room * base.rate / most
        bottom = top + _TITLE + len(figures) * _ROW - (_ROW - _BAR)
        yield f'<line class="base" x1="{x:.1f}" x2="{x:.1f}" y1="{top + 30}" y2="{bottom}"/>'
