"""A run that loads nothing: it counts as a run does, leaves no trace, and prices what comes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from techmart_fast import DataSources, plan
from techmart_fast.dev import ShopSpec, generate
from techmart_fast.errors import WarehouseError
from techmart_fast.records import Feed
from techmart_fast.settings import Settings
from techmart_fast.warehouse import LoadTable
from techmart_fast.warehouse.target import WarehouseTarget
from tests.shops import Shop, sources_in

MakeShop = Callable[..., Shop]


@pytest.fixture
def generated(tmp_path: Path) -> Path:
    generate(ShopSpec(out=tmp_path, transactions=2_000, users=100, products=40, days=6, seed=9))
    return tmp_path


async def test_it_counts_as_a_run_does_and_leaves_no_trace(shop: Shop, generated: Path) -> None:
    planned = await plan(sources_in(generated), settings=shop.settings)
    (made,) = await shop.rows("SELECT to_regclass('public.transactions') AS there")
    assert made["there"] is None
    assert not list((shop.settings.home / "spool").glob("rehearsal-*"))
    result = await shop.load(generated)
    for feed in Feed:
        counts, expected = result.feeds[feed], planned.feeds[feed]
        assert (expected.read, expected.rejected) == (counts.read, counts.rejected)
        assert expected.rejected_by_reason == counts.rejected_by_reason
        assert expected.loaded == counts.loaded + counts.held + counts.duplicate
    # Versions of one row are told apart by PostgreSQL, so the warehouse gets fewer.
    assert planned.tables[LoadTable.TRANSACTIONS].rows >= result.published["transactions"]
    assert all(table.load_jobs == 1 for table in planned.tables.values())
    assert planned.days == len((await shop.reports())["daily-sales"])


async def test_the_price_of_a_late_batch_is_known_before_it_is_loaded(
    shop: Shop, generated: Path, tmp_path: Path
) -> None:
    await shop.load(generated)
    (known,) = await shop.rows(
        "SELECT user_id, product_id, transaction_date FROM transactions ORDER BY 3, 1, 2 LIMIT 1"
    )
    late = tmp_path / "late.ndjson"
    record = {
        "transaction_id": "late",
        "user_id": known["user_id"],
        "product_id": known["product_id"],
        "amount": "1.00",
        "currency": "USD",
        "timestamp": f"{known['transaction_date']}T12:00:00Z",
        "payment_method": "credit_card",
        "status": "completed",
    }
    late.write_text(json.dumps(record) + "\n")
    sources = DataSources(transactions=(str(late),))
    planned = await plan(sources, settings=shop.settings)
    result = await shop.run(sources)
    assert result.cost is not None
    assert planned.days == 1
    assert planned.cost.jobs == result.cost.jobs
    assert planned.cost.bytes_billed == pytest.approx(result.cost.bytes_billed, rel=0.05)


async def test_a_warehouse_that_does_not_answer_is_told(
    shop: Shop, generated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(**given: object) -> WarehouseTarget:
        return replace(WarehouseTarget(**given), api_endpoint="http://127.0.0.1:9")  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr("techmart_fast.pipeline.sinks.WarehouseTarget", nowhere)
    with pytest.raises(WarehouseError, match="does not answer"):
        await plan(sources_in(generated), settings=shop.settings)


async def test_what_changed_users_move_is_in_the_plan(
    shop: Shop, generated: Path, tmp_path: Path
) -> None:
    await shop.load(generated)
    changed = tmp_path / "changed.csv"
    head, *lines = (generated / "users.csv").read_text().splitlines()
    changed.write_text(
        "\n".join([head, *(line.replace("standard", "vip") for line in lines)]) + "\n"
    )
    sources = DataSources(users=(str(changed),))
    planned = await plan(sources, settings=shop.settings)
    names = {one.name for one in planned.queries}
    assert {"queries/changed_dates", "rollups/financial_reports"} <= names
    result = await shop.run(sources)
    assert result.cost is not None
    assert planned.cost.bytes_billed >= result.cost.bytes_billed > 0


async def test_a_dataset_in_another_place_is_no_empty_one(shop: Shop, generated: Path) -> None:
    await shop.load(generated)
    elsewhere = shop.settings.bigquery.model_copy(update={"location": "EU"})
    settings = Settings(
        pipeline=shop.settings.pipeline, postgres=shop.settings.postgres, bigquery=elsewhere
    )
    with pytest.raises(WarehouseError, match="is in US, not in EU"):
        await plan(sources_in(generated), settings=settings)
