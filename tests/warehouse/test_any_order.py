"""Fifty pieces in any order end where one load ends, and where an independent model says."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from random import Random

import pytest

from techmart_fast.contract import Contract, default_contract
from techmart_fast.warehouse import LoadGroup, LoadTable
from tests.forms import long_form
from tests.model import rollups as model
from tests.model.shop import Product, Purchase, User
from tests.warehouse.loading import Row, Warehouse

TABLES = (LoadTable.USERS, LoadTable.PRODUCTS, LoadTable.TRANSACTIONS)
KEYS = {
    LoadTable.USERS: "user_id",
    LoadTable.PRODUCTS: "product_id",
    LoadTable.TRANSACTIONS: "transaction_id",
}
REGIONS = {"DE": "europe", "US": "north_america", "JP": "asia_pacific"}
Version = tuple[LoadTable, Row]


def versions(random: Random) -> list[Version]:
    """Records of a small shop in source order: new ones, corrections of all kinds."""
    made: list[Version] = []
    for number in range(400):
        position: Row = {"source_ordinal": number // 100, "source_offset": number % 100}
        kind = random.choices(TABLES, (1, 1, 8))[0] if number > 20 else TABLES[number % 2]
        made.append((kind, {**_CONTENT[kind](random), **position}))
    return made


def _user(random: Random) -> Row:
    country = random.choice(list(REGIONS))
    return {
        "user_id": f"u{random.randrange(9)}",
        "country": country,
        "region": REGIONS[country],
        "customer_tier": random.choice(("standard", "vip")),
        "registration_date": date(2023, random.randrange(1, 13), 5),
    }


def _product(random: Random) -> Row:
    price = Decimal(random.randrange(1, 9000)).scaleb(-2)
    return {
        "product_id": f"p{random.randrange(7)}",
        "name": f"n{random.randrange(99)}",
        "category": random.choice(("home", "toys", "garden")),
        "price": price,
        "price_usd": price,
        "inventory_count": random.choice((0, 3, 70)),
    }


def _transaction(random: Random) -> Row:
    when = datetime(2023, 10, 1, tzinfo=UTC) + timedelta(
        days=random.randrange(120), seconds=random.randrange(3) * 3600
    )
    cents = random.randrange(1, 90000)
    return {
        "transaction_id": f"t{random.randrange(150)}",
        "user_id": f"u{random.randrange(9)}",
        "product_id": random.choice([None, *(f"p{number}" for number in range(7))]),
        "amount": Decimal(cents).scaleb(-2),
        "amount_usd": Decimal(cents + 7).scaleb(-2),
        "currency": random.choice(("USD", "EUR")),
        "payment_method": random.choice(("paypal", "debit_card", "apple_pay")),
        "status": random.choice(("completed",) * 4 + ("refunded", "failed", "pending")),
        "timestamp": when,
        "transaction_date": when.date(),
    }


_CONTENT = {
    LoadTable.USERS: _user,
    LoadTable.PRODUCTS: _product,
    LoadTable.TRANSACTIONS: _transaction,
}


@dataclass
class Authority:
    """What PostgreSQL does for the warehouse: passes on newer rows only, and knows old dates."""

    stored: dict[tuple[LoadTable, object], Row] = field(default_factory=dict)

    def accept(self, piece: list[Version]) -> tuple[dict[str, list[Row]], set[date]]:
        accepted: dict[str, list[Row]] = {}
        old_dates: set[date] = set()
        for table, row in piece:
            key = (table, row[KEYS[table]])
            before = self.stored.get(key)
            if before is not None and _position(before) >= _position(row):
                continue
            if before is not None and table is LoadTable.TRANSACTIONS:
                old_dates.add(before["transaction_date"])
            self.stored[key] = row
            accepted.setdefault(table.value, []).append(row)
        return accepted, old_dates

    def of(self, table: LoadTable) -> dict[str, Row]:
        return {str(key): row for (kind, key), row in self.stored.items() if kind is table}


def _position(row: Row) -> tuple[object, object]:
    return row["source_ordinal"], row["source_offset"]


class ModelShop:
    """The end state as the independent model wants it."""

    def __init__(self, authority: Authority, contract: Contract) -> None:
        self.contract = contract
        self.rejected_by_day: Counter[date] = Counter()
        self.users = {
            key: User("", row["registration_date"], row["country"], "25-34", row["customer_tier"])
            for key, row in authority.of(LoadTable.USERS).items()
        }
        self.products = {
            key: Product(
                row["name"],
                row["category"],
                _cents(row["price_usd"]),
                "USD",
                row["inventory_count"],
                "s1",
            )
            for key, row in authority.of(LoadTable.PRODUCTS).items()
        }
        self.purchases = list(self._purchases(authority))
        self.as_of = max(one.day for one in self.purchases)

    def _purchases(self, authority: Authority) -> Iterator[Purchase]:
        for key, row in authority.of(LoadTable.TRANSACTIONS).items():
            yield Purchase(
                key,
                row["user_id"],
                row["product_id"],
                _cents(row["amount"]),
                row["currency"],
                row["timestamp"],
                row["payment_method"],
                row["status"],
                row["transaction_date"],
                _cents(row["amount_usd"]),
            )

    def region(self, purchase: Purchase) -> str:
        return REGIONS[self.users[purchase.user_id].country]

    def price_usd(self, product: Product) -> int:
        return product.price

    def is_active(self, _product_id: str) -> bool:
        return True


def _cents(amount: object) -> int:
    assert isinstance(amount, Decimal)
    return int(amount.scaleb(2))


@pytest.mark.parametrize("pieces", long_form((12, 50), short=(12,)))
def test_pieces_in_any_order_end_as_the_model_says(told: Callable[..., None], pieces: int) -> None:
    told(partial(pieces_in_any_order, pieces))


async def pieces_in_any_order(pieces: int, warehouse: Warehouse) -> None:
    random, authority = Random(1), Authority()
    records = versions(random)
    random.shuffle(records)
    # Parents first, as PostgreSQL holds rows back until then.
    records.sort(key=lambda one: one[0] is LoadTable.TRANSACTIONS and random.random() < 0.7)
    cuts = sorted(random.sample(range(1, len(records)), pieces - 1))
    groups: list[LoadGroup] = []
    for first, last in zip([0, *cuts], [*cuts, len(records)], strict=True):
        accepted, old_dates = authority.accept(records[first:last])
        groups += await warehouse.merge(old_dates=old_dates, **accepted)
        # A run may publish several pieces; here every second one does, by chance.
        if last == len(records) or random.random() < 0.5:
            await warehouse.sink.refresh(groups, warehouse.rules)
            await warehouse.sink.discard(groups)
            groups.clear()
    shop = ModelShop(authority, default_contract())
    found = await warehouse.rollups()
    expected = {
        "daily": model.daily_sales(shop),
        "users": model.user_analytics(shop),
        "products": model.product_performance(shop),
        "financials": model.financial_reports(shop),
    }
    not_modelled = {"email", "price_tier", "inventory_status"}
    for name, rows in expected.items():
        keys = ["report_type", "period_start"] if name == "financials" else list(rows[0])[:1]
        assert _by_key(rows, keys, not_modelled) == _by_key(
            list(found[name].values()), keys, not_modelled
        )


def _by_key(
    rows: list[Row], keys: list[str], left_out: set[str]
) -> Mapping[tuple[object, ...], Row]:
    return {
        tuple(row[key] for key in keys): {
            name: value for name, value in row.items() if name not in left_out
        }
        for row in rows
    }
