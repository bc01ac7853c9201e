"""Measures the loader and its peers side by side, and writes the page about it.

    python -m benchmarks.side_by_side --rows 1000000 --repeat 3 --page docs/performance.md

With `make peers` the Python peers are installed first; what is not installed is left out and named.
Several minutes a million rows: the machine should have nothing else to do.
"""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.side_by_side.page import machine, write_page
from benchmarks.side_by_side.running import Asked, first_loads, incremental, tell
from benchmarks.side_by_side.ways import FIRST_LOADS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.side_by_side",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rows", type=int, default=1_000_000, help="transactions of the first loads (%(default)s)")
    add(
        "--base-rows",
        type=int,
        default=5_000_000,
        help="rows there already, for the incremental load; 0: leave it out (%(default)s)",
    )
    add("--incremental-rows", type=int, default=1_000_000, help="rows more (%(default)s)")
    add("--repeat", type=int, default=3, help="runs of each way; medians are told (%(default)s)")
    names = [way.name for way in FIRST_LOADS]
    add("--ways", nargs="+", choices=names, default=names, metavar="WAY", help=", ".join(names))
    add("--json", type=Path, help="file to write every single run to")
    add("--page", type=Path, help="page whose tables are written anew, and the plot beside it")
    return parser.parse_args()


def main() -> None:
    """Measure what the arguments ask for."""
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="side-by-side-") as folder:
        asked = Asked(
            rows=given.rows,
            base_rows=given.base_rows,
            incremental_rows=given.incremental_rows,
            repeat=given.repeat,
            ways=given.ways,
            folder=Path(folder),
        )
        first = first_loads(asked)
        later = incremental(asked) if given.base_rows else []
    told = {
        "machine": machine(),
        "rows": given.rows,
        "first": [asdict(one) for one in first],
        "incremental": [asdict(one) for one in later],
    }
    if given.json:
        given.json.write_text(json.dumps(told, indent=1))
    text = write_page(asked, first, later, page=given.page)
    tell("")
    print(text)


if __name__ == "__main__":
    main()
