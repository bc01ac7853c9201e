"""The partial that financial reports add up: a few rows for each day, by the current attributes."""

from collections.abc import Callable
from decimal import Decimal

from tests.warehouse.loading import Row, Warehouse
from tests.warehouse.values import transaction

USERS: list[Row] = [
    {"user_id": "ann", "region": "europe", "customer_tier": "vip"},
    {"user_id": "bob", "region": "europe", "customer_tier": "standard"},
]
PRODUCTS: list[Row] = [{"product_id": "lamp", "price_usd": Decimal("5.00")}]
SALES: list[Row] = [
    transaction("t1", "2024-01-01", "10.00", user_id="ann", product_id="lamp"),
    transaction("t2", "2024-01-01", "20.00", user_id="ann", product_id=None),
    transaction("t3", "2024-01-01", "40.00", user_id="bob", product_id="lamp"),
    transaction("t4", "2024-01-01", "80.00", user_id="bob", product_id="lamp", status="refunded"),
    transaction("t5", "2024-01-02", "3.00", user_id="nobody", product_id="nothing"),
    transaction("t6", "2024-01-03", "7.00", user_id="ann", product_id="lamp"),
]
_SQL = """SELECT transaction_date, region, customer_tier, orders, revenue, list_value_usd
    FROM partial_finances ORDER BY 1, 2, 3"""


async def finances(shop: Warehouse) -> list[tuple[object, ...]]:
    """Day, region, tier, orders, revenue and list value of each row."""
    return [
        (str(row["transaction_date"])[-2:], *list(row.values())[1:])
        for row in await shop.rows(_SQL)
    ]


def test_a_day_has_a_row_for_each_region_and_tier_that_ordered(told: Callable[..., None]) -> None:
    async def story(shop: Warehouse) -> None:
        await shop.publish(users=USERS, products=PRODUCTS, transactions=SALES)
        first = [
            ("01", "europe", "standard", 1, 40, 5),
            ("01", "europe", "vip", 2, 30, 5),
            # Neither its user nor its product is there.
            ("02", "", "", 1, 3, 0),
            ("03", "europe", "vip", 1, 7, 5),
        ]
        assert await finances(shop) == first

        # The only order of a row is refunded: the row goes. Days that nothing touches stay.
        refunded = {**SALES[2], "status": "refunded", "source_offset": 9}
        await shop.publish(transactions=[refunded])
        assert await finances(shop) == first[1:]

        # Another tier moves rows of all of the user's days, another price those of the product's.
        await shop.publish(users=[{**USERS[0], "customer_tier": "premium", "source_offset": 9}])
        await shop.publish(
            products=[{**PRODUCTS[0], "price_usd": Decimal("6.50"), "source_offset": 9}]
        )
        assert await finances(shop) == [
            ("01", "europe", "premium", 2, 30, Decimal("6.50")),
            ("02", "", "", 1, 3, 0),
            ("03", "europe", "premium", 1, 7, Decimal("6.50")),
        ]

        # The user of an order that had none arrives.
        await shop.publish(users=[{"user_id": "nobody", "region": "africa"}])
        assert ("02", "africa", "standard", 1, 3, 0) in await finances(shop)

    told(story)
