"""The command line: what to measure, how often, and where the figures go."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.side_by_side.ways import FIRST_LOAD

_EXAMPLES = """
examples:
  make peers                                            install the peers, once
  python -m benchmarks.side_by_side --rows 50000        a try: it shows that all works
  python -m benchmarks.side_by_side --ways loader,psql-copy --repeat 5
  python -m benchmarks.side_by_side --repeat 3 --incremental-rows 1000000 \\
      --json build/side_by_side.json --page docs/performance.md

Every run gets a new database on one embedded server, and is a process of its own: its start is
measured, too. What can't be run here is named and left out. Progress goes to standard error, the
table to standard output. Close everything else first: the figures are of this machine and day.

ways:
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for. `ways` are names; rows are transactions."""

    rows: int
    repeat: int
    ways: tuple[str, ...]
    incremental_rows: int
    base_rows: int
    json: Path | None
    page: Path | None
    peers: Path
    folder: Path | None
    limit_seconds: float


def read(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; it ends the process where that is wrong, or asks for help."""
    names = [way.name for way in FIRST_LOAD]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.side_by_side",
        description="The loader and its peers on the same file, machine and day.",
        epilog=_EXAMPLES + "\n".join(f"  {way.name:<16} {way.plain_title}" for way in FIRST_LOAD),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rows", type=_positive, default=1_000_000, metavar="N", help="transactions (1000000)")
    add("--repeat", type=_positive, default=1, metavar="N", help="runs of each way; median (1)")
    add("--ways", type=_names, default=names, metavar="A,B", help="only these; see below")
    add(
        "--incremental-rows",
        type=_count,
        default=0,
        metavar="N",
        help="also: so many new rows, their ids in random order, into --base-rows (0: not)",
    )
    add(
        "--base-rows",
        type=_positive,
        default=5_000_000,
        metavar="N",
        help="rows that are there before those (5000000)",
    )
    add("--json", type=Path, metavar="FILE", help="write every run's figures there")
    add("--page", type=Path, metavar="FILE", help="put the tables and the plot into this page")
    add(
        "--peers",
        type=Path,
        default=Path("build/peers"),
        metavar="DIR",
        help="environment that the peers are installed in (build/peers)",
    )
    add("--folder", type=Path, metavar="DIR", help="where to work; default: a temporary folder")
    add("--limit-seconds", type=float, default=1800.0, metavar="S", help="of one run (1800)")
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.ways) - set(names)):
        parser.error(f"unknown way {unknown[0]}; there are {', '.join(names)}")
    return Options(**{**vars(given), "ways": tuple(given.ways)})


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
