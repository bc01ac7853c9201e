"""Every column of the rollups, computed from the end state, one formula of DOMAIN.md after another.

Rows are dictionaries with DOMAIN.md's column names; money and ratios are `Decimal`s with their
final number of decimals, arrays are lists of dictionaries, NULL is None.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

from tests.model.exact import divided, maybe_rounded, money, rounded

if TYPE_CHECKING:
    from tests.model.shop import Product, Purchase, ShopModel

Row = dict[str, object]
_Item = TypeVar("_Item")
_Key = TypeVar("_Key")


def daily_sales(shop: "ShopModel") -> list[Row]:
    """`daily_sales_summary`: one row for every day that has any transaction."""
    rows: list[Row] = []
    for day, purchases in sorted(_grouped(shop.purchases, lambda one: one.day).items()):
        completed = _with_status(purchases, "completed")
        refunded = _with_status(purchases, "refunded")
        revenue = _usd(completed)
        rejected = shop.rejected_by_day[day]
        rows.append(
            {
                "date": day,
                "total_revenue": money(revenue),
                "total_transactions": len(completed),
                "unique_customers": len({one.user_id for one in completed}),
                "average_order_value": _average(revenue, len(completed)),
                "refunded_amount": money(_usd(refunded)),
                "refunded_transactions": len(refunded),
                "failed_transactions": len(_with_status(purchases, "failed")),
                "pending_transactions": len(_with_status(purchases, "pending")),
                "cancelled_transactions": len(_with_status(purchases, "cancelled")),
                "revenue_by_currency": _by_currency(completed),
                "revenue_by_payment_method": [
                    {
                        "payment_method": method,
                        "revenue": money(_usd(those)),
                        "transactions": len(those),
                    }
                    for method, those in _sorted_groups(completed, lambda one: one.payment_method)
                ],
                "top_products": _top_products(shop, completed),
                "data_quality_score": rounded(
                    Fraction(len(purchases), len(purchases) + rejected), 4
                ),
            }
        )
    return rows


def _top_products(shop: "ShopModel", completed: Iterable["Purchase"]) -> list[Row]:
    groups = [
        (product_id, those)
        for product_id, those in _grouped(completed, lambda one: one.product_id).items()
        if product_id is not None
    ]
    best = sorted(groups, key=lambda group: (-_usd(group[1]), group[0]))[:10]
    return [
        {
            "product_id": product_id,
            "product_name": shop.products[product_id].name,
            "revenue": money(_usd(those)),
            "transactions": len(those),
        }
        for product_id, those in best
    ]


def user_analytics(shop: "ShopModel") -> list[Row]:
    """`user_analytics` without the mail: one row for every user."""
    orders = _grouped(_with_status(shop.purchases, "completed"), lambda one: one.user_id)
    return [_user_row(shop, user_id, orders.get(user_id, [])) for user_id in sorted(shop.users)]


def _user_row(shop: "ShopModel", user_id: str, orders: Sequence["Purchase"]) -> Row:
    user, rules = shop.users[user_id], shop.contract.analytics
    spent = _usd(orders)
    row: Row = {
        "user_id": user_id,
        "registration_date": user.registration_date,
        "country": user.country,
        "age_group": user.age_group,
        "customer_tier": user.customer_tier,
        "total_spent": money(spent),
        "total_orders": len(orders),
        "average_order_value": _average(spent, len(orders)),
        "first_order_date": None,
        "last_order_date": None,
        "days_since_last_order": None,
        "customer_lifetime_value": None,
        "preferred_payment_method": _preferred(orders, lambda one: one.payment_method),
        "preferred_product_category": _preferred(
            [one for one in orders if one.product_id is not None],
            lambda one: shop.products[str(one.product_id)].category,
        ),
        "is_high_value_customer": spent > rules.high_value_customer_usd * 100,
        "rfm_segment": "no_orders",
        "churn_risk_score": None,
    }
    if orders and shop.as_of is not None:
        first, last = min(one.day for one in orders), max(one.day for one in orders)
        since = (shop.as_of - last).days
        churn = min(Fraction(1), Fraction(since, rules.churn_days))
        lifetime = max(30, (shop.as_of - first).days)
        row |= {
            "first_order_date": first,
            "last_order_date": last,
            "days_since_last_order": since,
            "customer_lifetime_value": money(spent + (1 - churn) * Fraction(spent, lifetime) * 365),
            "rfm_segment": _segment(shop, days=since, orders=len(orders), spent=spent),
            "churn_risk_score": rounded(churn, 4),
        }
    return row


def _segment(shop: "ShopModel", *, days: int, orders: int, spent: int) -> str:
    limits = shop.contract.analytics.rfm
    recent, fair = limits.recency_days
    points = 3 if days <= recent else 2 if days <= fair else 1
    often, sometimes = limits.frequency_orders
    points += 3 if orders >= often else 2 if orders >= sometimes else 1
    much, some = limits.monetary_usd
    points += 3 if spent >= much * 100 else 2 if spent >= some * 100 else 1
    return {
        9: "champions",
        8: "champions",
        7: "loyal",
        6: "loyal",
        5: "potential",
        4: "at_risk",
    }.get(points, "lost")


def _preferred(orders: Iterable["Purchase"], kind: Callable[["Purchase"], str]) -> str | None:
    groups = _grouped(orders, kind)
    if not groups:
        return None
    most = max(len(those) for those in groups.values())
    often = {name: those for name, those in groups.items() if len(those) == most}
    latest = max(one.timestamp for those in often.values() for one in those)
    recent = [
        name for name, those in often.items() if any(one.timestamp == latest for one in those)
    ]
    return min(recent)


def product_performance(shop: "ShopModel") -> list[Row]:
    """`product_performance`: one row for every product."""
    sold = _grouped(shop.purchases, lambda one: one.product_id)
    revenue = {
        product_id: _usd(_with_status(sold.get(product_id, []), "completed"))
        for product_id in shop.products
    }
    rivals = {
        category: sorted(revenue[product_id] for product_id in product_ids)
        for category, product_ids in _grouped(
            shop.products, lambda product_id: shop.products[product_id].category
        ).items()
    }
    rows = []
    for product_id, product in sorted(shop.products.items()):
        row = _product_row(shop, product_id, product, sold.get(product_id, []))
        others = rivals[product.category]
        better = len(others) - bisect_right(others, revenue[product_id])
        rows.append(row | {"revenue_rank_in_category": 1 + better})
    return rows


def _product_row(
    shop: "ShopModel", product_id: str, product: "Product", purchases: Sequence["Purchase"]
) -> Row:
    rules, price_usd = shop.contract.analytics, shop.price_usd(product)
    completed = _with_status(purchases, "completed")
    refunded = _with_status(purchases, "refunded")
    revenue = _usd(completed)
    average = divided(revenue, len(completed))
    turnover = divided(len(_last_days(shop, completed, 365)), product.inventory_count)
    stay = divided(365, turnover) if turnover is not None else None
    cost = price_usd * Fraction(rules.cost_ratio)
    return {
        "product_id": product_id,
        "product_name": product.name,
        "category": product.category,
        "supplier_id": product.supplier_id,
        "base_price": money(price_usd),
        "price_tier": _price_tier(shop, price_usd),
        "inventory_status": _inventory_status(shop, product.inventory_count),
        "is_active": shop.is_active(product_id),
        "total_revenue": money(revenue),
        "total_orders": len(completed),
        "unique_customers": len({one.user_id for one in completed}),
        "average_order_value": _average(revenue, len(completed)),
        "refund_rate": maybe_rounded(divided(len(refunded), len(completed) + len(refunded)), 4),
        "inventory_turnover_ratio": maybe_rounded(turnover, 4),
        "days_in_inventory": maybe_rounded(stay, 2),
        "margin_estimate": (
            maybe_rounded(divided(average - cost, average), 4) if average is not None else None
        ),
        "seasonal_trend": _trend(shop, completed),
        "performance_tier": (
            "high"
            if revenue > rules.high_performance_usd * 100
            else "medium"
            if revenue > rules.medium_performance_usd * 100
            else "low"
        ),
    }


def _price_tier(shop: "ShopModel", price_usd: int) -> str:
    rules = shop.contract.products
    if price_usd < rules.mid_range_from_usd * 100:
        return "budget"
    return "mid_range" if price_usd < rules.premium_from_usd * 100 else "premium"


def _inventory_status(shop: "ShopModel", count: int) -> str:
    if count == 0:
        return "out_of_stock"
    return "low_stock" if count < shop.contract.products.low_stock_below else "in_stock"


def _trend(shop: "ShopModel", completed: Sequence["Purchase"]) -> str:
    days = shop.contract.analytics.trend_days
    now = _usd(_last_days(shop, completed, days))
    before = _usd(_last_days(shop, completed, days, skip=days))
    if before == 0:
        return "rising" if now else "steady"
    change = Fraction(now, before)
    if change > Fraction(11, 10):
        return "rising"
    return "falling" if change < Fraction(9, 10) else "steady"


def _last_days(
    shop: "ShopModel", purchases: Sequence["Purchase"], days: int, *, skip: int = 0
) -> list["Purchase"]:
    """Those of the `days` days that end with as_of, or `skip` days earlier."""
    if shop.as_of is None:
        return []
    last = shop.as_of - timedelta(days=skip)
    return [one for one in purchases if last - timedelta(days=days) < one.day <= last]


def financial_reports(shop: "ShopModel") -> list[Row]:
    """`financial_reports`: one row for every period that has any transaction."""
    prices = {key: shop.price_usd(product) for key, product in shop.products.items()}
    rows = []
    for report_type, bounds in sorted(_PERIODS.items()):
        periods = _grouped(shop.purchases, lambda one, bounds=bounds: bounds(one.day))  # type: ignore[misc]
        for (start, end), purchases in sorted(periods.items()):
            row: Row = {"report_type": report_type, "period_start": start, "period_end": end}
            rows.append(row | _financials(shop, purchases, prices))
    return rows


def _financials(
    shop: "ShopModel", purchases: Sequence["Purchase"], prices: Mapping[str, int]
) -> Row:
    rules = shop.contract.analytics
    completed = _with_status(purchases, "completed")
    net, refunds = _usd(completed), _usd(_with_status(purchases, "refunded"))
    cost = Fraction(rules.cost_ratio) * sum(
        prices[one.product_id] for one in completed if one.product_id is not None
    )
    expenses = net * Fraction(rules.operating_expense_ratio)
    profit = net - cost
    return {
        "gross_revenue": money(net + refunds),
        "refunds": money(refunds),
        "net_revenue": money(net),
        "cost_of_goods_sold": money(cost),
        "gross_profit": money(profit),
        "gross_margin": maybe_rounded(divided(profit, net), 4),
        "operating_expenses": money(expenses),
        "net_profit": money(profit - expenses),
        "revenue_by_region": [
            {"region": region, "revenue": money(_usd(those))}
            for region, those in _sorted_groups(completed, shop.region)
        ],
        "revenue_by_customer_tier": [
            {"customer_tier": tier, "revenue": money(_usd(those))}
            for tier, those in _sorted_groups(
                completed, lambda one: shop.users[one.user_id].customer_tier
            )
        ],
        "revenue_by_payment_method": [
            {
                "payment_method": method,
                "revenue": money(_usd(those)),
                "share": maybe_rounded(divided(_usd(those), net), 4),
            }
            for method, those in _sorted_groups(completed, lambda one: one.payment_method)
        ],
        "revenue_by_currency": _by_currency(completed),
    }


def _month_start(year: int, month: int) -> date:
    """First day of a month; month 13 is the next January."""
    return date(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)


def _day(day: date) -> tuple[date, date]:
    return day, day


def _week(day: date) -> tuple[date, date]:
    monday = day - timedelta(days=day.weekday())
    return monday, monday + timedelta(days=6)


def _months(day: date, length: int) -> tuple[date, date]:
    first = (day.month - 1) // length * length + 1
    return _month_start(day.year, first), _month_start(day.year, first + length) - timedelta(days=1)


_PERIODS: dict[str, Callable[[date], tuple[date, date]]] = {
    "daily": _day,
    "weekly": _week,
    "monthly": lambda day: _months(day, 1),
    "quarterly": lambda day: _months(day, 3),
    "yearly": lambda day: _months(day, 12),
}


def _with_status(purchases: Iterable["Purchase"], status: str) -> list["Purchase"]:
    return [one for one in purchases if one.status == status]


def _usd(purchases: Iterable["Purchase"]) -> int:
    return sum(one.usd for one in purchases)


def _average(cents: int, number: int) -> object:
    mean = divided(Fraction(cents, 100), number)
    return maybe_rounded(mean, 2)


def _by_currency(completed: Iterable["Purchase"]) -> list[Row]:
    return [
        {
            "currency": currency,
            "amount": money(sum(one.amount for one in those)),
            "amount_usd": money(_usd(those)),
        }
        for currency, those in _sorted_groups(completed, lambda one: one.currency)
    ]


def _grouped(items: Iterable[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    groups: defaultdict[_Key, list[_Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def _sorted_groups(
    items: Iterable["Purchase"], key: Callable[["Purchase"], str]
) -> list[tuple[str, list["Purchase"]]]:
    return sorted(_grouped(items, key).items())
