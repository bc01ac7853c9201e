"""A row that moves from day to day while the warehouse leg dies is there once, at its last day."""

from collections.abc import Callable
from pathlib import Path

import pytest

from techmart_fast.api import DataSources
from techmart_fast.errors import WarehouseError
from techmart_fast.postgres import PostgresSink
from tests.shops import Shop

USERS = """user_id,email,registration_date,country,age_group,customer_tier
u1,ana@example.com,2023-01-01,DE,25-34,vip
"""
PRODUCTS = """product_id,name,category,price,inventory_count,supplier_id
p1,Lamp,home,20.00,5,s1
"""


def moved_to(folder: Path, number: int) -> str:
    path = folder / f"transactions-{number}.ndjson"
    path.write_text(
        '{"transaction_id":"t1","user_id":"u1","product_id":"p1","amount":10.00,"currency":"USD",'
        f'"timestamp":"2024-01-0{number}T12:00:00Z","payment_method":"paypal",'
        '"status":"completed"}\n'
    )
    return str(path)


async def test_groups_that_were_merged_and_not_marked_are_merged_again(
    make_shop: Callable[..., Shop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = make_shop()
    (tmp_path / "users.csv").write_text(USERS)
    (tmp_path / "products.csv").write_text(PRODUCTS)
    parents = {"users": (f"{tmp_path}/users.csv",), "products": (f"{tmp_path}/products.csv",)}

    async def not_marked(*_: object) -> None:
        raise WarehouseError("The end came before the groups were marked.", transient=True)

    first = await shop.run(DataSources(transactions=(moved_to(tmp_path, 1),), **parents))
    assert first.error is None
    with monkeypatch.context() as dying:
        dying.setattr(PostgresSink, "mark_published", not_marked)
        for day in (2, 3):
            died = await shop.run(DataSources(transactions=(moved_to(tmp_path, day),)))
            assert "before the groups were marked" in str(died.error)
    last = await shop.run(DataSources(transactions=(moved_to(tmp_path, 4),)))
    assert last.error is None
    assert (await shop.warehouse_sums())[0] == 1
    sales = (await shop.reports())["daily-sales"]
    assert [(str(row["date"]), row["total_transactions"]) for row in sales][-1] == ("2024-01-04", 1)
