"""What validation hands on: typed, repaired records, and what was rejected."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from techmart_fast.records import FIELDS, INSTANT, MONEY, Block, Feed

_TYPES: Mapping[str, pa.DataType] = {
    "amount": MONEY,
    "price": MONEY,
    "timestamp": INSTANT,
    "registration_date": pa.date32(),
    "inventory_count": pa.int64(),
}

VALIDATED: Mapping[Feed, pa.Schema] = {
    feed: pa.schema(
        [
            *((name, _TYPES.get(name, pa.string())) for name in names),
            ("source_offset", pa.int64()),
        ]
    )
    for feed, names in FIELDS.items()
}
"""Columns of validated records: the feed's fields with their types, then `source_offset`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatedBatch:
    """The valid records of one block (`VALIDATED[feed]`) and all its rejections.

    `completeness` maps each required field to (filled, expected); `repairs` counts by field.
    """

    block: Block
    records: pa.RecordBatch
    rejections: pa.RecordBatch
    read: int
    completeness: Mapping[str, tuple[int, int]]
    repairs: Mapping[str, int]
    unknown_fields: Mapping[str, int]
