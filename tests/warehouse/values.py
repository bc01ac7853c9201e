"""Spooled files, groups and record batches for tests, from plain values."""

import io
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pyarrow as pa

from techmart_fast.records import SpooledFile
from techmart_fast.warehouse import LoadGroup, LoadPart, LoadTable, SpoolFolder
from techmart_fast.warehouse.packing import packed
from techmart_fast.warehouse.spool import LOAD_SCHEMAS, Compression, write_spool

BATCH = UUID("5f9c1c5e-0000-4000-8000-000000000001")

_BASE: Mapping[LoadTable, Mapping[str, object]] = {
    LoadTable.USERS: {
        "email": "someone@example.com",
        "registration_date": date(2023, 1, 5),
        "country": "DE",
        "region": "europe",
        "age_group": "25-34",
        "customer_tier": "standard",
        "source_ordinal": 1,
        "source_offset": 0,
    },
    LoadTable.PRODUCTS: {
        "name": "Lamp",
        "category": "home",
        "price": Decimal("40.00"),
        "currency": "USD",
        "price_usd": Decimal("40.00"),
        "inventory_count": 20,
        "supplier_id": "s1",
        "inventory_status": "in_stock",
        "price_tier": "budget",
        "source_ordinal": 1,
        "source_offset": 0,
        "is_active": True,
        "catalogue_ordinal": 0,
    },
    LoadTable.TRANSACTIONS: {
        "user_id": "u1",
        "product_id": "p1",
        "amount": Decimal("10.00"),
        "currency": "USD",
        "payment_method": "paypal",
        "status": "completed",
        "transaction_hour": 12,
        "day_of_week": 1,
        "is_high_value": False,
        "is_international": False,
        "payment_method_risk": "low",
        "transaction_risk": "low",
        "processing_priority": "standard",
        "source_ordinal": 1,
        "source_offset": 0,
    },
    LoadTable.REJECTED_TRANSACTIONS: {"source_ordinal": 1, "code": "unknown_currency"},
}


def transaction(transaction_id: str, day: str, usd: str, **other: object) -> dict[str, object]:
    """A transaction at noon of `day`, in US dollars unless `other` says otherwise."""
    when = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    return {
        "transaction_id": transaction_id,
        "amount": Decimal(usd),
        "amount_usd": Decimal(usd),
        "timestamp": when,
        "transaction_date": when.astimezone(UTC).date(),
        **other,
    }


def batch(table: LoadTable, rows: Iterable[Mapping[str, object]]) -> pa.RecordBatch:
    """Rows with the gaps filled, as PostgreSQL's sink hands them to the spool."""
    schema = LOAD_SCHEMAS[table]
    schema = schema.remove(schema.get_field_index("batch_id"))
    return pa.RecordBatch.from_pylist([{**_BASE[table], **row} for row in rows], schema=schema)


def spooled(
    folder: Path,
    table: LoadTable,
    rows: Iterable[Mapping[str, object]],
    *,
    name: str = "one",
    compression: Compression = "zstd",
) -> SpooledFile:
    """Rows in a spool file."""
    return write_spool(
        batch(table, rows),
        table=table,
        folder=SpoolFolder(folder, compression),
        name=f"{table}-{name}",
        batch_id=BATCH,
    )


def group_of(
    group_id: str,
    table: LoadTable,
    *members: SpooledFile,
    dates: Iterable[date] = (),
    attempt: int = 1,
) -> LoadGroup:
    """A group of one part."""
    part = LoadPart(group_id=group_id, table=table, part=0, members=members, attempt=attempt)
    return LoadGroup(parts=(part,), other_dates=frozenset(dates))


def paper_file(
    table: LoadTable, *days: date, rows: int = 10, size_bytes: int = 1000
) -> SpooledFile:
    """A spooled file that is not on any disk."""
    return SpooledFile(
        table=table.value,
        path=Path(f"/nowhere/{table}-{rows}-{size_bytes}.parquet"),
        sha256="00",
        rows=rows,
        size_bytes=size_bytes,
        dates=days,
    )


def packed_of(table: LoadTable, *members: SpooledFile) -> bytes:
    """What the load job of these files carries."""
    into = io.BytesIO()
    assert packed(group_of("g", table, *members).parts[0], into) == len(into.getvalue())
    return into.getvalue()
