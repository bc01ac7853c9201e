"""Short ways to candidates, batches and a spool, for tests of the sink."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import pyarrow as pa

from techmart_fast.postgres import BatchWrite, Lease
from techmart_fast.records import (
    CANDIDATES,
    REJECTIONS,
    BatchIdentity,
    Feed,
    SourceFile,
    SpooledFile,
)

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)

_USER = {
    "email": "someone@example.com",
    "registration_date": date(2024, 1, 1),
    "country": "US",
    "region": "north_america",
    "age_group": "25-34",
    "customer_tier": "standard",
}
_PRODUCT = {
    "name": "Lamp",
    "category": "home",
    "price": Decimal("20.00"),
    "currency": "USD",
    "price_usd": Decimal("20.00"),
    "inventory_count": 5,
    "supplier_id": "s1",
    "inventory_status": "low_stock",
    "price_tier": "budget",
}
_TRANSACTION = {
    "user_id": "u1",
    "product_id": "p1",
    "amount": Decimal("10.00"),
    "currency": "USD",
    "amount_usd": Decimal("10.00"),
    "timestamp": NOON,
    "payment_method": "paypal",
    "status": "completed",
    "transaction_date": NOON.date(),
    "transaction_hour": 12,
    "day_of_week": 6,
    "is_high_value": False,
    "is_international": False,
    "payment_method_risk": "low",
    "transaction_risk": "low",
    "processing_priority": "standard",
}
_DEFAULTS: Mapping[Feed, tuple[str, Mapping[str, object]]] = {
    Feed.USERS: ("user_id", _USER),
    Feed.PRODUCTS: ("product_id", _PRODUCT),
    Feed.TRANSACTIONS: ("transaction_id", _TRANSACTION),
}


def record(
    feed: Feed, key: str, *, at: int, ordinal: int = 1, **fields: object
) -> dict[str, object]:
    """A candidate as a dict, at offset `at` of file `ordinal`."""
    key_name, defaults = _DEFAULTS[feed]
    return {
        key_name: key,
        **defaults,
        **fields,
        "source_ordinal": ordinal,
        "source_offset": at,
    }


def user(key: str, *, at: int = 0, ordinal: int = 1, **fields: object) -> dict[str, object]:
    return record(Feed.USERS, key, at=at, ordinal=ordinal, **fields)


def product(key: str, *, at: int = 0, ordinal: int = 1, **fields: object) -> dict[str, object]:
    return record(Feed.PRODUCTS, key, at=at, ordinal=ordinal, **fields)


def sale(
    key: str, amount: int = 10, *, at: int = 0, ordinal: int = 1, **fields: object
) -> dict[str, object]:
    """A transaction of `amount` whole US dollars."""
    money = Decimal(amount).quantize(Decimal("0.01"))
    given = {"amount": money, "amount_usd": money, **fields}
    return record(Feed.TRANSACTIONS, key, at=at, ordinal=ordinal, **given)


def on_day(day: int) -> dict[str, object]:
    """Fields of a transaction on another day of the month."""
    moment = NOON + timedelta(days=day - NOON.day)
    return {"timestamp": moment, "transaction_date": moment.date()}


def rejection(at: int, code: str = "missing_field", **fields: object) -> dict[str, object]:
    return {
        "code": code,
        "field": "amount",
        "message": "amount is required and empty or absent",
        "source_offset": at,
        "source_line": at + 1,
        "raw": b'{"x":1}',
        "record_key": None,
        "record_date": None,
        **fields,
    }


@dataclass
class SpoolRecorder:
    """A spool callback that keeps what it was given; `rows` is everything, in order."""

    fail: BaseException | None = None
    batches: list[pa.RecordBatch] = field(default_factory=list)

    async def __call__(self, records: pa.RecordBatch) -> SpooledFile:
        if self.fail is not None:
            raise self.fail
        self.batches.append(records)
        dates = (
            records.column("transaction_date").unique().to_pylist()
            if ("transaction_date" in records.schema.names)
            else []
        )
        path = Path(f"/spool/{len(self.batches)}.parquet")
        return SpooledFile(
            table=_table_of(records),
            path=path,
            sha256=hashlib.sha256(str(path).encode()).hexdigest(),
            rows=records.num_rows,
            size_bytes=records.nbytes,
            dates=tuple(dates),
        )

    @property
    def rows(self) -> list[dict[str, object]]:
        return [row for batch in self.batches for row in batch.to_pylist()]


class WaitingSpool:
    """A spool that says when it was reached, and then waits."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, records: pa.RecordBatch) -> SpooledFile:
        self.reached.set()
        await self.go_on.wait()
        return await SpoolRecorder()(records)


def source(feed: Feed, ordinal: int = 1, name: str = "feed.json") -> SourceFile:
    return SourceFile(
        feed=feed,
        name=name,
        path=Path(name),
        fingerprint=hashlib.sha256(f"{feed} {ordinal}".encode()).hexdigest(),
        size_bytes=1000,
        compression="none",
        format="ndjson",
        ordinal=ordinal,
    )


def batch(
    lease: Lease,
    feed: Feed,
    records: Sequence[Mapping[str, object]],
    *,
    rejections: Iterable[Mapping[str, object]] = (),
    spool: SpoolRecorder | None = None,
    batch_id: UUID | None = None,
    ordinal: int = 1,
    lane: int = 0,
    lanes: int = 1,
    rejected_file: SpooledFile | None = None,
) -> BatchWrite:
    """A batch of candidates and rejections, with an identity of its own unless one is given."""
    candidates = _record_batch(records, CANDIDATES[feed])
    rejected = _record_batch(list(rejections), REJECTIONS)
    return BatchWrite(
        lease=lease,
        identity=BatchIdentity(
            batch_id=batch_id or uuid4(),
            feed=feed,
            source=source(feed, ordinal),
            first_byte=0,
            end_byte=1000,
            lane=lane,
            lanes=lanes,
        ),
        candidates=candidates,
        rejections=rejected,
        read=candidates.num_rows + rejected.num_rows,
        spool=spool or SpoolRecorder(),
        rejected_file=rejected_file,
    )


def many_users(lease: Lease, count: int, **fields: object) -> BatchWrite:
    """A batch larger than what the socket between client and server takes at once."""
    write = batch(lease, Feed.USERS, [user("u0", **fields)])
    one = write.candidates
    copies = [one.column(name).take(pa.array([0] * count)) for name in one.schema.names]
    copies[0] = pa.array([f"u{number}" for number in range(count)])
    candidates = pa.RecordBatch.from_arrays(copies, schema=one.schema)
    return replace(write, candidates=candidates, read=count)


def _record_batch(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([dict(row) for row in rows], schema=schema)


def _table_of(records: pa.RecordBatch) -> str:
    names = set(records.schema.names)
    if "transaction_id" in names:
        return "transactions"
    return "products" if "product_id" in names else "users"
