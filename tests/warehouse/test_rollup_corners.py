"""Where the rollups' formulas have an edge: windows, ties, ranks, overlapping periods, rounding."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from tests.warehouse.loading import Row, Warehouse
from tests.warehouse.values import transaction

Rollups = dict[str, dict[Any, Row]]

TRENDS = {
    ("100.00", "110.00"): "steady",
    ("100.00", "110.01"): "rising",
    ("100.00", "90.00"): "steady",
    ("100.00", "89.99"): "falling",
    ("0", "0.01"): "rising",
    ("0.01", "0"): "falling",
}
"""Revenue of the 28 days before, of the last 28 days, and what they make."""


def corners() -> tuple[list[Row], list[Row]]:
    """Products and transactions of a shop whose corners do not touch; as_of is 2024-03-28."""
    products: list[Row] = [
        {"product_id": "cost", "price_usd": Decimal("7.77")},
        {"product_id": "turn", "inventory_count": 3},
        {"product_id": "week"},
    ]
    sales = [
        transaction("cost", "2021-06-01", "10.05", product_id="cost"),
        transaction("week 1", "2018-12-31", "1.00", product_id="week"),
        transaction("week 2", "2019-01-01", "2.00", product_id="week"),
        transaction("week 3", "2019-01-06", "4.00", product_id="week"),
        transaction("turn out", "2023-03-29", "1.00", product_id="turn"),
        transaction("turn in", "2023-03-30", "1.00", product_id="turn"),
        transaction("turn now", "2024-03-28", "1.00", product_id="turn"),
    ]
    for number in range(12):
        products.append({"product_id": f"top{number:02}", "category": "top"})
        amount = "9.00" if number else "1.00"
        product = f"top{number:02}"
        sales.append(transaction(product, "2020-05-05", amount, product_id=product))
    for number, (earlier, recent) in enumerate(TRENDS):
        product = f"trend{number}"
        products.append({"product_id": product, "category": "trend"})
        # Just outside, the first of the 28 days before, the first of the last 28 days.
        days = (("2024-02-01", "500.00"), ("2024-02-02", earlier), ("2024-03-01", recent))
        sales += [
            transaction(f"{product} {day}", day, amount, product_id=product)
            for day, amount in days
            if amount != "0"
        ]
    return products, sales


@pytest.fixture(scope="module")
def corner(told: Callable[..., Rollups]) -> Rollups:
    async def story(warehouse: Warehouse) -> Rollups:
        products, sales = corners()
        warehouse.rules = warehouse.rules.model_copy(
            update={
                "cost_ratio": Decimal("0.3333"),
                "operating_expense_ratio": Decimal("0.1"),
            }
        )
        await warehouse.publish(users=[{"user_id": "u1"}], products=products, transactions=sales)
        return await warehouse.rollups()

    return told(story)


def test_cost_and_expense_ratios_round_once(corner: Rollups) -> None:
    day = corner["financials"]["daily", date(2021, 6, 1)]
    # 7.77 × 0.3333 = 2.589741; 10.05 − that = 7.460259; expenses 1.005; net 6.455259.
    assert (day["cost_of_goods_sold"], day["gross_profit"]) == (Decimal("2.59"), Decimal("7.46"))
    assert (day["operating_expenses"], day["net_profit"]) == (Decimal("1.01"), Decimal("6.46"))
    assert day["gross_margin"] == Decimal("0.7423")
    assert corner["products"]["cost"]["margin_estimate"] == Decimal("0.7423")


@pytest.mark.parametrize("number", range(len(TRENDS)))
def test_the_trend_compares_two_windows_of_28_days_that_end_with_as_of(
    corner: Rollups, number: int
) -> None:
    expected = list(TRENDS.values())[number]
    assert corner["products"][f"trend{number}"]["seasonal_trend"] == expected


def test_the_turnover_counts_365_days_with_as_of(corner: Rollups) -> None:
    product = corner["products"]["turn"]
    assert product["inventory_turnover_ratio"] == Decimal("0.6667")
    assert product["days_in_inventory"] == Decimal("547.50")
    assert product["total_orders"] == 3


def test_ten_top_products_with_ties_by_id_and_ranks_that_share(corner: Rollups) -> None:
    top = corner["daily"][date(2020, 5, 5)]["top_products"]
    assert [one["product_id"] for one in top] == [f"top{number:02}" for number in range(1, 11)]
    ranks = {
        key: row["revenue_rank_in_category"]
        for key, row in corner["products"].items()
        if row["category"] == "top"
    }
    assert ranks == {"top00": 12} | {f"top{number:02}": 1 for number in range(1, 12)}


def test_weeks_and_years_that_overlap(corner: Rollups) -> None:
    periods = corner["financials"]
    net = {
        (kind, start): row["net_revenue"]
        for (kind, start), row in periods.items()
        if start.year < 2020 and kind in {"weekly", "yearly"}
    }
    assert net == {
        ("weekly", date(2018, 12, 31)): Decimal("7.00"),
        ("yearly", date(2018, 1, 1)): Decimal("1.00"),
        ("yearly", date(2019, 1, 1)): Decimal("6.00"),
    }
