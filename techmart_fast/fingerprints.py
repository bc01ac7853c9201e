"""What both sinks say of a part of a table, so that the two can be compared without moving rows.

A *part* is a day of transactions (or of rejected ones), or a bucket of users or products: the first
byte of the MD5 of the key, 0 to 255.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

Part = date | int
"""A day, or a bucket."""

BUCKETS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Rows of a part, their money, and the sum of their hashes.

    `row_hash` does not depend on any order. Money is exact, and None where a table has none.
    `waiting` rows were written last by a batch that the warehouse was not told of yet.
    """

    rows: int = 0
    amount: Decimal | None = None
    amount_usd: Decimal | None = None
    row_hash: int = 0
    waiting: int = 0

    def equals(self, other: "Fingerprint") -> bool:
        """Whether both tell of the same rows."""
        return self._compared == other._compared

    @property
    def _compared(self) -> tuple[object, ...]:
        # Before the first row there is no sum.
        return self.rows, self.amount or 0, self.amount_usd or 0, self.row_hash


BatchPart = tuple[Part, str]
"""A part and the id of a batch that wrote rows of it."""

Fingerprints = Mapping[Part, Fingerprint]
BatchFingerprints = Mapping[BatchPart, Fingerprint]


def by_part(rows: Iterable[Mapping[str, Any]]) -> dict[Part, Fingerprint]:
    """From columns part, row_count and, where they are there, the others of `Fingerprint`."""
    return {row["part"]: _fingerprint(row) for row in rows}


def by_batch(rows: Iterable[Mapping[str, Any]]) -> dict[BatchPart, Fingerprint]:
    """From columns part, batch_id, row_count and row_hash."""
    return {(row["part"], row["batch_id"]): _fingerprint(row) for row in rows}


def by_key(rows: Iterable[Mapping[str, Any]]) -> dict[Part, set[tuple[int, int]]]:
    """Hashes of key and row by part, from columns part, key_hash and row_hash."""
    found: dict[Part, set[tuple[int, int]]] = {}
    for row in rows:
        found.setdefault(row["part"], set()).add((row["key_hash"], row["row_hash"]))
    return found


def _fingerprint(row: Mapping[str, Any]) -> Fingerprint:
    return Fingerprint(
        rows=_whole(row["row_count"]),
        amount=_money(row.get("amount")),
        amount_usd=_money(row.get("amount_usd")),
        row_hash=_whole(row.get("row_hash")),
        waiting=_whole(row.get("waiting")),
    )


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | Decimal) else 0


def _money(value: object) -> Decimal | None:
    return value if isinstance(value, Decimal) else None
