"""The rollups beside DuckDB alone, after a late day, and reports by many at once.

There are ten times as many facts as the other benchmarks have transactions. Ratios are of one run
on one machine. They hold from ten million facts on; with few, the stand-in's fixed costs (some
thirty jobs over HTTP) count for more than the rows, and a late day is a larger part of them.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import IS_FULL_SIZE, ROWS
from benchmarks.facts import DATASET, Facts, copied, merged, warehouse
from techmart_fast.contract import default_contract
from techmart_fast.local import LocalHome
from techmart_fast.standin.process import DEFAULT_MEMORY_BYTES
from techmart_fast.standin.query import plan_query
from techmart_fast.standin.results import ResultStore
from techmart_fast.standin.storage import Storage
from techmart_fast.standin.work import Work
from techmart_fast.warehouse import STAND_IN_PROJECT, LoadGroup, ReportKind, WarehouseSink
from techmart_fast.warehouse.statements import Statement

_RATIO_TO_DUCKDB = 1.3
_RATIO_OF_A_LATE_DAY = 0.1
_P95_SECONDS = 2.0
_LATE_ROWS = 10_000
_AT_ONCE = 50
_FACTS = 10 * ROWS
_RULES = default_contract().analytics
_COMPUTED = (
    "partial_totals",
    "partial_orders",
    "partial_users",
    "partial_products",
    "partial_finances",
    "orders_by_user",
    "orders_by_product",
    "daily_sales_summary",
    "financial_reports",
    "user_analytics",
    "product_performance",
)
_MONTH = """
SELECT payment_method, status, COUNT(*) AS transactions, SUM(amount_usd) AS revenue
FROM transactions
WHERE transaction_date BETWEEN DATE '2024-05-01' AND DATE '2024-05-31'
GROUP BY payment_method, status
ORDER BY payment_method, status
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """A home in a known state, which tests copy; `seconds` of the refresh that led to it."""

    home: LocalHome
    facts: Facts
    groups: Sequence[LoadGroup]
    seconds: float = 0.0


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The facts are merged, and nothing is computed of them."""
    facts = Facts(_FACTS, tmp_path_factory.mktemp("spool"))
    groups = facts.groups()
    home = LocalHome(tmp_path_factory.mktemp("loaded"))

    async def load() -> None:
        async with warehouse(home) as sink:
            await merged(sink, groups)

    asyncio.run(load())
    return Stage(home, facts, groups)


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Stage], LocalHome]:
    numbers = count(1)
    return lambda stage: copied(stage.home, tmp_path / f"home{next(numbers)}")


@pytest.fixture(scope="module")
def computed(loaded: Stage, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """All rollups are there."""
    home = copied(loaded.home, tmp_path_factory.mktemp("computed"))
    seconds = asyncio.run(_refreshed(home, loaded.groups))
    return Stage(home, loaded.facts, loaded.groups, seconds)


async def _refreshed(home: LocalHome, groups: Sequence[LoadGroup]) -> float:
    """Refresh what groups touched; seconds, without the start of the stand-in."""
    async with warehouse(home) as sink:
        began = time.perf_counter()
        await sink.refresh(groups, _RULES)
        return time.perf_counter() - began


def test_rollups_from_scratch_beside_the_same_sql_in_duckdb(
    benchmark: BenchmarkFixture,
    loaded: Stage,
    copy: Callable[[Stage], LocalHome],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    through = copy(loaded)
    seconds: list[float] = []
    benchmark.pedantic(
        lambda: seconds.append(asyncio.run(_refreshed(through, loaded.groups))),
        rounds=1,
        iterations=1,
    )
    with monkeypatch.context() as patch:
        statements = _translated(through, copy(loaded), loaded, patch)
    direct = copy(loaded)
    with _opened(direct) as storage, storage.cursor() as cursor:
        began = time.perf_counter()
        for sql, values in statements:
            cursor.execute(sql, values).fetchall()
        alone = time.perf_counter() - began
    assert _contents(direct) == _contents(through)
    benchmark.extra_info["rows"] = _FACTS
    benchmark.extra_info["seconds"] = round(seconds[0], 2)
    benchmark.extra_info["seconds_in_duckdb"] = round(alone, 2)
    benchmark.extra_info["ratio"] = round(seconds[0] / alone, 2)
    assert not IS_FULL_SIZE or seconds[0] <= _RATIO_TO_DUCKDB * alone


def _opened(home: LocalHome) -> Storage:
    return Storage(home.standin, memory_bytes=DEFAULT_MEMORY_BYTES)


def _translated(
    through: LocalHome, scratch: LocalHome, loaded: Stage, patch: pytest.MonkeyPatch
) -> list[tuple[str, Any]]:
    """The statements for DuckDB that the refresh in `through` ran, found on another copy."""
    with _opened(loaded.home) as storage:
        earlier = storage.saved_job_ids()
    with _opened(through) as storage:
        jobs: list[Any] = storage.saved_jobs()
    found: list[tuple[str, Any]] = []
    execute, query = Work.execute, Work.query

    def note(sql: str, values: object) -> None:
        if sql.startswith((f'INSERT INTO warehouse."{STAND_IN_PROJECT}', "MERGE INTO")):
            found.append((sql, values))

    def noted(self: Work, sql: str, parameters: object = None) -> list[tuple[object, ...]]:
        note(sql, parameters)
        return execute(self, sql, parameters)

    def noted_query(self: Work, sql: str, values: Any) -> Any:
        note(sql, dict(values) or None)
        return query(self, sql, values)

    patch.setattr(Work, "execute", noted)
    patch.setattr(Work, "query", noted_query)
    results = ResultStore(scratch.standin / "results")
    with _opened(scratch) as storage:
        for job in jobs:
            if job["jobReference"]["jobId"] in earlier or "query" not in job["configuration"]:
                continue
            plan = plan_query(
                job["configuration"],
                job_id=job["jobReference"]["jobId"],
                project=STAND_IN_PROJECT,
                location=None,
                results=results,
            )
            with storage.work() as work:
                plan.run(work)
    return found


def _contents(home: LocalHome) -> dict[str, object]:
    """Rows of each computed table, and what their hashes come to."""
    with _opened(home) as storage, storage.cursor() as cursor:
        cursor.execute(f'USE warehouse."{STAND_IN_PROJECT}.{DATASET}"')
        sql = "SELECT count(*), bit_xor(hash(t)) FROM {} AS t"
        return {name: cursor.execute(sql.format(name)).fetchone() for name in _COMPUTED}


def test_a_late_day_beside_everything_from_scratch(
    benchmark: BenchmarkFixture, computed: Stage, copy: Callable[[Stage], LocalHome]
) -> None:
    home, late = copy(computed), computed.facts.late(_LATE_ROWS)

    async def refresh(sink: WarehouseSink) -> float:
        began = time.perf_counter()
        await sink.refresh([late], _RULES)
        return time.perf_counter() - began

    async def run() -> float:
        async with warehouse(home) as sink:
            await merged(sink, [late])
            return await refresh(sink)

    seconds: list[float] = []
    benchmark.pedantic(lambda: seconds.append(asyncio.run(run())), rounds=1, iterations=1)
    benchmark.extra_info["rows"] = _FACTS
    benchmark.extra_info["seconds"] = round(seconds[0], 2)
    benchmark.extra_info["seconds_from_scratch"] = round(computed.seconds, 2)
    benchmark.extra_info["ratio"] = round(seconds[0] / computed.seconds, 3)
    assert not IS_FULL_SIZE or seconds[0] <= _RATIO_OF_A_LATE_DAY * computed.seconds


def test_reports_and_scans_of_facts_by_many_at_once(
    benchmark: BenchmarkFixture, computed: Stage
) -> None:
    async def asked(sink: WarehouseSink, number: int) -> float:
        began = time.perf_counter()
        kinds = list(ReportKind)
        rows = await sink.report(kinds[number % len(kinds)], limit=100)
        assert rows.num_rows > 0
        return time.perf_counter() - began

    async def scanned(sink: WarehouseSink) -> float:
        began = time.perf_counter()
        rows = await sink._jobs.table(Statement(name="queries/month", sql=_MONTH))
        assert rows.num_rows > 0
        return time.perf_counter() - began

    async def both() -> tuple[list[float], list[float]]:
        async with warehouse(computed.home) as sink:
            await asked(sink, 0)
            reports = await asyncio.gather(*(asked(sink, one) for one in range(_AT_ONCE)))
            scans = await asyncio.gather(*(scanned(sink) for _ in range(_AT_ONCE)))
            return sorted(reports), sorted(scans)

    times: list[tuple[list[float], list[float]]] = []
    benchmark.pedantic(lambda: times.append(asyncio.run(both())), rounds=1, iterations=1)
    reports, scans = times[0]
    place = int(_AT_ONCE * 0.95)
    benchmark.extra_info["rows"] = _FACTS
    benchmark.extra_info["p95_seconds_of_50_reports"] = round(reports[place], 2)
    benchmark.extra_info["p95_seconds_of_50_scans_of_a_month"] = round(scans[place], 2)
    assert not IS_FULL_SIZE or reports[place] < _P95_SECONDS
