"""Prepares, measures, and writes the table: `python -m benchmarks.side_by_side`."""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.side_by_side import machine, options, page, plot, prepare, rounds
from benchmarks.side_by_side.bench import Bench, open_bench
from benchmarks.side_by_side.model import Case, Outcome, WayFailedError
from benchmarks.side_by_side.report import Report, Section, as_json
from benchmarks.side_by_side.ways import (
    FIRST_LOAD,
    FIRST_LOAD_BASE,
    MORE_ROWS,
    MORE_ROWS_BASE,
    loader_all,
)
from techmart_fast.errors import TechmartError


def _sections(asked: options.Options, bench: Bench, peers: Mapping[str, str]) -> Iterator[Section]:
    first = [way for way in FIRST_LOAD if way.name in asked.ways]
    if first:
        case = prepare.first_load(bench, asked.rows)
        outcomes = rounds.measure(first, case, bench, repeat=asked.repeat, peers=peers)
        yield _section(case, outcomes, FIRST_LOAD_BASE)
    more = [way for way in MORE_ROWS if way.name in asked.ways]
    if asked.incremental_rows and more:
        rows, base_rows = asked.incremental_rows, asked.base_rows
        case = prepare.more_rows(bench, rows, base_rows=base_rows)
        outcomes = rounds.measure(more, case, bench, repeat=asked.repeat, peers=peers)
        yield _section(case, outcomes, MORE_ROWS_BASE)


def _section(case: Case, outcomes: list[Outcome], base: str) -> Section:
    return Section(
        title=case.title,
        rows=case.rows,
        raw_bytes=case.raw.stat().st_size,
        clean_bytes=case.clean.stat().st_size,
        base=base,
        outcomes=tuple(outcomes),
    )


def _measured(asked: options.Options, folder: Path) -> Report:
    prepare.tell("Starting the servers ...")
    with open_bench(
        folder,
        peers_python=asked.peers.absolute() / "bin" / "python",
        stand_in=loader_all.WAY.name in asked.ways,
        limit_seconds=asked.limit_seconds,
    ) as bench:
        peers = machine.peer_versions(bench.peers_python)
        return Report(
            machine=machine.this_machine(postgres=bench.server.local.version, peers=peers),
            settings=bench.server.settings(),
            repeat=asked.repeat,
            sections=tuple(_sections(asked, bench, peers)),
        )


def main() -> int:
    """Do what the command line asks for."""
    asked = options.read()
    for made in (asked.folder, asked.json.parent if asked.json else None):
        if made is not None:
            made.mkdir(parents=True, exist_ok=True)
    try:
        # Now, and not after an hour of measuring.
        if asked.page is not None:
            page.check(asked.page)
        with tempfile.TemporaryDirectory(
            dir=asked.folder, prefix="side-by-side-", ignore_cleanup_errors=True
        ) as folder:
            report = _measured(asked, Path(folder).absolute())
    except (TechmartError, WayFailedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if asked.json is not None:
        asked.json.write_text(as_json(report), encoding="utf-8")
    print(page.text_of(report, plot_name=None))
    if asked.page is not None:
        picture = asked.page.parent / "img" / page.PLOT
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text(plot.svg(report), encoding="utf-8")
        page.write(asked.page, report)
    failed = any(one.errors for section in report.sections for one in section.outcomes)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
