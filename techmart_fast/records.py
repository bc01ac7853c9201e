"""What flows between the stages: feeds, positions, blocks, batches and their Arrow schemas.

All values are frozen. A record's *source position* is `(source_ordinal, source_offset)`: the
ordinal of its file in the feed and the byte offset of the record in the decompressed stream. It
travels with the record into both sinks, where every write is "only if newer".
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa


class Feed(StrEnum):
    """The three feeds of the shop, in the order in which a run loads them."""

    USERS = "users"
    PRODUCTS = "products"
    TRANSACTIONS = "transactions"


KEY_FIELD: Mapping[Feed, str] = {
    Feed.USERS: "user_id",
    Feed.PRODUCTS: "product_id",
    Feed.TRANSACTIONS: "transaction_id",
}

FIELDS: Mapping[Feed, tuple[str, ...]] = {
    Feed.USERS: (
        "user_id",
        "email",
        "registration_date",
        "country",
        "age_group",
        "customer_tier",
    ),
    Feed.PRODUCTS: (
        "product_id",
        "name",
        "category",
        "price",
        "currency",
        "inventory_count",
        "supplier_id",
    ),
    Feed.TRANSACTIONS: (
        "transaction_id",
        "user_id",
        "product_id",
        "amount",
        "currency",
        "timestamp",
        "payment_method",
        "status",
    ),
}
"""Canonical field names of each feed, in order. Content equality is equality of these fields."""

NUMERIC_FIELDS: Mapping[Feed, frozenset[str]] = {
    Feed.USERS: frozenset(),
    Feed.PRODUCTS: frozenset({"price", "inventory_count"}),
    Feed.TRANSACTIONS: frozenset({"amount"}),
}
"""Fields that may be a number or a numeric string in JSON; every other field is text."""

DECODED_NUMBER = pa.decimal128(38, 9)
"""How the fast paths decode a numeric field; the exact path keeps its text (`pa.string()`)."""

RECORD_PLACE = (
    pa.field("source_offset", pa.int64(), nullable=False),
    pa.field("source_line", pa.int64(), nullable=False),
    pa.field("source_length", pa.int32(), nullable=False),
)
"""Where a decoded record starts (byte, 1-based line) and how many bytes it spans."""

_REJECTION_FIELDS: list["pa.Field[Any]"] = [
    pa.field("code", pa.string(), nullable=False),
    pa.field("field", pa.string()),
    pa.field("message", pa.string(), nullable=False),
    pa.field("source_offset", pa.int64(), nullable=False),
    pa.field("source_line", pa.int64(), nullable=False),
    pa.field("raw", pa.binary(), nullable=False),
    pa.field("record_key", pa.string()),
    pa.field("record_date", pa.date32()),
]
REJECTIONS = pa.schema(_REJECTION_FIELDS)
"""Rejected records: reason, place, the raw bytes, and key and reporting date where readable."""

MONEY = pa.decimal128(12, 2)
INSTANT = pa.timestamp("us", tz="UTC")

_POSITION: tuple["pa.Field[Any]", ...] = (
    pa.field("source_ordinal", pa.int64(), nullable=False),
    pa.field("source_offset", pa.int64(), nullable=False),
)


def _text(name: str, *, nullable: bool = False) -> "pa.Field[Any]":
    return pa.field(name, pa.string(), nullable=nullable)


CANDIDATES: Mapping[Feed, pa.Schema] = {
    Feed.USERS: pa.schema(
        [
            _text("user_id"),
            _text("email"),
            pa.field("registration_date", pa.date32(), nullable=False),
            _text("country"),
            _text("region"),
            _text("age_group", nullable=True),
            _text("customer_tier"),
            *_POSITION,
        ]
    ),
    Feed.PRODUCTS: pa.schema(
        [
            _text("product_id"),
            _text("name"),
            _text("category"),
            pa.field("price", MONEY, nullable=False),
            _text("currency"),
            pa.field("price_usd", MONEY, nullable=False),
            pa.field("inventory_count", pa.int64(), nullable=False),
            _text("supplier_id"),
            _text("inventory_status"),
            _text("price_tier"),
            *_POSITION,
        ]
    ),
    Feed.TRANSACTIONS: pa.schema(
        [
            _text("transaction_id"),
            _text("user_id"),
            _text("product_id", nullable=True),
            pa.field("amount", MONEY, nullable=False),
            _text("currency"),
            pa.field("amount_usd", MONEY, nullable=False),
            pa.field("timestamp", INSTANT, nullable=False),
            _text("payment_method"),
            _text("status"),
            pa.field("transaction_date", pa.date32(), nullable=False),
            pa.field("transaction_hour", pa.int64(), nullable=False),
            pa.field("day_of_week", pa.int64(), nullable=False),
            pa.field("is_high_value", pa.bool_(), nullable=False),
            pa.field("is_international", pa.bool_(), nullable=False),
            _text("payment_method_risk"),
            _text("transaction_risk"),
            _text("processing_priority"),
            *_POSITION,
        ]
    ),
}
"""Validated, enriched records. They carry everything that either sink stores of a record.

`transaction_date`, `transaction_hour` (0–23) and `day_of_week` (ISO: Monday 1 … Sunday 7) are in
the contract's reporting time zone.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How a file is cut into batches: into blocks of `block_bytes`, each shared out to `lanes`.

    It belongs to the file from its first load on: a rerun with other settings, or on a machine with
    more cores, must find the same batches.
    """

    block_bytes: int
    lanes: int


NOT_CUT = Cut(block_bytes=0, lanes=0)
"""The cut of a file that the sink has not registered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One input file, identified by content.

    `name` is what people see (the path as given, or `<stdin>`); `path` is what is opened.
    `fingerprint` is the hex SHA-256 of the file's bytes as stored. `ordinal` is -1, and `cut`
    `NOT_CUT`, until the sink has registered the file. `inode` and `modified_ns` (0: not known)
    tell, together with `size_bytes`, whether the file is still the one that was discovered.
    `header` holds a CSV file's column names, and is empty for JSON.
    """

    feed: Feed
    name: str
    path: Path
    fingerprint: str
    size_bytes: int
    compression: str
    format: str
    ordinal: int = -1
    cut: Cut = NOT_CUT
    inode: int = 0
    modified_ns: int = 0
    header: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Whole records cut from one source: bytes `[first_byte, end_byte)` of the decompressed stream.

    `first_line` is the 1-based line on which `data` starts. `header` holds a CSV file's column
    names (as in the file), and is empty for JSON. `data` is shorter than the range only where it
    is the beginning of one record of more than `max_record_bytes`.
    """

    source: SourceFile
    first_byte: int
    end_byte: int
    first_line: int
    data: bytes
    header: tuple[str, ...] = ()
    max_record_bytes: int = sys.maxsize


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedBatch:
    """The records of one block as columns, plus what could not be decoded.

    `records` has the columns of `FIELDS[feed]` (text; numeric fields text or `DECODED_NUMBER`;
    absent fields null) followed by `RECORD_PLACE`, in source order. `odd_numbers` has, for fields
    that are `DECODED_NUMBER`, the values that are not, by row: there the column is null.
    `rejections` follows `REJECTIONS`. `read` = rows of both. `unknown_fields` counts records by
    extra field name (a sample of the block is enough: names matter, numbers are indicative).
    """

    block: Block
    records: pa.RecordBatch
    rejections: pa.RecordBatch
    unknown_fields: Mapping[str, int] = field(default_factory=dict)
    odd_numbers: Mapping[str, Mapping[int, str]] = field(default_factory=dict)

    @property
    def read(self) -> int:
        """Records this block holds, good and bad."""
        return int(self.records.num_rows + self.rejections.num_rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateBatch:
    """Validated and enriched records of one block, ready for the sinks.

    `records` follows `CANDIDATES[feed]`; `rejections` holds decode's and validation's.
    `completeness` maps each required field to (filled, expected) over all decoded records;
    `repairs` counts repaired values by field.
    """

    block: Block
    records: pa.RecordBatch
    rejections: pa.RecordBatch
    read: int
    completeness: Mapping[str, tuple[int, int]]
    repairs: Mapping[str, int]
    unknown_fields: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchIdentity:
    """What makes a batch the same batch on a rerun: content, byte range, contract, lane.

    A *lane* is one writer's share of a block, split by a hash of the record key.
    """

    batch_id: UUID
    feed: Feed
    source: SourceFile
    first_byte: int
    end_byte: int
    lane: int
    lanes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedCounts:
    """What became of every record of a feed. `read` is always the sum of the other four."""

    read: int = 0
    loaded: int = 0
    rejected: int = 0
    held: int = 0
    duplicate: int = 0
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    corrected: int = 0
    released: int = 0
    repaired: int = 0

    def __add__(self, other: "FeedCounts") -> "FeedCounts":
        reasons = dict(self.rejected_by_reason)
        for code, count in other.rejected_by_reason.items():
            reasons[code] = reasons.get(code, 0) + count
        return FeedCounts(
            read=self.read + other.read,
            loaded=self.loaded + other.loaded,
            rejected=self.rejected + other.rejected,
            held=self.held + other.held,
            duplicate=self.duplicate + other.duplicate,
            rejected_by_reason=reasons,
            corrected=self.corrected + other.corrected,
            released=self.released + other.released,
            repaired=self.repaired + other.repaired,
        )

    @property
    def adds_up(self) -> bool:
        """Whether every record read is accounted for."""
        return self.read == self.loaded + self.rejected + self.held + self.duplicate


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledFile:
    """A Parquet file of accepted rows, durable on disk before its batch commits.

    `table` is the warehouse table that it feeds; `dates` are the distinct transaction dates of its
    rows (empty for the dimensions).
    """

    table: str
    path: Path
    sha256: str
    rows: int
    size_bytes: int
    dates: tuple[date, ...] = ()
