"""What later rows change: corrections that move, late days, new attributes, repeats."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from techmart_fast.warehouse import LoadTable, Refreshed, Touched
from techmart_fast.warehouse.buckets import BUCKETS
from techmart_fast.warehouse.rollups import (
    REFRESHES_LABEL,
    order_statements,
    partial_statements,
)
from techmart_fast.warehouse.statements import Statement
from tests.warehouse.loading import Row, Warehouse
from tests.warehouse.values import transaction

Rollups = dict[str, dict[Any, Row]]

MOVED, MOVED_TO = date(2001, 1, 1), date(2001, 1, 9)
TIER, PRODUCT, REJECTED, ORPHAN = (date(year, 1, 1) for year in (2005, 2006, 2007, 2009))

USERS: list[Row] = [
    {"user_id": name}
    for name in ("from", "to", "late", "tier", "buyer", "tie", "rejected", "as of", "half", "flip")
] + [
    {"user_id": "older", "customer_tier": "vip", "source_ordinal": 5},
    {"user_id": "twice", "customer_tier": "premium", "source_offset": 1},
    {"user_id": "twice", "customer_tier": "vip", "source_offset": 2},
]
PRODUCTS: list[Row] = [
    {"product_id": name, "name": name.title()} for name in ("from", "to", "changed", "off", "other")
]


def sale(name: str, day: str, usd: str, **other: object) -> Row:
    # The user is called like the first word of the name.
    row = transaction(name, day, usd, user_id=name.split("/", maxsplit=1)[0], product_id="other")
    return {**row, **other}


SALES: list[Row] = [
    sale("from", "2001-01-01", "100.00", product_id="from"),
    sale("to", "2001-01-02", "20.00", product_id="to"),
    sale("older", "2002-01-01", "1.00", source_ordinal=5),
    sale("twice", "2003-01-02", "2.00", source_offset=2),
    sale("twice", "2003-01-05", "5.00", source_offset=5),
    sale("twice", "2003-01-03", "3.00", source_offset=3),
    sale("late", "2004-06-01", "10.00"),
    sale("tier", "2005-01-01", "100.00"),
    sale("buyer", "2006-01-01", "100.00", product_id="changed"),
    sale("rejected", "2007-01-01", "1.00"),
    sale("tie/1", "2008-01-01", "1.00"),
    sale("tie/2", "2008-01-01", "1.00", payment_method="apple_pay"),
    sale("orphan", "2009-01-01", "10.00", product_id="orphan"),
    sale("as of", "2010-01-01", "1.00", status="failed"),
    sale("half", "2009-06-01", "70.00", product_id="from"),
    sale("flip", "2009-08-01", "30.00"),
]
REJECTIONS: list[Row] = [{"source_offset": 7, "transaction_date": REJECTED}]

CHANGES: dict[str, list[Row]] = {
    "users": [
        {
            "user_id": "tier",
            "country": "JP",
            "region": "asia_pacific",
            "customer_tier": "premium",
            "source_ordinal": 2,
        },
        {"user_id": "older", "customer_tier": "standard", "source_ordinal": 4},
        {"user_id": "orphan"},
        {"user_id": "new"},
    ],
    "products": [
        {
            "product_id": "changed",
            "name": "Best lamp",
            "category": "light",
            "price_usd": Decimal("60.00"),
            "source_ordinal": 2,
        },
        {"product_id": "off", "is_active": False, "catalogue_ordinal": 2},
        {"product_id": "orphan", "name": "Orphan"},
        {"product_id": "new"},
    ],
    "transactions": [
        sale("from", "2001-01-09", "70.00", user_id="to", product_id="to", source_ordinal=2),
        sale("older", "2002-01-02", "2.00", source_ordinal=4, source_offset=999),
        sale("late/2", "2004-02-29", "5.00"),
        sale(
            "tie/3",
            "2008-01-01",
            "1.00",
            payment_method="debit_card",
            timestamp=datetime(2008, 1, 1, 23, 59, tzinfo=UTC),
        ),
        sale("as of/2", "2010-06-30", "5.00", status="failed"),
    ],
    "rejected_transactions": REJECTIONS,
}


@dataclass
class Story:
    """What the shop looked like after each chapter."""

    first: Rollups
    written_again: dict[LoadTable, int]
    again: Rollups
    changed: Rollups
    refreshed: Refreshed
    written_rejected: int
    other_rules: Rollups
    jobs_of_nothing: int
    recovered: Rollups
    recomputed: Rollups
    facts: list[Row]


@pytest.fixture(scope="module")
def story(told: Callable[..., Story]) -> Story:
    return told(tell)


async def tell(shop: Warehouse) -> Story:
    base = {"users": USERS, "products": PRODUCTS, "transactions": SALES}
    await shop.publish(**base, rejected_transactions=REJECTIONS)
    first = await shop.rollups()

    await shop.publish(**base)
    written_again = {table: group.written for table, group in shop.merged.items()}
    again = await shop.rollups()

    await shop.publish(**CHANGES, old_dates=[MOVED, date(2002, 1, 1)])
    changed, refreshed = await shop.rollups(), shop.refreshed or pytest.fail("no refresh")
    written_rejected = shop.merged[LoadTable.REJECTED_TRANSACTIONS].written

    usual_rules = shop.rules
    shop.rules = shop.rules.model_copy(update={"cost_ratio": Decimal("0.5"), "churn_days": 9999})
    await shop.publish()
    other_rules = await shop.rollups()
    jobs = shop.sink.cost.jobs
    await shop.publish()
    jobs_of_nothing = shop.sink.cost.jobs - jobs
    shop.rules = usual_rules

    recovered = await _interrupted(shop)

    for table in ("partial_users", "daily_sales_summary", "user_analytics"):
        await shop.run(Statement(name="tests/delete", sql=f"DELETE FROM {table} WHERE TRUE"))
    await shop.sink.refresh([], shop.rules, everything=True)
    return Story(
        first=first,
        written_again=written_again,
        again=again,
        changed=changed,
        refreshed=refreshed,
        written_rejected=written_rejected,
        other_rules=other_rules,
        jobs_of_nothing=jobs_of_nothing,
        recovered=recovered,
        recomputed=await shop.rollups(),
        facts=await shop.rows(
            "SELECT transaction_id FROM transactions "
            "WHERE transaction_date >= '0001-01-01' ORDER BY transaction_id"
        ),
    )


async def _interrupted(shop: Warehouse) -> Rollups:
    """Runs die after their partials, after their orders by key; the next one carries on.

    A row moves and, in the run after, moves back: its partial is then as if nothing had been.
    """
    moved = sale("half", "2009-07-01", "70.00", user_id="to", product_id="to", source_ordinal=2)
    older: Row = {"product_id": "off", "is_active": True, "catalogue_ordinal": 1}
    groups = await shop.merge(transactions=[moved], products=[older], old_dates=[date(2009, 6, 1)])
    refreshed = int(shop.sink._label("partial_orders", REFRESHES_LABEL) or 0)
    await shop.run(*partial_statements([date(2009, 6, 1), date(2009, 7, 1)], refreshed=refreshed))
    for group in groups:
        assert (await shop.sink.merge(group)).written == 0

    flip = sale("flip", "2009-08-01", "30.00", user_id="to", source_ordinal=2)
    groups += await shop.merge(transactions=[flip])
    days = [date(2009, 8, 1)]
    await shop.run(*partial_statements(days, refreshed=refreshed))
    everybody = frozenset(range(BUCKETS))
    touched = Touched(users=everybody, products=everybody)
    await shop.run(*order_statements(days, refreshed=refreshed, touched=touched))
    [moved_in] = await shop.rows("SELECT user_id FROM orders_by_user WHERE revenue = 30")
    assert moved_in["user_id"] == "to"

    groups += await shop.merge(transactions=[sale("flip", "2009-08-01", "30.00", source_ordinal=3)])
    await shop.sink.refresh(groups, shop.rules)
    return await shop.rollups()


def test_the_same_rows_again_change_nothing(story: Story) -> None:
    assert story.again == story.first
    rejections = LoadTable.REJECTED_TRANSACTIONS.value
    # One rejection is of the first load, which the others had before.
    assert {table: written for table, written in story.written_again.items() if written} == {
        rejections: 1
    }


def test_a_correction_moves_a_row_to_another_day_user_and_product(story: Story) -> None:
    names = [row["transaction_id"] for row in story.facts]
    assert names == sorted(
        {*(row["transaction_id"] for row in SALES), "late/2", "tie/3", "as of/2"}
    )
    days, users, products = (story.changed[name] for name in ("daily", "users", "products"))
    assert MOVED in story.first["daily"]
    assert MOVED not in days
    assert days[MOVED_TO]["total_revenue"] == Decimal("70.00")
    assert (users["from"]["total_orders"], users["from"]["preferred_payment_method"]) == (0, None)
    assert (users["to"]["total_spent"], users["to"]["last_order_date"]) == (
        Decimal("90.00"),
        MOVED_TO,
    )
    assert products["to"]["total_orders"] == 2
    assert (products["from"]["total_revenue"], products["from"]["unique_customers"]) == (70, 1)
    assert ("daily", MOVED) not in story.changed["financials"]
    assert story.changed["financials"]["yearly", MOVED]["net_revenue"] == Decimal("90.00")


def test_an_older_row_that_comes_later_changes_nothing(story: Story) -> None:
    assert story.changed["users"]["older"]["customer_tier"] == "vip"
    assert story.changed["daily"][date(2002, 1, 1)] == story.first["daily"][date(2002, 1, 1)]
    assert date(2002, 1, 2) not in story.changed["daily"]


def test_of_several_versions_in_one_group_the_newest_wins(story: Story) -> None:
    assert [day.day for day in story.first["daily"] if day.year == 2003] == [5]
    assert story.first["users"]["twice"]["customer_tier"] == "vip"


def test_a_late_day_leaves_other_days_alone_and_as_of_only_goes_forward(story: Story) -> None:
    day = date(2004, 6, 1)
    assert story.changed["daily"][day] == story.first["daily"][day]
    assert story.changed["users"]["late"]["first_order_date"] == date(2004, 2, 29)
    assert story.changed["financials"]["yearly", date(2004, 1, 1)]["net_revenue"] == 15
    assert story.refreshed.as_of == date(2010, 6, 30)


def test_only_touched_days_are_recomputed(story: Story) -> None:
    # Old and new days of the rows; the rejection's, the changed product's and users' days besides.
    assert (story.refreshed.dates, story.refreshed.days) == (7, 7 + 1 + 3)


def test_a_later_day_moves_everybodys_days_since(story: Story) -> None:
    before, after = (one["users"]["late"] for one in (story.first, story.changed))
    assert after["days_since_last_order"] == before["days_since_last_order"] + 180
    # All is lost: nothing is expected beyond what was spent.
    assert after["churn_risk_score"] == 1
    assert after["customer_lifetime_value"] == after["total_spent"] == 15


def test_a_users_new_tier_and_country_move_old_periods(story: Story) -> None:
    year = story.changed["financials"]["yearly", TIER]
    assert year["revenue_by_region"] == [{"region": "asia_pacific", "revenue": 100}]
    assert year["revenue_by_customer_tier"] == [{"customer_tier": "premium", "revenue": 100}]
    assert story.changed["users"]["tier"]["country"] == "JP"


def test_a_products_new_name_price_and_category_move_what_shows_them(story: Story) -> None:
    assert story.changed["daily"][PRODUCT]["top_products"][0]["product_name"] == "Best lamp"
    assert story.changed["users"]["buyer"]["preferred_product_category"] == "light"
    assert story.changed["products"]["changed"]["category"] == "light"
    day = story.changed["financials"]["daily", PRODUCT]
    assert (day["cost_of_goods_sold"], day["gross_margin"]) == (60, Decimal("0.4"))


def test_a_product_is_deactivated_where_it_stands_and_an_older_catalogue_is_ignored(
    story: Story,
) -> None:
    states = [one["products"]["off"]["is_active"] for one in (story.first, story.changed)]
    assert [*states, story.recovered["products"]["off"]["is_active"]] == [True, False, False]


def test_new_users_and_products_have_rows_without_orders(story: Story) -> None:
    assert story.changed["users"]["new"]["rfm_segment"] == "no_orders"
    assert story.changed["products"]["new"]["total_orders"] == 0


def test_rows_may_come_before_their_user_and_product(story: Story) -> None:
    assert "orphan" not in story.first["users"]
    assert story.changed["users"]["orphan"]["total_spent"] == 10
    assert story.changed["products"]["orphan"]["unique_customers"] == 1
    assert story.changed["daily"][ORPHAN]["top_products"][0]["product_name"] == "Orphan"
    period = story.changed["financials"]["daily", ORPHAN]
    assert period["revenue_by_region"] == [{"region": "europe", "revenue": 10}]


def test_rejected_records_lower_the_score_of_their_day_once(story: Story) -> None:
    for rollups in (story.first, story.changed):
        assert rollups["daily"][REJECTED]["data_quality_score"] == Decimal("0.5")
    assert story.written_rejected == 0


def test_ties_of_preferences_go_to_the_latest_order_then_to_the_name(story: Story) -> None:
    assert story.first["users"]["tie"]["preferred_payment_method"] == "apple_pay"
    assert story.changed["users"]["tie"]["preferred_payment_method"] == "debit_card"


def test_new_parameters_of_the_contract_reach_all_rows_without_new_data(story: Story) -> None:
    assert story.other_rules["financials"]["daily", PRODUCT]["cost_of_goods_sold"] == 30
    assert story.other_rules["users"]["late"]["churn_risk_score"] < 1
    assert story.jobs_of_nothing == 0  # and with the same parameters nothing is sent


def test_a_refresh_that_was_interrupted_is_made_good_by_the_next(story: Story) -> None:
    users = story.recovered["users"]
    assert (story.changed["users"]["half"]["total_orders"], users["half"]["total_orders"]) == (1, 0)
    assert users["to"]["total_spent"] == Decimal("160.00")
    assert story.recovered["products"]["from"]["unique_customers"] == 0
    assert date(2009, 6, 1) not in story.recovered["daily"]
    assert (users["flip"]["total_spent"], users["flip"]["total_orders"]) == (30, 1)
    # The usual rules are back, in every row.
    assert story.recovered["financials"]["daily", PRODUCT]["cost_of_goods_sold"] == 60


def test_everything_can_be_recomputed(story: Story) -> None:
    assert story.recomputed == story.recovered
