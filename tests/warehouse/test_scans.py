"""What a late batch reads, as the stand-in models it: the days that it touches, not the table."""

from collections.abc import Callable
from datetime import date, timedelta

from techmart_fast.warehouse import LoadTable
from tests.warehouse.loading import Warehouse
from tests.warehouse.values import transaction

DAYS = [date(2024, 1, 5) + timedelta(days=number) for number in range(12)]
BY_DAY = ("merge/transactions", "partials/", "rollups/daily_sales_summary")


async def _reads(warehouse: Warehouse, *days: date) -> dict[str, int]:
    planned = await warehouse.sink.estimate([LoadTable.TRANSACTIONS], days, warehouse.rules)
    return {one.name: one.bytes_read for one in planned if one.name.startswith(BY_DAY)}


def test_a_late_day_reads_no_more_when_the_facts_grow(told: Callable[..., None]) -> None:
    told(growing)


async def growing(warehouse: Warehouse) -> None:
    sales = [
        transaction(f"t{day}-{number}", str(day), "10.00") for day in DAYS for number in range(5)
    ]
    await warehouse.publish(
        users=[{"user_id": "u1"}], products=[{"product_id": "p1"}], transactions=sales[:5]
    )
    small = await _reads(warehouse, DAYS[0])
    assert len(small) == 6
    assert all(small.values())
    await warehouse.publish(transactions=sales[5:])
    assert await _reads(warehouse, DAYS[0]) == small
    whole = await _reads(warehouse, *DAYS)
    assert whole["merge/transactions"] == len(DAYS) * small["merge/transactions"]
