"""Runs the ways in turn, several times, each time beginning with another one."""

import shutil
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.side_by_side.bench import Bench
from benchmarks.side_by_side.model import Case, Measured, Outcome, Way, WayFailedError
from benchmarks.side_by_side.prepare import tell
from benchmarks.side_by_side.site import Site


def why_not(way: Way, peers: Mapping[str, str]) -> str:
    """What a way lacks here; empty if it can be run."""
    if way.distribution is not None and way.distribution not in peers:
        return f"`{way.distribution}` is not installed (`make peers`)"
    if way.program is not None and shutil.which(way.program) is None:
        return f"`{way.program}` is not installed"
    return ""


def measure(
    ways: Sequence[Way],
    case: Case,
    bench: Bench,
    *,
    repeat: int,
    peers: Mapping[str, str],
) -> list[Outcome]:
    """All outcomes, in the order of `ways`. A way that fails is not tried again.

    The order of the runs moves by one in each round: whoever comes after a large one, or when the
    machine is busy, is another way each time.
    """
    outcomes = {way.name: Outcome(way=way, left_out=why_not(way, peers)) for way in ways}
    for number in range(repeat):
        first = number % len(ways)
        for way in (*ways[first:], *ways[:first]):
            outcome = outcomes[way.name]
            if outcome.left_out or outcome.errors:
                continue
            tell(f"{case.title}, round {number + 1} of {repeat}: {way.name} ...")
            try:
                measured = _run(way, case, bench)
            except (WayFailedError, OSError, ValueError) as error:
                tell(f"  failed: {error}")
                outcomes[way.name] = replace(outcome, errors=(*outcome.errors, str(error)))
            else:
                tell(f"  {measured.wall:.2f} s, {measured.rate:,.0f} rows/s")
                outcomes[way.name] = replace(outcome, runs=(*outcome.runs, measured))
    return list(outcomes.values())


def _run(way: Way, case: Case, bench: Bench) -> Measured:
    rows = min(case.rows, way.most_rows or case.rows)
    with (
        bench.server.copy_of(case.template) as database,
        tempfile.TemporaryDirectory(dir=bench.folder, prefix=f"{way.name}-") as folder,
    ):
        site = Site(bench=bench, database=database, case=case, rows=rows, folder=Path(folder))
        return way.run(site)


def median(outcome: Outcome) -> Measured | None:
    """The figures of a way, each the median of its runs; None where there are none."""
    if not outcome.runs:
        return None

    def middle(figure: Callable[[Measured], float]) -> float:
        return statistics.median(figure(run) for run in outcome.runs)

    return Measured(
        rows=outcome.runs[0].rows,
        wall=middle(lambda run: run.wall),
        client_cpu=middle(lambda run: run.client_cpu),
        server_cpu=middle(lambda run: run.server_cpu),
        endpoint_cpu=middle(lambda run: run.endpoint_cpu),
        client_bytes=round(middle(lambda run: run.client_bytes)),
    )
