"""Runs and files: every run has its row, every file one ordinal for ever."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from techmart_fast.errors import SinkError
from techmart_fast.postgres import Lease, PostgresSink, QualityMetric, RunEnd
from techmart_fast.postgres.registry import ordinal_in_name
from techmart_fast.records import Cut, Feed, FeedCounts, SourceFile
from tests.postgres.places import Connection, run_start
from tests.postgres.records import batch, on_day, product, sale, source, user


async def test_a_finished_run_keeps_its_counts_and_quality(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    counts = FeedCounts(read=3, loaded=1, rejected=2, rejected_by_reason={"invalid_json": 2})
    metric = QualityMetric(
        table="transactions",
        dimension="accuracy",
        metric="score",
        value=0.97,
        threshold=0.99,
        status="WARN",
    )
    nothing = replace(metric, dimension="timeliness", value=None, threshold=None, status="PASS")
    end = RunEnd(
        status="completed",
        feeds={Feed.TRANSACTIONS: counts},
        seconds=1.5,
        bytes_read=100,
        peak_memory_bytes=200,
        metrics=(metric, nothing),
    )
    await sink.finish_run(lease, end)
    [run] = await sink.runs()
    assert (run.status, run.feeds, run.seconds) == ("completed", {Feed.TRANSACTIONS: counts}, 1.5)
    assert run.ended_at is not None
    rows = await other.fetch(
        "SELECT dimension, value, status FROM techmart_loader.data_quality_metrics ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [
        ("accuracy", 0.97, "WARN"),
        ("timeliness", None, "PASS"),
    ]


async def test_a_refused_run_has_its_row_too(sink: PostgresSink, lease: Lease) -> None:
    later = datetime.now(tz=UTC) + timedelta(seconds=1)
    refused = run_start(started_at=later)
    await sink.record_refused_run(refused, "Another run holds the lease.")
    newest, running = await sink.runs()
    assert (newest.run_id, newest.status) == (refused.run_id, "failed")
    assert newest.error == "Another run holds the lease."
    assert running.status == "running"
    assert [run.run_id for run in await sink.runs(limit=1)] == [refused.run_id]


CUT = Cut(block_bytes=1_000, lanes=2)


def files(*names: str, content: Sequence[str] | None = None) -> list[SourceFile]:
    return [
        replace(source(Feed.USERS), name=name, path=Path(name), fingerprint=mark, ordinal=-1)
        for name, mark in zip(names, content or names, strict=True)
    ]


async def ordinals(
    sink: PostgresSink, lease: Lease, given: list[SourceFile], **how: object
) -> list[int]:
    registered = await sink.register_files(lease, given, **{"policy": "run", "cut": CUT, **how})  # type: ignore[arg-type]
    assert [file.name for file in registered] == [file.name for file in given]
    return [file.ordinal for file in registered]


async def test_new_files_follow_in_name_order_and_known_ones_keep_theirs(
    sink: PostgresSink, lease: Lease
) -> None:
    assert await ordinals(sink, lease, files("b", "a", "c")) == [2, 1, 3]
    assert await ordinals(sink, lease, files("z", "y", content=["b", "new"])) == [2, 4]
    assert await ordinals(sink, lease, files("m", "n", content=["same", "same"])) == [5, 5]
    assert await ordinals(sink, lease, []) == []


async def test_a_file_is_cut_as_it_was_the_first_time(sink: PostgresSink, lease: Lease) -> None:
    await ordinals(sink, lease, files("a"))
    other = Cut(block_bytes=2_000, lanes=4)
    again = await sink.register_files(lease, files("b", "a"), policy="run", cut=other)
    assert [file.cut for file in again] == [other, CUT]


async def test_the_name_or_the_user_may_give_the_ordinal(sink: PostgresSink, lease: Lease) -> None:
    named = files("x-2025-01-31.csv", "x-2025-01-02.csv")
    assert await ordinals(sink, lease, named, policy="name") == [20250131, 20250102]
    assert await ordinals(sink, lease, files("q", "p"), explicit=7) == [8, 7]
    with pytest.raises(SinkError, match=r"20250131 of the users feed belongs to x-2025-01-31"):
        await ordinals(sink, lease, files("again-20250131.csv"), policy="name")
    with pytest.raises(SinkError, match="holds no number"):
        await ordinals(sink, lease, files("names.csv"), policy="name")
    assert await ordinals(sink, lease, files("other")) == [20250132]


async def test_a_file_name_that_is_not_text_is_kept_readable(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    assert await ordinals(sink, lease, files("caf\udce9.csv", content=["x"])) == [1]
    assert await other.fetchval("SELECT name FROM techmart_loader.files") == "caf\\udce9.csv"


@pytest.mark.parametrize(
    ("name", "ordinal"),
    [
        ("orders-2025-01-31.json", 20250131),
        ("data/2024/part_0007.csv.gz", 7),
        ("export_20250131.ndjson", 20250131),
        ("export_20250131T235959.ndjson", 20250131235959),
        ("2025-01-31_23-59.json", 202501312359),
        ("shop2_orders_12.json", 12),
        ("orders.json", None),
    ],
)
def test_the_number_in_a_name(name: str, ordinal: int | None) -> None:
    assert ordinal_in_name(name) == ordinal


async def test_totals_by_day(sink: PostgresSink, lease: Lease) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1")]))
    sales = [sale("a", 1, at=1), sale("b", 2, at=2), sale("c", 4, at=3, **on_day(9))]
    await sink.write(0, batch(lease, Feed.TRANSACTIONS, sales))
    totals = await sink.daily_totals()
    rows = [(row["transaction_date"].day, row["transactions"]) for row in totals.to_pylist()]
    assert rows == [(1, 2), (9, 1)]
    chosen = await sink.daily_totals([totals["transaction_date"][1].as_py()])
    assert chosen["amount_usd"].to_pylist() == [Decimal("4.00")]
    assert (await sink.status()).amount_usd == Decimal("7.00")
