"""What later rows change: corrections that move, late days, new attributes, repeats."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from techmart_fast.warehouse import LoadTable
from techmart_fast.warehouse.rollups import partial_statements
from techmart_fast.warehouse.statements import Statement
from tests.warehouse.loading import Row, Warehouse
from tests.warehouse.values import transaction

JAN_1, JAN_2, JAN_9 = date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 9)
USERS: list[Row] = [
    {"user_id": "u1"},
    {"user_id": "u2", "country": "US", "region": "north_america", "customer_tier": "vip"},
]
PRODUCTS: list[Row] = [
    {"product_id": "p1", "name": "Lamp"},
    {"product_id": "p2", "name": "Car", "category": "toys", "price_usd": Decimal(5)},
]


@pytest.fixture
async def shop(warehouse: Warehouse) -> Warehouse:
    await warehouse.publish(
        users=USERS,
        products=PRODUCTS,
        transactions=[
            transaction("t1", "2024-01-01", "100.00"),
            transaction("t2", "2024-01-02", "20.00", user_id="u2", product_id="p2"),
        ],
    )
    return warehouse


async def test_the_same_rows_again_change_nothing(shop: Warehouse) -> None:
    before = await shop.rollups()
    again = [
        transaction("t1", "2024-01-01", "100.00"),
        transaction("t2", "2024-01-02", "20.00", user_id="u2", product_id="p2"),
    ]
    await shop.publish(users=USERS, products=PRODUCTS, transactions=again)
    assert {group.written for group in shop.merged.values()} == {0}
    assert await shop.rollups() == before


async def test_a_correction_moves_a_row_to_another_day_user_and_product(shop: Warehouse) -> None:
    moved = transaction(
        "t1", "2024-01-09", "70.00", user_id="u2", product_id="p2", source_ordinal=2
    )
    await shop.publish(transactions=[moved], old_dates=[JAN_1])
    assert await shop.rows("SELECT transaction_id FROM transactions ORDER BY 1") == [
        {"transaction_id": "t1"},
        {"transaction_id": "t2"},
    ]
    assert list(await shop.rollup("daily")) == [JAN_2, JAN_9]
    users, products = await shop.rollup("users"), await shop.rollup("products")
    assert (users["u1"]["total_orders"], users["u1"]["preferred_payment_method"]) == (0, None)
    assert (users["u2"]["total_spent"], users["u2"]["last_order_date"]) == (
        Decimal("90.00"),
        JAN_9,
    )
    assert (products["p1"]["total_revenue"], products["p1"]["unique_customers"]) == (0, 0)
    assert products["p2"]["total_orders"] == 2
    periods = await shop.rollup("financials")
    assert ("daily", JAN_1) not in periods
    assert periods["yearly", JAN_1]["revenue_by_region"] == [
        {"region": "north_america", "revenue": Decimal("90.00")}
    ]


async def test_an_older_row_that_comes_later_changes_nothing(shop: Warehouse) -> None:
    await shop.publish(
        users=[{"user_id": "u1", "customer_tier": "vip", "source_ordinal": 5}],
        transactions=[transaction("t1", "2024-01-01", "1.00", source_ordinal=5)],
    )
    before = await shop.rollups()
    await shop.publish(
        users=[{"user_id": "u1", "customer_tier": "standard", "source_ordinal": 4}],
        transactions=[transaction("t1", "2024-01-02", "2.00", source_ordinal=4, source_offset=999)],
        old_dates=[JAN_1],
    )
    assert await shop.rollups() == before


async def test_of_several_versions_in_one_group_the_newest_wins(warehouse: Warehouse) -> None:
    versions = [
        transaction("t1", f"2024-01-0{offset}", f"{offset}.00", source_offset=offset)
        for offset in (2, 5, 3)
    ]
    await warehouse.publish(
        users=[
            {"user_id": "u1", "customer_tier": tier, "source_offset": n}
            for n, tier in ((2, "vip"), (1, "x"))
        ],
        products=PRODUCTS,
        transactions=versions,
    )
    assert list(await warehouse.rollup("daily")) == [date(2024, 1, 5)]
    assert (await warehouse.rollup("users"))["u1"]["customer_tier"] == "vip"


async def test_a_late_day_leaves_other_days_alone_and_moves_as_of_only_forward(
    shop: Warehouse,
) -> None:
    before = (await shop.rollup("daily"))[JAN_2]
    await shop.publish(transactions=[transaction("t3", "2023-06-30", "5.00")])
    assert shop.refreshed is not None
    assert (shop.refreshed.as_of, shop.refreshed.dates) == (JAN_2, 1)
    days = await shop.rollup("daily")
    assert (next(iter(days)), days[JAN_2]) == (date(2023, 6, 30), before)
    assert (await shop.rollup("users"))["u1"]["first_order_date"] == date(2023, 6, 30)


async def test_a_later_day_moves_everybodys_days_since(shop: Warehouse) -> None:
    later = transaction("t3", "2024-06-30", "5.00", user_id="u2", status="failed")
    await shop.publish(transactions=[later])
    users = await shop.rollup("users")
    assert users["u1"]["days_since_last_order"] == 181
    assert users["u1"]["churn_risk_score"] == Decimal("1.0000")
    # All is lost: nothing is expected beyond what was spent.
    assert users["u1"]["customer_lifetime_value"] == Decimal("100.00")
    assert users["u2"]["days_since_last_order"] == 180


async def test_a_users_new_tier_and_country_move_old_periods(shop: Warehouse) -> None:
    await shop.publish(
        users=[
            {
                "user_id": "u1",
                "country": "JP",
                "region": "asia_pacific",
                "customer_tier": "premium",
                "source_ordinal": 2,
            }
        ]
    )
    year = (await shop.rollup("financials"))["yearly", JAN_1]
    assert year["revenue_by_region"] == [
        {"region": "asia_pacific", "revenue": Decimal("100.00")},
        {"region": "north_america", "revenue": Decimal("20.00")},
    ]
    assert (await shop.rollup("users"))["u1"]["country"] == "JP"


async def test_a_products_new_name_price_and_category_move_what_shows_them(
    shop: Warehouse,
) -> None:
    changed = {"name": "Best lamp", "category": "light", "price_usd": Decimal("60.00")}
    await shop.publish(products=[{"product_id": "p1", **changed, "source_ordinal": 2}])
    assert (await shop.rollup("daily"))[JAN_1]["top_products"][0]["product_name"] == "Best lamp"
    assert (await shop.rollup("users"))["u1"]["preferred_product_category"] == "light"
    periods = await shop.rollup("financials")
    assert periods["monthly", JAN_1]["cost_of_goods_sold"] == Decimal("65.00")
    assert periods["daily", JAN_1]["gross_margin"] == Decimal("0.4000")
    assert (await shop.rollup("products"))["p1"]["category"] == "light"


async def test_a_product_is_deactivated_where_it_stands_and_comes_back(shop: Warehouse) -> None:
    lamp: Row = {"product_id": "p1", "name": "Lamp"}
    for active, catalogue in ((False, 2), (True, 1)):  # the second is older
        await shop.publish(products=[{**lamp, "is_active": active, "catalogue_ordinal": catalogue}])
        assert (await shop.rollup("products"))["p1"]["is_active"] is False
    await shop.publish(products=[{**lamp, "source_ordinal": 3, "catalogue_ordinal": 3}])
    assert (await shop.rollup("products"))["p1"]["is_active"] is True


async def test_new_users_and_products_have_rows_without_orders(shop: Warehouse) -> None:
    await shop.publish(users=[{"user_id": "u9"}], products=[{"product_id": "p9"}])
    assert (await shop.rollup("users"))["u9"]["rfm_segment"] == "no_orders"
    assert (await shop.rollup("products"))["p9"]["total_orders"] == 0


async def test_rows_may_come_before_their_user_and_product(warehouse: Warehouse) -> None:
    await warehouse.publish(transactions=[transaction("t1", "2024-01-01", "10.00")])
    await warehouse.publish(users=USERS[:1], products=PRODUCTS[:1])
    assert (await warehouse.rollup("users"))["u1"]["total_spent"] == Decimal("10.00")
    assert (await warehouse.rollup("products"))["p1"]["unique_customers"] == 1
    day = (await warehouse.rollup("daily"))[JAN_1]
    assert day["top_products"][0]["product_name"] == "Lamp"
    period = (await warehouse.rollup("financials"))["daily", JAN_1]
    assert period["revenue_by_region"] == [{"region": "europe", "revenue": Decimal("10.00")}]


async def test_rejected_records_lower_the_score_of_their_day_once(shop: Warehouse) -> None:
    rejected: list[Row] = [{"source_offset": 7, "transaction_date": JAN_1}]
    for _ in range(2):
        await shop.publish(rejected_transactions=rejected)
        assert (await shop.rollup("daily"))[JAN_1]["data_quality_score"] == Decimal("0.5000")
    assert shop.merged[LoadTable.REJECTED_TRANSACTIONS].written == 0


async def test_ties_of_preferences_go_to_the_latest_order_then_to_the_name(
    shop: Warehouse,
) -> None:
    late = datetime(2024, 1, 1, 23, 59, tzinfo=UTC)
    orders = [
        transaction("a1", "2024-01-01", "1.00", payment_method="debit_card", timestamp=late),
        transaction("a2", "2024-01-01", "1.00", payment_method="apple_pay"),
    ]
    await shop.publish(transactions=orders)
    assert (await shop.rollup("users"))["u1"]["preferred_payment_method"] == "debit_card"
    await shop.publish(
        transactions=[transaction("a3", "2024-01-01", "1.00", payment_method="apple_pay")]
    )
    assert (await shop.rollup("users"))["u1"]["preferred_payment_method"] == "apple_pay"


async def test_a_refresh_that_was_interrupted_is_made_good_by_the_next(shop: Warehouse) -> None:
    moved = transaction("t1", "2024-01-09", "70.00", user_id="u2", source_ordinal=2)
    groups = await shop.merge(transactions=[moved], old_dates=[JAN_1])
    # The partials of both days are new, the rollups are not: as if the process had died here.
    await shop.run(*partial_statements([JAN_1, JAN_9]))
    again = [await shop.sink.merge(group) for group in groups]
    assert [group.written for group in again] == [0]
    await shop.sink.refresh(groups, shop.rules)
    users = await shop.rollup("users")
    assert (users["u1"]["total_orders"], users["u2"]["total_orders"]) == (0, 2)
    assert (await shop.rollup("products"))["p1"]["unique_customers"] == 1
    assert list(await shop.rollup("daily")) == [JAN_2, JAN_9]


async def test_new_parameters_of_the_contract_reach_all_rows_without_new_data(
    shop: Warehouse,
) -> None:
    shop.rules = shop.rules.model_copy(update={"cost_ratio": Decimal("0.5"), "churn_days": 10})
    await shop.publish()
    periods = await shop.rollup("financials")
    assert periods["yearly", JAN_1]["cost_of_goods_sold"] == Decimal("22.50")
    assert (await shop.rollup("users"))["u1"]["churn_risk_score"] == Decimal("0.1000")
    cost = shop.sink.cost.jobs
    await shop.publish()
    assert shop.sink.cost.jobs == cost  # nothing to do, and nothing sent


async def test_everything_can_be_recomputed(shop: Warehouse) -> None:
    before = await shop.rollups()
    for table in ("partial_users", "daily_sales_summary", "financial_reports", "user_analytics"):
        await shop.run(Statement(name="tests/delete", sql=f"DELETE FROM {table} WHERE TRUE"))
    await shop.sink.refresh([], shop.rules, everything=True)
    assert await shop.rollups() == before
