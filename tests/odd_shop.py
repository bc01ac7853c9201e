"""A small shop with odd characters, for comparing both sinks; and ways to damage the warehouse."""

import json
from datetime import date
from pathlib import Path

import pytest

from techmart_fast.api import DataSources, reconcile
from techmart_fast.pipeline.reconciled import Reconciliation, TableReconciled
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.warehouse.statements import Statement
from tests.shops import Row, Shop

USERS = """user_id,email,registration_date,country,age_group,customer_tier
u1,ana@example.com,2023-01-01,DE,25-34,vip
1:u,ü@example.com,2023-01-02,FR,,premium
"3:u;-",o'neil+x@example.com,2023-01-03,US,65+,
ẞ😀,zoë.long@example.org,2023-01-04,JP,18-24,standard
"""
PRODUCTS = [
    {"product_id": "p1", "name": 'A "quoted", name', "category": "books", "price": "10.00",
     "inventory_count": 3, "supplier_id": "s1"},
    {"product_id": "p:2", "name": "né;-", "category": "", "price": "0.05",
     "inventory_count": "", "supplier_id": ""},
]  # fmt: skip
DAYS = ("2024-03-01", "2024-03-02", "2024-03-05")


def sales(*rows: dict[str, object]) -> str:
    return json.dumps(list(rows))


def sale(number: int, **changes: object) -> dict[str, object]:
    day = DAYS[number % len(DAYS)]
    users = ("u1", "1:u", "3:u;-", "ẞ😀")
    return {
        "transaction_id": f"t{number}",
        "user_id": users[number % 4],
        "product_id": ("p1", "p:2")[number % 2],
        "amount": f"{number * 7 % 900 + 1}.{number % 100:02d}",
        "currency": ("USD", "EUR", "GBP", "CAD")[number % 4],
        "timestamp": f"{day}T{number % 24:02d}:59:59.{number:06d}Z",
        "payment_method": ("paypal", "credit_card")[number % 2],
        "status": ("completed", "pending", "refunded")[number % 3],
        **changes,
    }


def feeds(folder: Path, *rows: dict[str, object], name: str = "sales") -> DataSources:
    (folder / "users.csv").write_text(USERS, encoding="utf-8")
    (folder / "products.json").write_text(json.dumps(PRODUCTS), encoding="utf-8")
    path = folder / f"{name}.json"
    path.write_text(sales(*rows), encoding="utf-8")
    return DataSources(
        users=(str(folder / "users.csv"),),
        products=(str(folder / "products.json"),),
        transactions=(str(path),),
    )


@pytest.fixture
async def loaded(shop: Shop, tmp_path: Path) -> Shop:
    """A shop with thirty sales on three days, one rejected and one held."""
    rows = [sale(number) for number in range(30)]
    rows += [sale(30, currency="XXX"), sale(31, user_id="nobody")]
    result = await shop.run(feeds(tmp_path, *rows))
    assert result.error is None
    return shop


async def compared(shop: Shop, **span: date) -> Reconciliation:
    return await reconcile(settings=shop.settings, **span)


def of(found: Reconciliation, table: str) -> TableReconciled:
    return next(one for one in found.tables if one.table == table)


async def in_warehouse(shop: Shop, *statements: str) -> None:
    """Change the warehouse behind the loader's back."""
    async with open_sinks(shop.settings, postgres=False) as sinks:
        for sql in statements:
            await sinks.warehouse._jobs.run(Statement(name="queries/tamper", sql=sql))


async def facts(shop: Shop, table: str = "transactions") -> list[Row]:
    """Every row of a table of the warehouse, in order, with all its columns."""
    where = "WHERE transaction_date > DATE '1990-01-01'" if "trans" in table else ""
    async with open_sinks(shop.settings, postgres=False) as sinks:
        sql = f"SELECT * FROM {table} {where}"
        found = await sinks.warehouse._jobs.table(Statement(name="queries/facts", sql=sql))
    return sorted(found.to_pylist(), key=str)
