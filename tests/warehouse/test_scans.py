"""What a late batch reads, as the stand-in models it: what it touches, not the table."""

from collections.abc import Callable
from datetime import date, timedelta

from techmart_fast.warehouse import LoadTable, Touched, key_buckets
from tests.warehouse.loading import Row, Warehouse
from tests.warehouse.values import transaction

DAYS = [date(2024, 1, 5) + timedelta(days=number) for number in range(12)]
BY_DAY = {
    "merge/transactions",
    "partials/totals",
    "partials/orders",
    "partials/users",
    "partials/products",
    "partials/finances",
    "queries/touched",
}
BY_KEY = {
    "partials/orders_by_user",
    "partials/orders_by_product",
    "rollups/user_analytics",
    "rollups/product_performance",
}
DAILY = "rollups/daily_sales_summary"
EVERYBODY = [f"u{number}" for number in range(40)]
EVERYTHING = [f"p{number}" for number in range(40)]


def touched(users: list[str], products: list[str]) -> Touched:
    return Touched(users=key_buckets(users), products=key_buckets(products))


async def reads(warehouse: Warehouse, days: list[date], keys: Touched) -> dict[str, int]:
    planned = await warehouse.sink.estimate([LoadTable.TRANSACTIONS], days, keys, warehouse.rules)
    return {one.name: one.bytes_read for one in planned}


def sales(of: str, days: list[date], numbers: range) -> list[Row]:
    return [
        transaction(
            f"{of}{day}-{number}", str(day), "10.00", user_id=f"u{number}", product_id=f"p{number}"
        )
        for day in days
        for number in numbers
    ]


def test_a_late_batch_reads_no_more_when_the_tables_grow(told: Callable[..., None]) -> None:
    told(growing)


async def growing(warehouse: Warehouse) -> None:
    own = touched(["u0"], ["p0"])
    assert not own.users & touched(EVERYBODY[1:], []).users, "its bucket is its own"
    await warehouse.publish(
        users=[{"user_id": name} for name in EVERYBODY],
        products=[{"product_id": name} for name in EVERYTHING],
        transactions=[
            *sales("a", DAYS[:1], range(12)),
            *sales("b", DAYS[-1:], range(40)),
        ],
    )
    small = await reads(warehouse, DAYS[:1], own)
    assert all(small[name] for name in BY_DAY | BY_KEY)
    await warehouse.publish(transactions=sales("c", DAYS[1:], range(1, 40)))
    grown = await reads(warehouse, DAYS[:1], own)
    assert {name: grown[name] for name in BY_DAY} == {name: small[name] for name in BY_DAY}
    for name in ("partials/orders_by_user", "partials/orders_by_product"):
        assert grown[name] == small[name]
    # These read the dimensions or arrays besides, some of which have become longer.
    for name in ("rollups/user_analytics", "rollups/product_performance", DAILY):
        assert grown[name] < 1.1 * small[name]

    whole = await reads(warehouse, DAYS, touched(EVERYBODY, EVERYTHING))
    orders = len(DAYS) * len(EVERYBODY)
    for name in BY_KEY:
        # The orders of all keys, of at least forty bytes each.
        assert whole[name] > grown[name] + 40 * orders * 0.8


def test_a_newer_day_reads_the_windows_of_all_products(told: Callable[..., None]) -> None:
    async def story(warehouse: Warehouse) -> None:
        await warehouse.publish(
            users=[{"user_id": name} for name in EVERYBODY],
            products=[{"product_id": name} for name in EVERYTHING],
            transactions=sales("a", DAYS[:6], range(40)),
        )
        own = touched(["u0"], ["p0"])
        late = await reads(warehouse, [DAYS[2]], own)
        newer = await reads(warehouse, [DAYS[6]], own)
        name = "rollups/product_performance"
        assert newer[name] > late[name] + 30 * 6 * 40

    told(story)
