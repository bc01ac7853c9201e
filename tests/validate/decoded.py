"""Makes decoded batches from plain dictionaries, as tests of later stages need them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from techmart_fast.records import (
    FIELDS,
    NUMERIC_FIELDS,
    REJECTIONS,
    Block,
    DecodedBatch,
    Feed,
    SourceFile,
)

Record = Mapping[str, object]

TRANSACTION: Record = {
    "transaction_id": "t1",
    "user_id": "u1",
    "product_id": "p1",
    "amount": "10.00",
    "currency": "USD",
    "timestamp": "2025-03-01T10:00:00Z",
    "payment_method": "paypal",
    "status": "completed",
}
USER: Record = {
    "user_id": "u1",
    "email": "ann@example.com",
    "registration_date": "2024-05-06",
    "country": "DE",
    "age_group": "25-34",
    "customer_tier": "vip",
}
PRODUCT: Record = {
    "product_id": "p1",
    "name": "Lamp",
    "category": "home",
    "price": "49.99",
    "currency": "USD",
    "inventory_count": "12",
    "supplier_id": "s1",
}
_RAW_BYTES = 10


def decoded(
    feed: Feed, records: Sequence[Record], *, number_type: pa.DataType | None = None
) -> DecodedBatch:
    """A decoded batch; record n stands at byte 10 n of line n + 1. Numbers are text by default."""
    rows = len(records)
    columns = {
        name: pa.array(
            [record.get(name) for record in records],
            number_type if number_type and name in NUMERIC_FIELDS[feed] else pa.string(),
        )
        for name in FIELDS[feed]
    }
    columns["source_offset"] = pa.array(np.arange(rows) * _RAW_BYTES)
    columns["source_line"] = pa.array(np.arange(rows) + 1)
    columns["source_length"] = pa.array(np.full(rows, _RAW_BYTES - 1, dtype=np.int32))
    source = SourceFile(
        feed=feed,
        name="feed",
        path=Path("feed"),
        fingerprint="00" * 32,
        size_bytes=rows * _RAW_BYTES,
        compression="none",
        format="ndjson",
        ordinal=7,
    )
    data = b"".join(b"raw%06d\n" % row for row in range(rows))
    block = Block(source=source, first_byte=0, end_byte=len(data), first_line=1, data=data)
    return DecodedBatch(
        block=block,
        records=pa.RecordBatch.from_pydict(columns),
        rejections=pa.RecordBatch.from_pylist([], schema=REJECTIONS),
    )
