"""The sink against the stand-in: tables, reports, runs, views, and what a second process finds."""

import asyncio
import importlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from techmart_fast.errors import WarehouseError
from techmart_fast.warehouse import (
    Ensured,
    LoadedPart,
    LoadTable,
    MetricRow,
    ReportKind,
    RunRow,
    WarehouseSink,
    WarehouseTarget,
)
from techmart_fast.warehouse.groups import JobCost
from techmart_fast.warehouse.schema import declared
from techmart_fast.warehouse.statements import Statement
from tests.warehouse.loading import Row, Warehouse
from tests.warehouse.values import group_of, spooled, transaction

FACTS_FILTER = {"transactions_enriched": " WHERE transaction_date >= '0001-01-01'"}
"""A view of the facts needs a filter as they do."""

RUN = RunRow(
    run_id="r1",
    started=datetime(2024, 3, 1, 23, 59, 59, tzinfo=UTC),
    ended=datetime(2024, 3, 2, 0, 0, 29, 500000, tzinfo=UTC),
    status="running",
    records_read=10,
    records_loaded=8,
    records_rejected=1,
    records_held=0,
    records_duplicate=1,
    rows_per_second=Decimal("0.33"),
    bytes_per_second=Decimal("100.06"),
    peak_memory_bytes=123,
    contract_version="abc",
    error='it\'s "quoted"',
)
METRICS = [
    MetricRow(
        table=table,
        dimension="accuracy",
        metric="score",
        check_date=date(2024, 3, 1),
        value=value,
        threshold=Decimal("0.99"),
        status="PASS",
    )
    for table, value in (("users", Decimal("0.9912")), ("products", None))
]


@dataclass
class Story:
    """What the sink answered."""

    target: WarehouseTarget
    reports: dict[str, pa.Table]
    sums: list[Row]
    runs: list[Row]
    metrics: list[Row]
    views: dict[str, list[Row]]
    loaded: list[LoadedPart]
    ensured_again: Ensured
    cost_of_ensuring_again: JobCost


@pytest.fixture(scope="module")
def story(told: Callable[..., Story], new_target: Callable[[], WarehouseTarget]) -> Story:
    return told(tell)


async def tell(shop: Warehouse) -> Story:
    await shop.publish(
        users=[{"user_id": name} for name in ("u1", "u2", "u3")],
        products=[{"product_id": "p1"}, {"product_id": "p2"}],
        transactions=[
            transaction("t1", "2024-01-01", "10.00"),
            transaction("t2", "2024-01-02", "30.00", user_id="u2"),
            transaction("t3", "2024-02-03", "20.00", user_id="u3", product_id="p2"),
        ],
    )
    sink = shop.sink
    for run in (RUN, replace(RUN, status="completed", error=None)):
        await sink.record_run(run, METRICS)
    reports = {
        "newest day": await sink.report(ReportKind.DAILY_SALES, limit=1),
        "january": await sink.report(ReportKind.DAILY_SALES, until=date(2024, 1, 31)),
        "users": await sink.report(ReportKind.USERS, limit=2),
        "products": await sink.report(ReportKind.PRODUCTS),
        "months": await sink.report(ReportKind.FINANCIALS, report_type="monthly"),
        "since": await sink.report(ReportKind.FINANCIALS, since=date(2024, 2, 1)),
    }
    member = spooled(shop.folder, LoadTable.USERS, [{"user_id": "u4"}], name="again")
    part = group_of(f"{sink._target.dataset}_x", LoadTable.USERS, member).parts[0]
    loaded = [await sink.load(part) for _ in range(2)]
    async with WarehouseSink(sink._target) as second:
        ensured_again = await second.ensure()
        cost = second.cost
    return Story(
        target=sink._target,
        reports=reports,
        sums=(await sink.daily_sums()).to_pylist(),
        runs=await shop.rows("SELECT * FROM pipeline_monitoring"),
        metrics=await shop.rows("SELECT * FROM data_quality_metrics ORDER BY table_name"),
        views={
            name: await shop.rows(f"SELECT * FROM {name}{FACTS_FILTER.get(name, '')}")
            for name, relation in declared().items()
            if relation.is_view
        },
        loaded=loaded,
        ensured_again=ensured_again,
        cost_of_ensuring_again=cost,
    )


def test_reports_have_the_declared_columns_and_types(story: Story) -> None:
    money = pa.decimal128(18, 2)
    report = story.reports["newest day"]
    columns = [column.name for column in declared()["daily_sales_summary"].columns]
    assert report.column_names == columns
    assert report.schema.field("total_revenue").type == money
    items = report.schema.field("revenue_by_currency").type.value_type
    assert items.field("amount").type == money
    assert "email" in story.reports["users"].column_names


def test_reports_are_ordered_limited_and_bounded(story: Story) -> None:
    reports = story.reports
    assert reports["newest day"]["date"].to_pylist() == [date(2024, 2, 3)]
    assert reports["january"]["date"].to_pylist() == [date(2024, 1, 1), date(2024, 1, 2)]
    assert reports["users"]["user_id"].to_pylist() == ["u2", "u3"]
    assert reports["products"]["product_id"].to_pylist() == ["p1", "p2"]
    assert reports["months"]["period_start"].to_pylist() == [date(2024, 1, 1), date(2024, 2, 1)]
    assert {start.month for start in reports["since"]["period_start"].to_pylist()} == {2}


def test_the_facts_sum_up_by_day(story: Story) -> None:
    assert [(row["transactions"], row["amount_usd"]) for row in story.sums] == [
        (1, 10),
        (1, 30),
        (1, 20),
    ]


def test_a_run_written_twice_is_there_once(story: Story) -> None:
    assert len(story.runs) == 1
    run = story.runs[0]
    assert (run["status"], run["error"]) == ("completed", None)
    assert (run["start_date"], run["started_at"]) == (date(2024, 3, 1), RUN.started)
    assert run["seconds"] == Decimal("30.5")
    assert [(row["table_name"], row["value"]) for row in story.metrics] == [
        ("products", None),
        ("users", Decimal("0.9912")),
    ]


def test_every_view_answers(story: Story) -> None:
    views = story.views
    assert {row["category"] for row in views["transactions_enriched"]} == {"home"}
    assert [row["date"] for row in views["daily_kpis"]] == [date(2024, 2, 3)]
    assert views["daily_kpis"][0]["completion_rate"] == 1
    ranks = {row["user_id"]: row["spending_rank"] for row in views["top_customers"]}
    assert ranks == {"u2": 1, "u3": 2, "u1": 3}
    assert {row["product_id"]: row["revenue_rank"] for row in views["product_rankings"]} == {
        "p1": 1,
        "p2": 2,
    }


def test_a_part_loaded_again_is_found_and_not_doubled(story: Story) -> None:
    assert [(part.rows, part.repeated) for part in story.loaded] == [(1, False), (1, True)]


def test_a_second_process_finds_everything_in_place(story: Story) -> None:
    assert story.ensured_again == Ensured()
    assert story.cost_of_ensuring_again == JobCost()


def test_a_table_of_an_older_version_gets_its_new_columns(
    new_target: Callable[[], WarehouseTarget],
) -> None:
    async def tell() -> tuple[list[Ensured], list[Row]]:
        target = new_target()
        table = declared()["users"]
        older = table.sql.replace("  age_group STRING,\n", "").replace(
            '("schema_version", "1")', '("schema_version", "0")'
        )
        assert older.count("age_group") == 0
        unguarded = (
            declared()["transactions"]
            .sql.replace("  require_partition_filter = TRUE,\n", "")
            .replace('("schema_version", "2")', '("schema_version", "1")')
        )
        async with WarehouseSink(target) as sink:
            await sink._jobs.call(lambda service: service.create_dataset())
            shop = Warehouse(sink, Path(), target.dataset)
            insert = "INSERT INTO users VALUES ('u1', 'a***@b.c', '2024-01-01', 'DE', 'europe', "
            await shop.run(
                Statement(name="tests/create", sql=older),
                Statement(name="tests/create", sql=unguarded),
                Statement(name="tests/insert", sql=insert + "'vip', 1, 1, 'b')"),
            )
            ensured = [await sink.ensure() for _ in range(2)]
            rows = await shop.rows("SELECT user_id, age_group FROM users")
            with pytest.raises(WarehouseError, match="without a filter"):
                await shop.rows("SELECT * FROM transactions")
            return ensured, rows

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        (first, second), rows = runner.run(tell())
    assert set(first.migrated) == {"users", "transactions"}
    assert second == Ensured()
    assert rows == [{"user_id": "u1", "age_group": None}]


def test_a_report_outlives_the_facts_it_came_from(
    new_target: Callable[[], WarehouseTarget], tmp_path: Path
) -> None:
    async def tell() -> tuple[list[Row], list[Row], object]:
        target = new_target()
        old, late = (
            transaction(name, "2024-01-01", "5.00", user_id="u", product_id="p")
            for name in ("t1", "t2")
        )
        async with WarehouseSink(target) as sink:
            await sink.ensure()
            shop = Warehouse(sink, tmp_path, target.dataset)
            await shop.publish(transactions=[old])
            before = (await sink.report(ReportKind.DAILY_SALES)).to_pylist()
        async with WarehouseSink(replace(target, partition_expiration_days=30)) as sink:
            await sink.ensure()
            shop = Warehouse(sink, tmp_path, f"{target.dataset}_late")
            await shop.publish(transactions=[late])
            after = (await sink.report(ReportKind.DAILY_SALES)).to_pylist()
            found = await sink._jobs.call(lambda service: service.tables())
        return before, after, (found or {})["transactions"]["expires_days"]

    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        before, after, label = runner.run(tell())
    assert before == after
    assert len(before) == 1
    assert label == "30"


def test_importing_the_package_does_not_import_googles_client() -> None:
    code = (
        "import sys, techmart_fast.warehouse; "
        "sys.exit(any(name.startswith('google.cloud') for name in sys.modules))"
    )
    root = Path(importlib.import_module("techmart_fast").__path__[0]).parent
    run = subprocess.run([sys.executable, "-c", code], cwd=root, check=False, timeout=60)
    assert run.returncode == 0
