"""What was interrupted or lost in the warehouse is made again or refused, never taken for whole."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from techmart_fast.errors import WarehouseError, WrongWarehouseError
from techmart_fast.warehouse import Owner, Refreshed
from techmart_fast.warehouse.rollups import Rollups
from techmart_fast.warehouse.statements import Statement
from tests.forms import long_form
from tests.warehouse.loading import Row, Warehouse
from tests.warehouse.values import transaction

OWNER = Owner(database_id=UUID(int=7), has_published=False)
USERS: list[Row] = [{"user_id": "ann"}, {"user_id": "bob"}]
PRODUCTS: list[Row] = [{"product_id": "lamp"}, {"product_id": "desk"}]


def sale(name: str, day: str, usd: str, *, user: str = "ann", product: str = "lamp") -> Row:
    return transaction(name, day, usd, user_id=user, product_id=product)


SALES = [
    sale("t1", "2024-01-05", "10.00"),
    sale("t2", "2024-03-05", "20.00", user="bob", product="desk"),
    sale("t3", "2024-03-06", "30.00", product="desk"),
]


async def dropped(shop: Warehouse, *tables: str) -> None:
    for name in tables:
        await shop.run(Statement(name="tests/drop", sql=f"DROP TABLE {name}"))


def test_another_contract_that_is_interrupted_leaves_no_figures_of_it(
    told: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh: Callable[..., Awaitable[Refreshed]] = Rollups.refresh

    async def interrupted(*given: object, **named: object) -> Refreshed:
        await refresh(*given, **named)
        raise WarehouseError("the network is gone")

    async def story(shop: Warehouse) -> None:
        await shop.publish(users=USERS, products=PRODUCTS, transactions=SALES)
        before = await shop.rollups()
        other = shop.rules.model_copy(update={"cost_ratio": Decimal("0.5"), "churn_days": 9})
        with monkeypatch.context() as patched:
            patched.setattr(Rollups, "refresh", interrupted)
            with pytest.raises(WarehouseError):
                await shop.sink.refresh([], other)
        assert await shop.rollups() != before
        # Another process sees only what is stored in the warehouse.
        await shop.sink.ensure()
        await shop.publish()
        assert await shop.rollups() == before

    told(story)


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param(["orders_by_user"], marks=pytest.mark.torture),
        ["orders_by_product", "product_performance"],
        pytest.param(["partial_orders", "user_analytics"], marks=pytest.mark.torture),
        ["partial_totals", "partial_users", "partial_products"],
        ["partial_finances", "daily_sales_summary", "financial_reports"],
    ],
    ids=lambda names: names[0],
)
def test_what_is_computed_is_computed_again_where_its_table_was_lost(
    told: Callable[..., None], lost: list[str]
) -> None:
    async def story(shop: Warehouse) -> None:
        await shop.publish(users=USERS, products=PRODUCTS, transactions=SALES)
        await dropped(shop, *lost)
        created = await shop.sink.ensure()
        assert set(created.created) == set(lost)
        # This run ends here; the next one finds the tables, which are empty.
        assert (await shop.sink.ensure()).created == ()
        late = sale("t4", "2024-01-05", "5.00", user="bob")
        await shop.publish(transactions=[late])
        users, products = await shop.rollup("users"), await shop.rollup("products")
        assert {name: row["total_spent"] for name, row in users.items()} == {"ann": 40, "bob": 25}
        assert {name: row["total_revenue"] for name, row in products.items()} == {
            "lamp": 15,
            "desk": 50,
        }
        assert products["lamp"]["unique_customers"] == 2
        days = await shop.rollup("daily")
        assert [row["total_revenue"] for _, row in sorted(days.items())] == [15, 20, 30]
        year = (await shop.rollup("financials"))["yearly", date(2024, 1, 1)]
        assert year["net_revenue"] == 65

    told(story)


@pytest.mark.parametrize(
    "lost", long_form(("transactions", "users", "rejected_transactions"), short=("transactions",))
)
def test_a_table_of_loaded_rows_that_was_lost_is_not_begun_anew(
    told: Callable[..., None], lost: str
) -> None:
    async def story(shop: Warehouse) -> None:
        await shop.sink.ensure(OWNER)
        await shop.publish(users=USERS, products=PRODUCTS, transactions=SALES)
        await dropped(shop, lost)
        published = replace(OWNER, has_published=True)
        with pytest.raises(WrongWarehouseError, match=f"has no table {lost} any more") as refused:
            await shop.sink.ensure(published)
        assert f"{lost}@-3600000" in refused.value.hint
        assert await shop.sink.probe()

    told(story)
