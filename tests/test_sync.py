"""A sync heals: what waits is published, what differs is sent again, wherever it is interrupted."""

import shutil
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path

import pytest

from techmart_fast.api import reconcile, sync
from techmart_fast.cli.console import render
from techmart_fast.cli.syncing import for_people
from techmart_fast.errors import (
    ConfigError,
    ExitCode,
    LeaseHeldError,
    WarehouseError,
    WrongWarehouseError,
)
from techmart_fast.fingerprints import Part
from techmart_fast.pipeline.reconciled import Standing
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.pipeline.synced import SyncResult
from techmart_fast.postgres import PostgresSink, export
from techmart_fast.results import RunStatus
from techmart_fast.settings import BigQuerySettings, Settings
from techmart_fast.warehouse import LoadGroup, WarehouseSink
from tests.forms import long_form
from tests.odd_shop import compared, facts, feeds, in_warehouse, loaded, sale
from tests.shops import Shop

__all__ = ["loaded"]  # a fixture

TABLES = ("users", "products", "transactions", "rejected_transactions")
DAMAGE = (
    (
        "UPDATE transactions SET amount_usd = amount_usd + 1, status = 'failed' "
        "WHERE transaction_id = 't3' AND transaction_date = DATE '2024-03-01'"
    ),
    (
        "DELETE FROM transactions "
        "WHERE transaction_id IN ('t4', 't7') AND transaction_date = DATE '2024-03-02'"
    ),
    (
        "INSERT INTO transactions SELECT * REPLACE ("
        "DATE '2031-01-01' AS transaction_date, 'strange' AS transaction_id) "
        "FROM transactions WHERE transaction_date = DATE '2024-03-05' AND transaction_id = 't2'"
    ),
    # One id twice on a day, and one that went to another day.
    (
        "INSERT INTO transactions SELECT * "
        "FROM transactions WHERE transaction_date = DATE '2024-03-05' AND transaction_id = 't5'"
    ),
    (
        "UPDATE transactions SET transaction_date = DATE '2024-03-01' "
        "WHERE transaction_id = 't8' AND transaction_date = DATE '2024-03-05'"
    ),
    "UPDATE users SET customer_tier = 'vip' WHERE user_id = '1:u'",
    "DELETE FROM products WHERE product_id = 'p1'",
    "INSERT INTO users SELECT * REPLACE ('ghost' AS user_id) FROM users WHERE user_id = 'u1'",
    "DELETE FROM rejected_transactions WHERE transaction_date >= DATE '2000-01-01'",
)


async def synced(shop: Shop, **how: bool) -> SyncResult:
    result = await sync(settings=shop.settings, **how)  # type: ignore[arg-type]  # passed on
    assert result.run.error is None, result.run.error
    assert result.run.exit_code is ExitCode.DONE
    return result


async def everything(shop: Shop) -> dict[str, list[dict[str, object]]]:
    """All rows of the warehouse: what is loaded, and what is computed."""
    return {**{table: await facts(shop, table) for table in TABLES}, **await shop.reports()}


async def refuse(*_: object, **__: object) -> None:
    raise WarehouseError("out of order")


async def test_what_a_run_could_not_publish_is_published(
    loaded: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(WarehouseSink, "merge", refuse)
        result = await loaded.run(feeds(tmp_path, sale(40), sale(41), name="later"))
        assert result.exit_code is ExitCode.SINKS_DIFFER
        failed = await sync(settings=loaded.settings)
        assert failed.run.exit_code is ExitCode.SINKS_DIFFER
        assert "The warehouse is not up to date: out of order" in str(failed.run.error)
    done = await synced(loaded)
    assert done.run.published["transactions"] == 2
    assert (await compared(loaded)).standing is Standing.EQUAL
    assert sum(row["total_transactions"] for row in (await loaded.reports())["daily-sales"]) > 0
    again = await synced(loaded)
    assert not again.run.published
    said = render(list(for_people(again)), terminal=False, color=False)
    assert "nothing to send" in said


async def test_rebuilding_computes_what_nobody_touched(loaded: Shop) -> None:
    before = await loaded.reports()
    await in_warehouse(
        loaded,
        "UPDATE daily_sales_summary SET total_revenue = 0 WHERE date > DATE '2000-01-01'",
        "DELETE FROM user_analytics WHERE TRUE",
    )
    await synced(loaded)
    assert await loaded.reports() != before
    done = await synced(loaded, rebuild=True)
    assert done.refreshed is not None
    assert done.refreshed.days >= 3
    assert await loaded.reports() == before


async def test_what_differs_is_sent_again_and_all_is_as_before_in_every_column(
    loaded: Shop,
) -> None:
    before = await everything(loaded)
    await in_warehouse(loaded, *DAMAGE)
    assert (await compared(loaded)).standing is Standing.DIFFERS
    done = await synced(loaded, republish=True)
    assert {table: one.parts for table, one in done.repaired.items()} == {
        "users": 2,
        "products": 1,
        "transactions": 4,
        "rejected_transactions": 1,
    }
    assert (await compared(loaded)).standing is Standing.EQUAL
    assert await everything(loaded) == before
    again = await synced(loaded, republish=True)
    assert not again.repaired
    # What was sent again is as good as what was loaded: the next records find it.
    assert (await loaded.run()).error is None
    assert (await compared(loaded)).standing is Standing.EQUAL


async def test_equal_days_are_left_alone(loaded: Shop) -> None:
    await in_warehouse(
        loaded,
        "DELETE FROM transactions "
        "WHERE transaction_id = 't4' AND transaction_date = DATE '2024-03-02'",
    )
    done = await synced(loaded, republish=True)
    assert {table: (one.parts, one.rows) for table, one in done.repaired.items()} == {
        "transactions": (1, 10)
    }


STEPS = (
    (PostgresSink, "begin_repair", False),
    (WarehouseSink, "load", True),
    (PostgresSink, "confirm", False),
    (WarehouseSink, "replace", True),
    (WarehouseSink, "refresh", True),
    (PostgresSink, "end_repairs", False),
    (PostgresSink, "end_repairs", True),
)


async def cut(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, sink: type, step: str, *, late: bool
) -> None:
    """A repair that is cut off before, or after, one of its steps did what it does."""
    whole: Callable[..., Awaitable[object]] = getattr(sink, step)
    calls = 0

    async def broken_step(self: object, *given: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        # Some calls belong to publishing, which comes first, or to the table before.
        earlier = {
            "load": calls == 1,
            "replace": calls == 1,
            "refresh": not given or not given[0],
            "end_repairs": "covered" not in named,
        }
        if earlier.get(step):
            return await whole(self, *given, **named)
        if late:
            await whole(self, *given, **named)
        raise WarehouseError("cut")

    with monkeypatch.context() as broken:
        broken.setattr(sink, step, broken_step)
        result = await sync(settings=shop.settings, republish=True)
    assert result.run.status is RunStatus.FAILED
    assert result.run.exit_code is ExitCode.SINKS_DIFFER


@pytest.mark.torture
async def test_repairs_interrupted_at_every_step_one_after_the_other_are_healed_by_the_next(
    loaded: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await everything(loaded)
    for number, (sink, step, late) in enumerate(STEPS):
        # A fact and a user each time: another one, as the repair may have come to its end.
        await in_warehouse(loaded, DAMAGE[number % 5], DAMAGE[5])
        await cut(loaded, monkeypatch, sink, step, late=late)
    await synced(loaded, republish=True)
    assert (await compared(loaded)).standing is Standing.EQUAL
    assert await everything(loaded) == before
    waiting = await loaded.rows(
        "SELECT 1 FROM techmart_loader.repairs WHERE ended_at IS NULL UNION ALL "
        "SELECT 1 FROM techmart_loader.outbox WHERE published_at IS NULL"
    )
    assert waiting == []


@pytest.mark.parametrize(
    ("step", "late"), long_form((("replace", True), ("refresh", False)), short=(("replace", True),))
)
async def test_what_an_interrupted_repair_replaced_is_computed_by_the_next_sync(
    loaded: Shop, monkeypatch: pytest.MonkeyPatch, step: str, late: bool
) -> None:
    before = await loaded.reports()
    await in_warehouse(loaded, *DAMAGE[:2])
    await synced(loaded, rebuild=True)
    await in_warehouse(loaded, *DAMAGE[5:6])
    assert await loaded.reports() != before
    await cut(loaded, monkeypatch, WarehouseSink, step, late=late)
    await synced(loaded)
    assert (await compared(loaded)).standing is Standing.EQUAL
    assert await loaded.reports() == before


async def test_a_repair_that_was_replaced_changes_nothing_however_late_it_comes(
    loaded: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await in_warehouse(loaded, *DAMAGE[:2])
    whole = WarehouseSink.replace
    later = feeds(tmp_path, sale(40), sale(4, amount="77.70"), name="later")

    async def paused(self: WarehouseSink, group: LoadGroup, parts: list[Part]) -> int:
        monkeypatch.setattr(WarehouseSink, "replace", whole)
        # What a run sees that was stopped for longer than its lease: its connections are gone.
        await loaded.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database() "
            "AND backend_type = 'client backend'"
        )
        assert (await loaded.run(later)).error is None
        return await whole(self, group, parts)

    monkeypatch.setattr(WarehouseSink, "replace", paused)
    stale = await sync(settings=loaded.settings, republish=True)
    assert stale.run.status is RunStatus.FAILED
    found = await compared(loaded)
    left = {one.part for table in found.tables for one in table.unequal}
    rows = [row for row in await facts(loaded) if row["transaction_id"] in {"t40", "t4"}]
    assert sorted(str(row["amount"]) for row in rows)[-1].startswith("77.7")
    assert len(rows) == 2, "the later run's rows are there, though their day was to be replaced"
    await synced(loaded, republish=True)
    assert (await compared(loaded)).standing is Standing.EQUAL
    assert left


async def test_a_lost_spool_is_made_up_for_by_writing_the_rows_again(
    loaded: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(WarehouseSink, "load", refuse)
        result = await loaded.run(feeds(tmp_path, sale(40), sale(30, status="odd"), name="later"))
        assert result.exit_code is ExitCode.SINKS_DIFFER
    shutil.rmtree(loaded.settings.home / "spool")
    done = await synced(loaded)
    assert done.run.published["transactions"] == 1
    assert any("written again from PostgreSQL" in note for note in done.run.notes)
    assert (await compared(loaded)).standing is Standing.EQUAL
    assert not (await synced(loaded)).run.published


async def test_a_new_dataset_is_filled_when_that_is_asked_for(loaded: Shop) -> None:
    before = await everything(loaded)
    moved = Shop(
        settings=Settings(
            pipeline=loaded.settings.pipeline,
            postgres=loaded.settings.postgres,
            bigquery=BigQuerySettings(dataset_id=f"{loaded.settings.bigquery.dataset_id}_new"),
        )
    )
    for refused in (sync, reconcile):
        with pytest.raises(WrongWarehouseError, match="sync --republish --all"):
            await refused(settings=moved.settings)
    with pytest.raises(WrongWarehouseError):
        await sync(settings=moved.settings, republish=True)
    done = await synced(moved, republish=True, everything=True)
    assert done.repaired["transactions"].rows == 30
    assert await everything(moved) == before
    assert (await compared(moved)).standing is Standing.EQUAL
    assert (await moved.run()).error is None


async def test_the_dataset_of_another_database_is_refused_even_then(
    loaded: Shop, make_shop: Callable[..., Shop]
) -> None:
    other = make_shop()
    assert (await other.run()).error is None
    mixed = Settings(
        pipeline=loaded.settings.pipeline,
        postgres=loaded.settings.postgres,
        bigquery=other.settings.bigquery,
    )
    with pytest.raises(WrongWarehouseError, match="another PostgreSQL database"):
        await sync(settings=mixed, republish=True, everything=True)


async def test_a_sync_and_a_run_do_not_work_at_once(
    loaded: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = []
    whole = WarehouseSink.refresh

    async def meeting(self: WarehouseSink, *given: object, **named: object) -> object:
        if not met:
            with pytest.raises(LeaseHeldError) as refused:
                await sync(settings=loaded.settings)
            met.append(refused.value.exit_code)
        return await whole(self, *given, **named)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(WarehouseSink, "refresh", meeting)
    await synced(loaded, rebuild=True)
    assert met == [ExitCode.LEASE_HELD]


async def test_a_sync_with_another_contract_than_the_last_run_is_a_mistake(loaded: Shop) -> None:
    async with (
        open_sinks(loaded.settings, warehouse=False) as sinks,
        sinks.postgres._connections.control() as session,
    ):
        await session.script("UPDATE techmart_loader.runs SET contract_name = 'x'", doing="testing")
    with pytest.raises(ConfigError, match="--contract FILE"):
        await sync(settings=loaded.settings)


async def test_all_goes_with_republish_only(shop: Shop) -> None:
    with pytest.raises(ConfigError, match="--republish"):
        await sync(settings=shop.settings, everything=True)


async def test_pages_hold_every_row_once_whatever_their_size(loaded: Shop) -> None:
    stored = await loaded.rows("SELECT transaction_id, transaction_date FROM transactions")
    days = [day for row in stored if isinstance(day := row["transaction_date"], date)]
    async with (
        open_sinks(loaded.settings, warehouse=False) as sinks,
        sinks.postgres._connections.snapshot() as session,
    ):
        for blocks in (1, 2048):
            pages = export.pages(session, "transactions", set(days), page_blocks=blocks)
            found = [key async for page in pages for key in page["transaction_id"].to_pylist()]
            assert sorted(found) == sorted(str(row["transaction_id"]) for row in stored)
