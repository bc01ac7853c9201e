"""Every column of every rollup, by hand for one small shop."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.warehouse.loading import Row, Warehouse
from tests.warehouse.values import transaction

USERS: list[Row] = [
    {"user_id": "u1", "email": "ada@example.com", "customer_tier": "premium"},
    {"user_id": "u2", "country": "US", "region": "north_america", "age_group": None},
    {"user_id": "u3"},
]
PRODUCTS: list[Row] = [
    {"product_id": "p1", "name": "Lamp", "price_usd": Decimal(40), "inventory_count": 20},
    {
        "product_id": "p2",
        "name": "Car",
        "category": "toys",
        "price_usd": Decimal(5),
        "inventory_count": 0,
        "inventory_status": "out_of_stock",
    },
    {"product_id": "p3", "name": "Chair", "inventory_count": 5, "is_active": False},
]
TRANSACTIONS: list[Row] = [
    transaction("t1", "2024-01-01", "100.00", payment_method="credit_card"),
    transaction(
        "t2",
        "2024-01-01",
        "20.00",
        product_id="p2",
        currency="EUR",
        amount=Decimal("17.00"),
        timestamp=datetime(2024, 1, 1, 13, tzinfo=UTC),
    ),
    transaction("t3", "2024-01-01", "50.00", user_id="u2", status="refunded"),
    transaction("t4", "2024-01-02", "30.00", user_id="u2", product_id="p2"),
    transaction(
        "t5", "2024-01-02", "5.55", user_id="u2", product_id=None, payment_method="debit_card"
    ),
    transaction("t6", "2024-03-01", "10.00", status="failed"),
    transaction("t7", "2024-01-02", "1.00", status="pending"),
    transaction("t8", "2024-01-02", "1.00", status="cancelled"),
]
REJECTED: list[Row] = [
    {"source_offset": 1, "transaction_date": date(2024, 1, 1)},
    {"source_offset": 2, "transaction_date": date(2024, 1, 1)},
    {"source_offset": 3, "transaction_date": date(2024, 2, 2)},
]


Rollups = dict[str, dict[Any, Row]]


@pytest.fixture(scope="module")
def shop(told: Callable[..., Rollups]) -> Rollups:
    async def story(warehouse: Warehouse) -> Rollups:
        await warehouse.publish(
            users=USERS,
            products=PRODUCTS,
            transactions=TRANSACTIONS,
            rejected_transactions=REJECTED,
        )
        return await warehouse.rollups()

    return told(story)


def money(text: str) -> Decimal:
    return Decimal(text)


def test_daily_sales_summary_by_hand(shop: Rollups) -> None:
    days = shop["daily"]
    assert list(days) == [date(2024, 1, 1), date(2024, 1, 2), date(2024, 3, 1)]
    assert days[date(2024, 1, 1)] == {
        "date": date(2024, 1, 1),
        "total_revenue": money("120.00"),
        "total_transactions": 2,
        "unique_customers": 1,
        "average_order_value": money("60.00"),
        "refunded_amount": money("50.00"),
        "refunded_transactions": 1,
        "failed_transactions": 0,
        "pending_transactions": 0,
        "cancelled_transactions": 0,
        "revenue_by_currency": [
            {"currency": "EUR", "amount": money("17.00"), "amount_usd": money("20.00")},
            {"currency": "USD", "amount": money("100.00"), "amount_usd": money("100.00")},
        ],
        "revenue_by_payment_method": [
            {"payment_method": "credit_card", "revenue": money("100.00"), "transactions": 1},
            {"payment_method": "paypal", "revenue": money("20.00"), "transactions": 1},
        ],
        "top_products": [
            {
                "product_id": "p1",
                "product_name": "Lamp",
                "revenue": money("100.00"),
                "transactions": 1,
            },
            {
                "product_id": "p2",
                "product_name": "Car",
                "revenue": money("20.00"),
                "transactions": 1,
            },
        ],
        "data_quality_score": Decimal("0.6000"),
    }
    second, third = days[date(2024, 1, 2)], days[date(2024, 3, 1)]
    # 35.55 ÷ 2 = 17.775: half away from zero.
    assert (second["total_revenue"], second["average_order_value"]) == (
        money("35.55"),
        money("17.78"),
    )
    assert (second["pending_transactions"], second["cancelled_transactions"]) == (1, 1)
    assert [one["product_id"] for one in second["top_products"]] == ["p2"]
    assert third == {
        **third,
        "total_revenue": money("0.00"),
        "total_transactions": 0,
        "unique_customers": 0,
        "average_order_value": None,
        "failed_transactions": 1,
        "revenue_by_currency": [],
        "revenue_by_payment_method": [],
        "top_products": [],
        "data_quality_score": Decimal("1.0000"),
    }


def test_user_analytics_by_hand(shop: Rollups) -> None:
    users = shop["users"]
    assert list(users) == ["u1", "u2", "u3"]  # by total_spent
    assert users["u1"] == {
        "user_id": "u1",
        "email": "a***@example.com",
        "registration_date": date(2023, 1, 5),
        "country": "DE",
        "age_group": "25-34",
        "customer_tier": "premium",
        "total_spent": money("120.00"),
        "total_orders": 2,
        "average_order_value": money("60.00"),
        "first_order_date": date(2024, 1, 1),
        "last_order_date": date(2024, 1, 1),
        "days_since_last_order": 60,
        # 120 + (1 − 60 ÷ 180) × 120 ÷ 60 × 365 = 606.666…
        "customer_lifetime_value": money("606.67"),
        # One order each: the later one counts.
        "preferred_payment_method": "paypal",
        "preferred_product_category": "toys",
        "is_high_value_customer": False,
        "rfm_segment": "potential",
        "churn_risk_score": Decimal("0.3333"),
    }
    u2 = users["u2"]
    # One order each at the same instant: by name. 35.55 + 121 ÷ 180 × 35.55 ÷ 59 × 365 = 183.390…
    assert u2["preferred_payment_method"] == "debit_card"
    assert u2["preferred_product_category"] == "toys"
    assert u2["customer_lifetime_value"] == money("183.39")
    assert (u2["days_since_last_order"], u2["churn_risk_score"]) == (59, Decimal("0.3278"))
    assert (u2["average_order_value"], u2["age_group"]) == (money("17.78"), None)
    u3 = users["u3"]
    assert (u3["total_spent"], u3["total_orders"], u3["rfm_segment"]) == (
        money("0"),
        0,
        "no_orders",
    )
    empty = ("average_order_value", "first_order_date", "last_order_date", "churn_risk_score")
    empty += ("days_since_last_order", "customer_lifetime_value", "preferred_payment_method")
    assert {u3[name] for name in (*empty, "preferred_product_category")} == {None}
    assert u3["is_high_value_customer"] is False


def test_product_performance_by_hand(shop: Rollups) -> None:
    products = shop["products"]
    assert products["p1"] == {
        "product_id": "p1",
        "product_name": "Lamp",
        "category": "home",
        "supplier_id": "s1",
        "base_price": money("40.00"),
        "price_tier": "budget",
        "inventory_status": "in_stock",
        "is_active": True,
        "total_revenue": money("100.00"),
        "total_orders": 1,
        "unique_customers": 1,
        "average_order_value": money("100.00"),
        "refund_rate": Decimal("0.5000"),
        "inventory_turnover_ratio": Decimal("0.0500"),
        "days_in_inventory": Decimal("7300.00"),
        "revenue_rank_in_category": 1,
        "margin_estimate": Decimal("0.6000"),
        "seasonal_trend": "steady",
        "performance_tier": "low",
    }
    p2, p3 = products["p2"], products["p3"]
    assert (p2["unique_customers"], p2["average_order_value"]) == (2, money("25.00"))
    assert (p2["refund_rate"], p2["margin_estimate"]) == (Decimal(0), Decimal("0.8000"))
    assert (p2["inventory_turnover_ratio"], p2["days_in_inventory"]) == (None, None)
    assert (p3["is_active"], p3["revenue_rank_in_category"]) == (False, 2)
    assert (p3["total_revenue"], p3["inventory_turnover_ratio"]) == (money("0"), Decimal(0))
    nulls = ("average_order_value", "refund_rate", "days_in_inventory", "margin_estimate")
    assert {p3[name] for name in nulls} == {None}


def test_financial_reports_by_hand(shop: Rollups) -> None:
    periods = shop["financials"]
    assert list(periods) == [
        ("daily", date(2024, 1, 1)),
        ("daily", date(2024, 1, 2)),
        ("daily", date(2024, 3, 1)),
        ("monthly", date(2024, 1, 1)),
        ("monthly", date(2024, 3, 1)),
        ("quarterly", date(2024, 1, 1)),
        ("weekly", date(2024, 1, 1)),
        ("weekly", date(2024, 2, 26)),
        ("yearly", date(2024, 1, 1)),
    ]
    january = periods["monthly", date(2024, 1, 1)]
    assert january == {
        "report_type": "monthly",
        "period_start": date(2024, 1, 1),
        "period_end": date(2024, 1, 31),
        "gross_revenue": money("205.55"),
        "refunds": money("50.00"),
        "net_revenue": money("155.55"),
        "cost_of_goods_sold": money("50.00"),
        "gross_profit": money("105.55"),
        "gross_margin": Decimal("0.6786"),
        "operating_expenses": money("0.00"),
        "net_profit": money("105.55"),
        "revenue_by_region": [
            {"region": "europe", "revenue": money("120.00")},
            {"region": "north_america", "revenue": money("35.55")},
        ],
        "revenue_by_customer_tier": [
            {"customer_tier": "premium", "revenue": money("120.00")},
            {"customer_tier": "standard", "revenue": money("35.55")},
        ],
        "revenue_by_payment_method": [
            {
                "payment_method": "credit_card",
                "revenue": money("100.00"),
                "share": Decimal("0.6429"),
            },
            {"payment_method": "debit_card", "revenue": money("5.55"), "share": Decimal("0.0357")},
            {"payment_method": "paypal", "revenue": money("50.00"), "share": Decimal("0.3214")},
        ],
        "revenue_by_currency": [
            {"currency": "EUR", "amount": money("17.00"), "amount_usd": money("20.00")},
            {"currency": "USD", "amount": money("135.55"), "amount_usd": money("135.55")},
        ],
    }
    year = periods["yearly", date(2024, 1, 1)]
    assert year == {**january, "report_type": "yearly", "period_end": date(2024, 12, 31)}
    week, quarter = periods["weekly", date(2024, 1, 1)], periods["quarterly", date(2024, 1, 1)]
    assert week["period_end"] == date(2024, 1, 7)
    assert quarter["period_end"] == date(2024, 3, 31)
    march = periods["monthly", date(2024, 3, 1)]
    assert (march["net_revenue"], march["gross_margin"]) == (money("0"), None)
    assert march["revenue_by_region"] == []
