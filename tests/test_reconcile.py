"""Both sinks are compared exactly: equal, behind, or which days and batches differ."""

import asyncio
import json
import re
from collections.abc import Callable
from datetime import date
from importlib.resources import files
from pathlib import Path

import pytest

import techmart_fast
from techmart_fast.api import reconcile
from techmart_fast.cli.console import render
from techmart_fast.cli.reconciling import for_people, verdict
from techmart_fast.errors import ConfigError, ExitCode, WarehouseError, WrongWarehouseError
from techmart_fast.fingerprints import Fingerprint
from techmart_fast.pipeline.reconciled import Standing
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.postgres.statements import statement as postgres_statement
from techmart_fast.settings import BigQuerySettings, Settings
from techmart_fast.warehouse import WarehouseSink, shares_of_days
from techmart_fast.warehouse.schema import declared
from techmart_fast.warehouse.statements import sql_text
from tests.odd_shop import compared, feeds, in_warehouse, loaded, of, sale
from tests.shops import Shop

__all__ = ["loaded"]  # a fixture


async def test_what_was_loaded_is_equal_down_to_odd_characters(loaded: Shop) -> None:
    found = await compared(loaded)
    assert found.standing is Standing.EQUAL
    assert found.exit_code is ExitCode.DONE
    rows = {one.table: (one.postgres_rows, one.warehouse_rows, one.parts) for one in found.tables}
    assert rows["users"][:2] == (4, 4)
    assert rows["products"][:2] == (2, 2)
    assert rows["transactions"] == (30, 30, 3)
    assert rows["rejected_transactions"] == (1, 1, 1)
    assert found.books.balance
    assert found.books.held_actual == 1


async def test_repeats_corrections_and_moves_to_another_day_stay_equal(
    loaded: Shop, tmp_path: Path
) -> None:
    again = [sale(1), sale(2, amount="3.50"), sale(3, timestamp="2024-04-01T00:00:00Z")]
    assert (await loaded.run(feeds(tmp_path, *again, name="later"))).error is None
    found = await compared(loaded)
    assert found.standing is Standing.EQUAL, [one.to_dict() for one in found.tables]
    assert of(found, "transactions").parts == 4


async def test_a_changed_a_lost_and_a_strange_row_are_counted_on_their_days(loaded: Shop) -> None:
    await in_warehouse(
        loaded,
        "UPDATE transactions SET amount = amount + NUMERIC '0.01' "
        "WHERE transaction_id = 't3' AND transaction_date = DATE '2024-03-01'",
        "DELETE FROM transactions "
        "WHERE transaction_id IN ('t4', 't7') AND transaction_date = DATE '2024-03-02'",
        "INSERT INTO transactions SELECT * REPLACE ("
        "DATE '2031-01-01' AS transaction_date, 'strange' AS transaction_id) "
        "FROM transactions WHERE transaction_date = DATE '2024-03-05' AND transaction_id = 't2'",
        "INSERT INTO transactions SELECT * "
        "FROM transactions WHERE transaction_date = DATE '2024-03-05' AND transaction_id = 't5'",
    )
    found = await compared(loaded)
    assert found.exit_code is ExitCode.SINKS_DIFFER
    unequal = {one.part: one for one in of(found, "transactions").unequal}
    counts = {part: (one.missing, one.extra, one.changed) for part, one in unequal.items()}
    assert counts == {
        date(2024, 3, 1): (0, 0, 1),
        date(2024, 3, 2): (2, 0, 0),
        date(2024, 3, 5): (0, 1, 0),
        date(2031, 1, 1): (0, 1, 0),
    }
    batches = {str(row["batch_id"]) for row in await loaded.rows(
        "SELECT batch_id FROM techmart_loader.batches WHERE feed = 'transactions'"
    )}  # fmt: skip
    named = unequal[date(2024, 3, 1)].batches
    assert named
    assert set(named) <= batches
    only = await compared(loaded, since=date(2024, 3, 2), until=date(2024, 3, 2))
    assert [one.part for one in of(only, "transactions").unequal] == [date(2024, 3, 2)]
    assert of(only, "transactions").parts == 1


async def test_users_products_and_rejections_differ_by_bucket_and_day(loaded: Shop) -> None:
    await in_warehouse(
        loaded,
        "UPDATE users SET customer_tier = 'vip' WHERE user_id = '1:u'",
        "DELETE FROM products WHERE product_id = 'p1'",
        "DELETE FROM rejected_transactions WHERE transaction_date >= DATE '2000-01-01'",
    )
    found = await compared(loaded)
    assert {one.table for one in found.tables if one.standing is Standing.DIFFERS} == {
        *("users", "products", "rejected_transactions")
    }
    (user,), (product,) = of(found, "users").unequal, of(found, "products").unequal
    assert (user.missing, user.extra, user.changed) == (0, 0, 1)
    assert (product.missing, product.extra, product.changed) == (1, 0, 0)
    said = "\n".join(render(list(for_people(found)), terminal=False, color=False).splitlines())
    assert "sync --republish" in said
    for secret in ("1:u", "p1", "ana@", "zoë"):
        assert secret not in said
        assert secret not in json.dumps(found.to_dict(), default=str)


async def test_rows_that_wait_in_the_outbox_are_behind_and_not_a_difference(
    loaded: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise WarehouseError("out of order")

    with monkeypatch.context() as broken:
        broken.setattr(WarehouseSink, "merge", refuse)
        moved = sale(3, timestamp="2024-04-01T00:00:00Z")
        result = await loaded.run(feeds(tmp_path, sale(40), moved, name="later"))
        assert result.exit_code is ExitCode.SINKS_DIFFER
    found = await compared(loaded)
    assert found.standing is Standing.BEHIND
    assert found.exit_code is ExitCode.SINKS_DIFFER
    table = of(found, "transactions")
    assert table.waiting_rows == 2
    # The day that a row left is behind as well.
    assert {(one.part, one.standing) for one in table.unequal} == {
        (date(2024, 3, 1), Standing.BEHIND),
        (date(2024, 3, 2), Standing.BEHIND),
        (date(2024, 4, 1), Standing.BEHIND),
    }
    assert "Behind: 2 rows in" in verdict(found)
    elsewhere = await compared(loaded, since=date(2024, 3, 5), until=date(2024, 3, 5))
    assert elsewhere.standing is Standing.EQUAL
    await in_warehouse(
        loaded, "DELETE FROM transactions WHERE transaction_date = DATE '2024-03-05'"
    )
    assert (await compared(loaded)).standing is Standing.DIFFERS


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (
            "UPDATE techmart_loader.batches SET first_byte = first_byte + 5 WHERE first_byte = 0",
            "were not committed",
        ),
        ("UPDATE techmart_loader.batches SET held = 0, loaded = loaded + held", "counts of"),
        ("DELETE FROM techmart_loader.held_transactions", "1 by the books, 0 there"),
    ],
    ids=["gap", "run", "held"],
)
async def test_accounting_that_does_not_add_up_is_told(
    loaded: Shop, damage: str, told: str
) -> None:
    async with (
        open_sinks(loaded.settings, warehouse=False) as sinks,
        sinks.postgres._connections.control() as session,
    ):
        await session.script(damage, doing="testing")
    found = await compared(loaded)
    assert found.standing is Standing.DIFFERS
    assert all(one.standing is Standing.EQUAL for one in found.tables)
    assert told in render(list(for_people(found)), terminal=False, color=False)
    assert found.to_dict()["accounting"]["adds_up"] is False  # type: ignore[index]


async def test_an_empty_database_is_equal_to_no_warehouse_at_all(shop: Shop) -> None:
    found = await compared(shop)
    assert found.standing is Standing.EQUAL
    async with open_sinks(shop.settings, postgres=False) as sinks:
        assert not await sinks.warehouse.probe(), "comparing makes nothing"


async def test_another_dataset_is_refused(loaded: Shop) -> None:
    moved = Settings(
        pipeline=loaded.settings.pipeline,
        postgres=loaded.settings.postgres,
        bigquery=BigQuerySettings(dataset_id="not_there"),
    )
    with pytest.raises(WrongWarehouseError):
        await reconcile(settings=moved)


async def test_a_query_that_would_read_too_much_is_refused(loaded: Shop) -> None:
    bigquery = loaded.settings.bigquery.model_copy(update={"maximum_bytes_billed": 1})
    settings = Settings(
        pipeline=loaded.settings.pipeline, postgres=loaded.settings.postgres, bigquery=bigquery
    )
    with pytest.raises(WarehouseError):
        await reconcile(settings=settings)


async def test_days_the_wrong_way_round_are_a_mistake() -> None:
    with pytest.raises(ConfigError, match="--since is after --until"):
        await reconcile(since=date(2024, 2, 1), until=date(2024, 1, 1))


def test_days_are_shared_out_by_what_they_hold() -> None:
    rows = {date(2024, 1, day): Fingerprint(rows=10) for day in (1, 2, 6)}
    assert list(shares_of_days({}, most_bytes=1)) == []
    whole = list(shares_of_days(rows, most_bytes=1 << 30))
    assert [(one[0], one[-1], len(one)) for one in whole] == [
        (date(2024, 1, 1), date(2024, 1, 6), 6)
    ]
    single = list(shares_of_days(rows, most_bytes=6000))
    assert [len(one) for one in single] == [1, 4, 1]


@pytest.mark.parametrize("table", ["users", "products", "transactions"])
def test_both_engines_make_the_text_of_the_same_columns_in_the_same_order(
    table: str,
) -> None:
    derived = {
        *("transaction_hour", "day_of_week", "is_high_value", "is_international"),
        *("payment_method_risk", "transaction_risk", "catalogue_ordinal"),
        *("source_ordinal", "source_offset", "batch_id"),
    }
    wanted = [one.name for one in declared()[table].columns if one.name not in derived]

    def columns(sql: str) -> list[str]:
        text = sql[sql.lower().rindex("concat(\n") : sql.lower().rindex("row_hash")]
        words = re.findall(r"[a-z_]+", text.replace("masked", "email"))
        return list(dict.fromkeys(word for word in words if word in wanted))

    assert columns(postgres_statement("reconcile", f"hashed_{table}")) == wanted
    assert columns(sql_text(f"reconcile/hashed_{table}")) == wanted


def test_the_sql_folder_of_reconciliation_is_described() -> None:
    folder = files("techmart_fast.warehouse").joinpath("sql", "reconcile")
    assert all(file.read_text(encoding="utf-8").startswith("-- ") for file in folder.iterdir())


def test_a_library_caller_needs_no_loop_of_its_own_settings(
    make_shop: Callable[..., Shop],
) -> None:
    found = asyncio.run(techmart_fast.reconcile(settings=make_shop().settings))
    assert isinstance(found, techmart_fast.Reconciliation)
