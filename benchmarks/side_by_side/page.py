"""The tables of docs/performance.md, and the plot beside them."""

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.side_by_side.running import Asked
from benchmarks.side_by_side.ways import FEWER, FIRST_LOADS, INCREMENTAL, Taken, Way

BEGIN, END = "<!-- measured -->", "<!-- end of measured -->"
_BASE = "psql_copy"
_BAR, _ROW, _LEFT, _WIDTH = 18, 30, 330, 860


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    way: Way
    taken: Taken
    ratio: float | None


def machine() -> Mapping[str, str]:
    """What was measured on, and with which versions."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    packages = ("techmart-fast", "pyarrow", "asyncpg", "duckdb")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / (1 << 30):.0f} GiB",
        "processor": model,
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def write_page(
    asked: Asked, first: Sequence[Taken], later: Sequence[Taken], *, page: Path | None
) -> str:
    """The tables as Markdown; with `page`, written between its marks, and the plot beside it."""
    lines = _medians(first)
    text = "\n".join(
        [*_about(asked), "", *_table(lines), *_failed(first), *_incremental(asked, later)]
    )
    if page is not None:
        whole = page.read_text(encoding="utf-8")
        before, _, rest = whole.partition(BEGIN)
        _, _, after = rest.partition(END)
        page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
        plot = page.parent / "img" / "side_by_side.svg"
        plot.write_text(_plot(lines, asked), encoding="utf-8")
    return text


def _medians(first: Iterable[Taken]) -> list[_Line]:
    by_way: dict[str, list[Taken]] = {}
    for one in first:
        if not one.error:
            by_way.setdefault(one.way, []).append(one)
    medians = {name: _median(runs) for name, runs in by_way.items()}
    base = medians.get(_BASE)
    lines = [
        _Line(
            way=way,
            taken=medians[way.name],
            ratio=medians[way.name].rate / base.rate if base else None,
        )
        for way in FIRST_LOADS
        if way.name in medians
    ]
    return sorted(lines, key=lambda line: line.taken.rate, reverse=True)


def _median(runs: Sequence[Taken]) -> Taken:
    """The run in the middle, by time."""
    seconds = statistics.median_low(one.seconds for one in runs)
    return next(one for one in runs if one.seconds == seconds)


def _about(asked: Asked) -> list[str]:
    told = machine()
    versions = ", ".join(f"{name} {told[name]}" for name in ("pyarrow", "asyncpg", "duckdb"))
    return [
        (
            f"{asked.rows:,} transactions, {max(asked.rows // 20, 1):,} users, "
            f"{max(asked.rows // 100, 1):,} products, ids in order, no defects. "
            f"Median of {asked.repeat} runs in rotated order, {told['date']}, on "
            f"{told['cores']} cores ({told['processor']}), {told['memory']}, {told['system']}; "
            f"Python {told['python']}, embedded PostgreSQL, {versions}."
        ),
    ]


def _table(lines: Sequence[_Line]) -> list[str]:
    rows = [
        "| way | from | rows/s | s | CPU s, client | CPU s, database | against `\\copy` | lacks |",
        "| --- | --- | --: | --: | --: | --: | --: | --- |",
    ]
    for line in lines:
        taken, way = line.taken, line.way
        ratio = "" if line.ratio is None else f"{line.ratio:.2f} ×"
        fewer = f" ({taken.rows:,} rows)" if way.name in FEWER else ""
        rows.append(
            f"| {way.title}{fewer} | {way.starts_from} | {taken.rate:,.0f} | {taken.seconds:.1f} "
            f"| {taken.client_cpu:.1f} | {taken.database_cpu:.1f} | {ratio} | {way.lacks} |"
        )
    return rows


def _failed(first: Sequence[Taken]) -> list[str]:
    titles = {way.name: way.title for way in FIRST_LOADS}
    failed = {one.way: one.error for one in first if one.error}
    if not failed:
        return []
    return ["", "Left out:", "", *(f"- {titles[way]}: {error}" for way, error in failed.items())]


def _incremental(asked: Asked, later: Sequence[Taken]) -> list[str]:
    if not later:
        return []
    by_way = {one.way: one for one in later}
    ours, peer = (by_way[name] for name in INCREMENTAL)
    titles = {way.name: way.title for way in FIRST_LOADS}
    rows = [
        "",
        (
            f"{asked.incremental_rows:,} rows with random ids into a table that has "
            f"{asked.base_rows:,} with random ids; one run each:"
        ),
        "",
        "| way | rows/s | s | CPU s, client | CPU s, database | against the peer |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for one in (ours, peer):
        rows.append(
            f"| {titles[one.way]} | {one.rate:,.0f} | {one.seconds:.1f} | {one.client_cpu:.1f} "
            f"| {one.database_cpu:.1f} | {one.rate / peer.rate:.2f} × |"
        )
    return rows


def _plot(lines: Sequence[_Line], asked: Asked) -> str:
    """Bars of rows a second. Its colours hold on light and dark ground."""
    most = max((line.taken.rate for line in lines), default=1.0)
    height = 50 + _ROW * len(lines)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            'font-family="system-ui, sans-serif" font-size="13">'
        ),
        (
            "<style>text { fill: #24292f } .ours { fill: #1f7a4d } .peer { fill: #8c959f }"
            " @media (prefers-color-scheme: dark) { text { fill: #d0d7de }"
            " .ours { fill: #3fb27f } .peer { fill: #6e7781 } }</style>"
        ),
        (
            f'<text x="10" y="22" font-size="15">Rows a second, {asked.rows:,} transactions, '
            f"{os.cpu_count()} cores</text>"
        ),
    ]
    for number, line in enumerate(lines):
        top = 40 + _ROW * number
        width = max(1.0, line.taken.rate / most * (_WIDTH - _LEFT - 90))
        kind = "ours" if line.way.measure == "loader" else "peer"
        title = line.way.title.replace("&", "&amp;").replace("<", "&lt;")
        middle = top + _BAR - 4
        parts += [
            f'<text x="{_LEFT - 8}" y="{middle}" text-anchor="end">{title}</text>',
            f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}"/>',
            f'<text x="{_LEFT + width + 6:.1f}" y="{middle}">{line.taken.rate:,.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
