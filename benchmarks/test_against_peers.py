r"""The loader, from raw NDJSON, against psql and dlt on the same rows, in one run.

Each is a process on a fresh copy of one database: see `benchmarks/side_by_side`, which has more
peers, and says what each of them does not do. *PG + upload* are both legs, with load jobs that an
endpoint accepts and discards; *all* has the stand-in's MERGE and all rollups in it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import IS_FULL_SIZE, ROWS
from benchmarks.endpoint import CHECKOUT
from benchmarks.side_by_side import machine, prepare, rounds
from benchmarks.side_by_side.bench import Bench, open_bench
from benchmarks.side_by_side.model import Case, Measured, Way
from benchmarks.side_by_side.ways import (
    dlt_arrow,
    dlt_dicts,
    loader_all,
    loader_upload,
    psql_copy,
    psql_heap,
    psql_staging,
)

_PEERS = CHECKOUT / "build" / "peers" / "bin" / "python"
_UPLOAD, _ALL = loader_upload.WAY, loader_all.WAY
_FIRST_LOAD = {
    (_UPLOAD, psql_copy.WAY): 2.5,
    (_UPLOAD, psql_staging.WAY): 3.0,
    (_UPLOAD, psql_heap.WAY): 0.6,
    (_UPLOAD, dlt_arrow.WAY): 2.5,
    (_UPLOAD, dlt_dicts.WAY): 10.0,
    (_ALL, psql_copy.WAY): 1.6,
}
_MORE_ROWS = {(_UPLOAD, psql_staging.WAY): 2.5}
_BASE_TIMES = 5

pytestmark = pytest.mark.long

Targets = Mapping[tuple[Way, Way], float]


def test_first_load_against_peers(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    with open_bench(tmp_path, peers_python=_PEERS, stand_in=True) as bench:
        _hold(benchmark, bench, prepare.first_load(bench, ROWS), _FIRST_LOAD)


def test_incremental_load_against_psql(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """New rows, in random order of their ids, into five times as many."""
    with open_bench(tmp_path, peers_python=_PEERS) as bench:
        case = prepare.more_rows(bench, ROWS, base_rows=_BASE_TIMES * ROWS)
        _hold(benchmark, bench, case, _MORE_ROWS)


def _hold(benchmark: BenchmarkFixture, bench: Bench, case: Case, targets: Targets) -> None:
    """Measure all ways of the targets once; at full size, hold the ratios of rows a second.

    A way whose program is not installed is named, and at full size that is a failure, too.
    """
    ways = list(dict.fromkeys(way for pair in targets for way in pair))
    found = benchmark.pedantic(_measured, args=(ways, case, bench), rounds=1)
    left_out = [way.name for way in ways if way.name not in found]
    benchmark.extra_info["left_out"] = left_out
    ratios = {
        f"{one.name} / {other.name}": (found[one.name].rate / found[other.name].rate, least)
        for (one, other), least in targets.items()
        if other.name in found
    }
    benchmark.extra_info["ratios"] = {name: round(ratio, 2) for name, (ratio, _) in ratios.items()}
    benchmark.extra_info["expected"] = {name: least for name, (_, least) in ratios.items()}
    benchmark.extra_info["figures"] = {name: one.told() for name, one in found.items()}
    missed = {name: pair for name, pair in ratios.items() if pair[0] < pair[1]}
    if IS_FULL_SIZE:
        assert not left_out, "make peers"
        assert not missed, "ratio, and the least that it should be"


def _measured(ways: Sequence[Way], case: Case, bench: Bench) -> dict[str, Measured]:
    peers = machine.peer_versions(bench.peers_python)
    outcomes = rounds.measure(ways, case, bench, repeat=1, peers=peers)
    errors = [error for outcome in outcomes for error in outcome.errors]
    assert not errors
    return {outcome.way.name: outcome.runs[0] for outcome in outcomes if outcome.runs}
