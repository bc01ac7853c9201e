"""Tiny feeds, written by hand, for the model's own tests."""

import json
from datetime import UTC, datetime
from pathlib import Path

from techmart_fast.contract import Contract, default_contract, parse_contract
from tests.model import ShopModel

STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def user(user_id: str, /, **changes: object) -> dict[str, object]:
    """A valid user."""
    return {
        "user_id": user_id,
        "email": f"{user_id}@example.com",
        "registration_date": "2024-01-01",
        "country": "US",
        "age_group": "25-34",
        "customer_tier": "standard",
    } | changes


def product(product_id: str, /, **changes: object) -> dict[str, object]:
    """A valid product of 10 USD, 73 pieces in stock."""
    return {
        "product_id": product_id,
        "name": f"Thing {product_id}",
        "category": "Things",
        "price": 10,
        "inventory_count": 73,
        "supplier_id": "s1",
    } | changes


def order(transaction_id: str, /, **changes: object) -> dict[str, object]:
    """A valid completed transaction of 100.00 USD by u1 for p1."""
    return {
        "transaction_id": transaction_id,
        "user_id": "u1",
        "product_id": "p1",
        "amount": 100,
        "currency": "USD",
        "timestamp": "2025-03-01T12:00:00Z",
        "payment_method": "credit_card",
        "status": "completed",
    } | changes


class Desk:
    """Writes records to files and feeds them to a model."""

    def __init__(self, folder: Path, contract: str = "") -> None:
        self._folder = folder
        self._files = 0
        self.model = ShopModel(_contract(contract), run_started=STARTED)

    def feed(self, feed: str, *records: dict[str, object] | str) -> Path:
        """Feed records (or lines as they stand) as one NDJSON file."""
        lines = [
            record if isinstance(record, str) else json.dumps(record) + "\n" for record in records
        ]
        return self.feed_bytes(feed, "".join(lines).encode("utf-8", "surrogateescape"))

    def feed_bytes(self, feed: str, data: bytes) -> Path:
        """Feed a file of these bytes."""
        self._files += 1
        path = self._folder / f"{feed}-{self._files}"
        path.write_bytes(data)
        self.model.feed(feed, path)
        return path

    def counts(self, feed: str = "transactions") -> tuple[int, int, int, int]:
        """Loaded, rejected, held, duplicate."""
        counts = self.model.counts[feed]  # type: ignore[index]
        return counts.loaded, counts.rejected, counts.held, counts.duplicate

    def reasons(self, feed: str = "transactions") -> dict[str, int]:
        """Rejections by reason."""
        return dict(self.model.counts[feed].rejected_by_reason)  # type: ignore[index]


def _contract(text: str) -> Contract:
    return parse_contract(text, name="test") if text else default_contract()


def open_shop(folder: Path, contract: str = "") -> Desk:
    """A shop with users u1, u2 and products p1, p2."""
    desk = Desk(folder, contract)
    desk.feed("users", user("u1"), user("u2"))
    desk.feed("products", product("p1"), product("p2"))
    return desk
