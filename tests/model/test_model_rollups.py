"""The model's rollups against figures that were worked out by hand."""

from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from tests.model.exact import money, rounded
from tests.model.feeds import Desk, order, product, user
from tests.model.rollups import Row


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Two buyers, one who never bought; two products sold, one not; as_of is 31 March 2025."""
    desk = Desk(tmp_path)
    desk.feed(
        "users",
        user("u1"),
        user("u2", country="DE", customer_tier="vip", age_group=""),
        user("u3", country="BR"),
    )
    desk.feed(
        "products",
        product("p1"),
        product("p2", price=85, currency="EUR", inventory_count=0),
        product("p3", price=200, inventory_count=9, category="Others"),
    )
    march, last = "2025-03-01T12:00:00Z", "2025-03-31T23:00:00Z"
    desk.feed(
        "transactions",
        order("t1", timestamp=march),
        order(
            "t2",
            product_id="p2",
            amount=85,
            currency="EUR",
            timestamp=last,
            payment_method="paypal",
        ),
        order(
            "t3",
            user_id="u2",
            amount="0.85",
            currency="EUR",
            timestamp="2025-02-28T00:00:00Z",
            payment_method="paypal",
        ),
        order("t4", user_id="u2", amount=50, timestamp=march, status="refunded"),
        order("t5", timestamp=last, status="failed"),
        order("t6", timestamp=march, status="cancelled"),
        order("t7", timestamp=last, status="pending"),
        order("bad", timestamp=march, amount=0),
        order("t8", timestamp="2025-01-15T00:00:00Z", status="refunded", amount="1.01"),
    )
    return desk


def only(rows: list[Row], **where: object) -> Row:
    (row,) = (row for row in rows if row.items() >= where.items())
    return row


def test_a_day_of_sales(desk: Desk) -> None:
    rows = desk.model.daily_sales()
    assert [row["date"] for row in rows] == [
        date(2025, 1, 15),
        date(2025, 2, 28),
        date(2025, 3, 1),
        date(2025, 3, 31),
    ]
    assert only(rows, date=date(2025, 3, 1)) == {
        "date": date(2025, 3, 1),
        "total_revenue": Decimal("100.00"),
        "total_transactions": 1,
        "unique_customers": 1,
        "average_order_value": Decimal("100.00"),
        "refunded_amount": Decimal("50.00"),
        "refunded_transactions": 1,
        "failed_transactions": 0,
        "pending_transactions": 0,
        "cancelled_transactions": 1,
        "revenue_by_currency": [
            {"currency": "USD", "amount": Decimal("100.00"), "amount_usd": Decimal("100.00")}
        ],
        "revenue_by_payment_method": [
            {"payment_method": "credit_card", "revenue": Decimal("100.00"), "transactions": 1}
        ],
        "top_products": [
            {
                "product_id": "p1",
                "product_name": "Thing p1",
                "revenue": Decimal("100.00"),
                "transactions": 1,
            }
        ],
        "data_quality_score": Decimal("0.7500"),
    }


def test_a_day_without_sales_has_nothing_to_divide_by(desk: Desk) -> None:
    row = only(desk.model.daily_sales(), date=date(2025, 1, 15))
    assert row["total_revenue"] == 0
    assert row["average_order_value"] is None
    assert row["top_products"] == []
    assert row["refunded_amount"] == Decimal("1.01")
    assert row["data_quality_score"] == 1


def test_top_products_are_ten_by_revenue_and_ties_go_by_id(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.feed("users", user("u1"))
    desk.feed("products", *(product(f"p{number:02d}") for number in range(12)))
    desk.feed(
        "transactions",
        *(order(f"t{n}", product_id=f"p{n:02d}", amount=20 if n == 11 else 10) for n in range(12)),
    )
    (day,) = desk.model.daily_sales()
    best = [row["product_id"] for row in day["top_products"]]  # type: ignore[attr-defined]
    assert best == ["p11", *(f"p{number:02d}" for number in range(9))]


def test_a_user_who_buys(desk: Desk) -> None:
    assert only(desk.model.user_analytics(), user_id="u1") == {
        "user_id": "u1",
        "registration_date": date(2024, 1, 1),
        "country": "US",
        "age_group": "25-34",
        "customer_tier": "standard",
        "total_spent": Decimal("200.00"),
        "total_orders": 2,
        "average_order_value": Decimal("100.00"),
        "first_order_date": date(2025, 3, 1),
        "last_order_date": date(2025, 3, 31),
        "days_since_last_order": 0,
        # 200 + 200 ÷ 30 × 365
        "customer_lifetime_value": Decimal("2633.33"),
        # One each: the later one.
        "preferred_payment_method": "paypal",
        "preferred_product_category": "Things",
        "is_high_value_customer": False,
        # 0 days: 3, 2 orders: 2, 200 USD: 1
        "rfm_segment": "loyal",
        "churn_risk_score": Decimal("0.0000"),
    }


def test_a_user_who_bought_a_month_ago(desk: Desk) -> None:
    row = only(desk.model.user_analytics(), user_id="u2")
    assert row["days_since_last_order"] == 31
    assert row["churn_risk_score"] == Decimal("0.1722")
    # 1 + 149/180 × 1 ÷ 31 × 365
    assert row["customer_lifetime_value"] == Decimal("10.75")
    assert row["rfm_segment"] == "at_risk"
    assert row["age_group"] is None


def test_a_user_who_never_bought(desk: Desk) -> None:
    row = only(desk.model.user_analytics(), user_id="u3")
    assert row["total_spent"] == 0
    assert row["total_orders"] == 0
    assert row["rfm_segment"] == "no_orders"
    assert row["is_high_value_customer"] is False
    for name in (
        *("average_order_value", "first_order_date", "last_order_date", "days_since_last_order"),
        *("customer_lifetime_value", "preferred_payment_method", "preferred_product_category"),
        "churn_risk_score",
    ):
        assert row[name] is None


def test_preferences_go_by_number_then_time_then_name(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.feed("users", user("u1"), user("u2"))
    desk.feed("products", product("p1"))
    early, late = "2025-03-01T00:00:00Z", "2025-03-02T00:00:00Z"
    desk.feed(
        "transactions",
        order("t1", timestamp=early, payment_method="paypal"),
        order("t2", timestamp=early, payment_method="paypal"),
        order("t3", timestamp=late, payment_method="apple_pay"),
        order("t4", timestamp=late, payment_method="paypal", user_id="u2"),
        order("t5", timestamp=late, payment_method="google_pay", user_id="u2"),
    )
    rows = desk.model.user_analytics()
    assert [row["preferred_payment_method"] for row in rows] == ["paypal", "google_pay"]


@pytest.mark.parametrize(
    ("amount", "orders", "day", "segment"),
    [
        (500, 5, "2025-03-31", "champions"),
        (500, 2, "2025-03-31", "champions"),
        (500, 2, "2025-03-01", "champions"),
        (500, 2, "2025-02-28", "loyal"),
        (125, 2, "2025-02-28", "loyal"),
        (100, 2, "2025-02-28", "potential"),
        (10, 2, "2024-01-31", "at_risk"),
        (10, 1, "2024-01-31", "lost"),
    ],
)
def test_segments_go_by_the_sum_of_three_scores(
    tmp_path: Path, amount: int, orders: int, day: str, segment: str
) -> None:
    desk = Desk(tmp_path)
    desk.feed("users", user("u1"), user("u2"))
    desk.feed("products", product("p1"))
    desk.feed(
        "transactions",
        *(order(f"t{n}", amount=amount, timestamp=f"{day}T00:00:00Z") for n in range(orders)),
        order("now", user_id="u2", timestamp="2025-03-31T00:00:00Z", status="failed"),
    )
    assert desk.model.user_analytics()[0]["rfm_segment"] == segment


def test_a_product_that_sells(desk: Desk) -> None:
    assert only(desk.model.product_performance(), product_id="p1") == {
        "product_id": "p1",
        "product_name": "Thing p1",
        "category": "Things",
        "supplier_id": "s1",
        "base_price": Decimal("10.00"),
        "price_tier": "budget",
        "inventory_status": "in_stock",
        "is_active": True,
        "total_revenue": Decimal("101.00"),
        "total_orders": 2,
        "unique_customers": 2,
        "average_order_value": Decimal("50.50"),
        "refund_rate": Decimal("0.5000"),
        "inventory_turnover_ratio": Decimal("0.0274"),
        # 365 ÷ (2 ÷ 73), not ÷ 0.0274
        "days_in_inventory": Decimal("13322.50"),
        "revenue_rank_in_category": 1,
        "margin_estimate": Decimal("0.8020"),
        # Both sales lie in the 28 days before the last 28.
        "seasonal_trend": "falling",
        "performance_tier": "low",
    }


def test_a_product_that_is_sold_out_and_rising(desk: Desk) -> None:
    row = only(desk.model.product_performance(), product_id="p2")
    assert row["base_price"] == Decimal("100.00")
    assert (row["price_tier"], row["inventory_status"]) == ("mid_range", "out_of_stock")
    assert row["inventory_turnover_ratio"] is None
    assert row["days_in_inventory"] is None
    assert row["margin_estimate"] == Decimal("0.0000")
    assert row["revenue_rank_in_category"] == 2
    assert row["seasonal_trend"] == "rising"


def test_a_product_that_nobody_bought(desk: Desk) -> None:
    row = only(desk.model.product_performance(), product_id="p3")
    assert (row["price_tier"], row["inventory_status"]) == ("premium", "low_stock")
    assert row["inventory_turnover_ratio"] == Decimal("0.0000")
    for name in ("average_order_value", "refund_rate", "days_in_inventory", "margin_estimate"):
        assert row[name] is None
    assert row["seasonal_trend"] == "steady"
    assert row["revenue_rank_in_category"] == 1


def test_ties_share_a_rank_and_the_next_one_is_left_out(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.feed("users", user("u1"))
    desk.feed("products", *(product(name) for name in ("a", "b", "c", "d")))
    desk.feed(
        "transactions",
        *(
            order(name, product_id=name, amount=amount)
            for name, amount in (("a", 5), ("b", 9), ("c", 9), ("d", 7))
        ),
    )
    ranks = [row["revenue_rank_in_category"] for row in desk.model.product_performance()]
    assert ranks == [4, 1, 1, 3]


@pytest.mark.parametrize(
    ("before", "now", "trend"),
    [
        (100, 110, "steady"),
        (100, "110.01", "rising"),
        (100, 90, "steady"),
        (100, "89.99", "falling"),
    ],
)
def test_a_trend_is_more_than_a_tenth(
    tmp_path: Path, before: object, now: object, trend: str
) -> None:
    desk = Desk(tmp_path)
    desk.feed("users", user("u1"))
    desk.feed("products", product("p1"))
    desk.feed(
        "transactions",
        order("t1", amount=before, timestamp="2025-03-01T00:00:00Z"),
        order("t2", amount=now, timestamp="2025-03-29T00:00:00Z"),
        order("t3", amount=9, timestamp="2025-02-01T00:00:00Z"),
        order("t4", amount=9, timestamp="2025-03-29T00:00:00Z", status="failed"),
    )
    assert desk.model.product_performance()[0]["seasonal_trend"] == trend


def test_a_month_of_books(desk: Desk) -> None:
    rows = desk.model.financial_reports()
    assert only(rows, report_type="monthly", period_start=date(2025, 3, 1)) == {
        "report_type": "monthly",
        "period_start": date(2025, 3, 1),
        "period_end": date(2025, 3, 31),
        "gross_revenue": Decimal("250.00"),
        "refunds": Decimal("50.00"),
        "net_revenue": Decimal("200.00"),
        "cost_of_goods_sold": Decimal("110.00"),
        "gross_profit": Decimal("90.00"),
        "gross_margin": Decimal("0.4500"),
        "operating_expenses": Decimal("0.00"),
        "net_profit": Decimal("90.00"),
        "revenue_by_region": [{"region": "north_america", "revenue": Decimal("200.00")}],
        "revenue_by_customer_tier": [{"customer_tier": "standard", "revenue": Decimal("200.00")}],
        "revenue_by_payment_method": [
            {
                "payment_method": method,
                "revenue": Decimal("100.00"),
                "share": Decimal("0.5000"),
            }
            for method in ("credit_card", "paypal")
        ],
        "revenue_by_currency": [
            {"currency": "EUR", "amount": Decimal("85.00"), "amount_usd": Decimal("100.00")},
            {"currency": "USD", "amount": Decimal("100.00"), "amount_usd": Decimal("100.00")},
        ],
    }


def test_periods_are_calendar_periods_and_weeks_start_on_monday(desk: Desk) -> None:
    rows = desk.model.financial_reports()
    periods = {
        (row["report_type"], str(row["period_start"]), str(row["period_end"])) for row in rows
    }
    assert len(periods) == len(rows) == 4 + 3 + 3 + 1 + 1
    assert ("weekly", "2025-02-24", "2025-03-02") in periods
    assert ("weekly", "2025-03-31", "2025-04-06") in periods
    assert ("monthly", "2025-02-01", "2025-02-28") in periods
    assert ("quarterly", "2025-01-01", "2025-03-31") in periods
    assert ("yearly", "2025-01-01", "2025-12-31") in periods


def test_a_period_of_refunds_only_has_no_margin(desk: Desk) -> None:
    row = only(desk.model.financial_reports(), report_type="monthly", period_start=date(2025, 1, 1))
    assert row["gross_revenue"] == row["refunds"] == Decimal("1.01")
    assert row["net_revenue"] == 0
    assert row["gross_margin"] is None
    assert row["revenue_by_region"] == []


def test_costs_and_expenses_follow_the_contract_and_are_rounded_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "[analytics]\ncost_ratio = 0.3333\noperating_expense_ratio = 0.0155\n")
    desk.feed("users", user("u1"))
    desk.feed("products", product("p1"))
    desk.feed("transactions", *(order(f"t{n}", amount="33.33") for n in range(3)))
    row = only(desk.model.financial_reports(), report_type="yearly")
    assert row["net_revenue"] == Decimal("99.99")
    assert row["cost_of_goods_sold"] == Decimal("10.00")  # 9.999
    assert row["gross_profit"] == Decimal("89.99")  # 89.991
    assert row["operating_expenses"] == Decimal("1.55")  # 1.549845
    assert row["net_profit"] == Decimal("88.44")  # 88.441155


def test_current_attributes_count_everywhere(desk: Desk) -> None:
    desk.feed("users", user("u1", country="JP", customer_tier="premium"))
    desk.feed("products", product("p1", price=20, category="New"))
    row = only(desk.model.financial_reports(), report_type="yearly")
    assert [one["region"] for one in row["revenue_by_region"]] == ["asia_pacific", "europe"]  # type: ignore[attr-defined]
    assert row["cost_of_goods_sold"] == Decimal("140.00")
    assert only(desk.model.user_analytics(), user_id="u2")["preferred_product_category"] == "New"


def test_rounding_is_half_away_from_zero() -> None:
    assert rounded(Fraction(5, 1000), 2) == Decimal("0.01")
    assert rounded(Fraction(-5, 1000), 2) == Decimal("-0.01")
    assert rounded(Fraction(49, 10_000), 2) == Decimal("0.00")
    assert str(money(10_050)) == "100.50"
