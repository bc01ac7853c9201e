r"""The loader, from raw NDJSON, against psql, from a clean CSV of the same rows, in one run.

*PG + upload* are both legs, with load jobs that an endpoint accepts and discards; *all* has the
stand-in's MERGE and all rollups in it. psql loads into the same table, with its keys, foreign keys
and indexes, and without audit triggers.
"""

from collections.abc import Mapping
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import by_psql
from benchmarks.conftest import IS_FULL_SIZE, MakeHome, MakeShop, sources
from benchmarks.measure import Home, Sources

_AT_LEAST = {
    "upload_against_copy": 2.5,
    "upload_against_upsert": 3.0,
    "upload_against_build": 0.6,
    "all_against_copy": 1.6,
}
_INCREMENTAL = 2.5


def test_first_load_against_psql(
    benchmark: BenchmarkFixture,
    make_shop: MakeShop,
    make_home: MakeHome,
    discard: Mapping[str, str],
    tmp_path: Path,
) -> None:
    of, home, clean = sources(make_shop()), make_home(), tmp_path / "clean.csv"
    upload = benchmark.pedantic(home.run, args=(of,), kwargs={"discard": discard}, rounds=1)
    whole = make_home().run(of)
    by_psql.write_clean(home, clean)
    by_psql.prepare(home)
    seconds = {}
    for way in ("psql_copy", "psql_upsert", "psql_build"):
        by_psql.empty(home)
        seconds[way] = by_psql.seconds(home, way, clean)
    found = {
        "upload_against_copy": seconds["psql_copy"] / upload.seconds,
        "upload_against_upsert": seconds["psql_upsert"] / upload.seconds,
        "upload_against_build": seconds["psql_build"] / upload.seconds,
        "all_against_copy": seconds["psql_copy"] / whole.seconds,
    }
    benchmark.extra_info.update(upload.told(), all=whole.told(), psql_seconds=seconds)
    _hold(benchmark, found, _AT_LEAST)


def test_incremental_load_against_psql(
    benchmark: BenchmarkFixture,
    make_shop: MakeShop,
    make_home: MakeHome,
    discard: Mapping[str, str],
    tmp_path: Path,
) -> None:
    """Random ids into five times as many, against staging and INSERT ... ON CONFLICT."""
    home = make_home()
    home.run(sources(make_shop(times=5, random_ids=True, seed=11)), discard=discard)
    more = sources(make_shop(random_ids=True, seed=12))
    home.run(Sources(users=more.users, products=more.products), discard=discard)
    new = Sources(transactions=more.transactions)
    ours = benchmark.pedantic(home.run, args=(new,), kwargs={"discard": discard}, rounds=1)
    clean = take_out_newest(home, tmp_path / "newest.csv")
    peer = by_psql.seconds(home, "psql_upsert", clean)
    benchmark.extra_info.update(ours.told(), psql_seconds=peer)
    found = {"upload_against_upsert": peer / ours.seconds}
    _hold(benchmark, found, {"upload_against_upsert": _INCREMENTAL})


def take_out_newest(home: Home, clean: Path) -> Path:
    """Move the rows of the newest file from the table into a clean CSV."""
    by_psql.prepare(home)
    newest = int(home.psql("SELECT max(source_ordinal) FROM transactions"))
    columns = ", ".join(f'"{name}"' for name in by_psql.COLUMNS)
    rows = f"SELECT {columns} FROM transactions WHERE source_ordinal = {newest}"
    home.psql(
        f"\\copy ({rows} ORDER BY source_offset) to '{clean}' csv",
        f"DELETE FROM transactions WHERE source_ordinal = {newest}",
        "VACUUM (ANALYZE) transactions",
    )
    return clean


def _hold(
    benchmark: BenchmarkFixture, found: Mapping[str, float], at_least: Mapping[str, float]
) -> None:
    benchmark.extra_info["ratios"] = {name: round(ratio, 2) for name, ratio in found.items()}
    benchmark.extra_info["expected"] = dict(at_least)
    if IS_FULL_SIZE:
        missed = {name: found[name] for name, least in at_least.items() if found[name] < least}
        assert not missed
