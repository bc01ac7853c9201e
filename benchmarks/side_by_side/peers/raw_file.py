"""The raw file as Arrow batches, and what a script is asked to do."""

import json
import sys
from typing import Any

import pyarrow as pa
import pyarrow.json as arrow_json

_BLOCK_BYTES = 8 << 20

SCHEMA = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("user_id", pa.string()),
        ("product_id", pa.string()),
        ("amount", pa.decimal128(12, 2)),
        ("currency", pa.string()),
        ("timestamp", pa.timestamp("us", tz="UTC")),
        ("payment_method", pa.string()),
        ("status", pa.string()),
    ]
)
"""The raw fields, money exact."""


def job() -> dict[str, Any]:
    """What to load: `raw`, the file; `rows`, how many it has; `folder`, for whatever is written."""
    asked: dict[str, Any] = json.loads(sys.argv[1])
    return asked


def batches(raw: str) -> pa.RecordBatchReader:
    """The file's records, some megabytes at a time."""
    return arrow_json.open_json(
        raw,
        read_options=arrow_json.ReadOptions(block_size=_BLOCK_BYTES),
        parse_options=arrow_json.ParseOptions(explicit_schema=SCHEMA),
    )
