"""What people and reconciliation ask: quarantine, counts, totals by day."""

from collections.abc import Sequence
from datetime import date

import asyncpg
import pyarrow as pa

from techmart_fast.errors import SinkError
from techmart_fast.postgres.model import QuarantineFilter, QuarantineRow, SinkStatus
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.records import Feed

_TOTALS = pa.schema(
    [
        pa.field("transaction_date", pa.date32()),
        pa.field("transactions", pa.int64()),
        pa.field("amount_usd", pa.decimal128(38, 2)),
    ]
)


async def quarantine_list(
    session: Session, filters: QuarantineFilter, limit: int
) -> list[QuarantineRow]:
    """Rejected records in source order, without their bytes."""
    rows = await session.fetch(
        statement("reports", "quarantine_list"),
        filters.feed.value if filters.feed else None,
        filters.code,
        filters.source,
        filters.run_id,
        filters.include_resolved,
        limit,
        doing="listing the quarantine",
    )
    return [_quarantine_row(row) for row in rows]


async def quarantine_show(session: Session, quarantine_id: int) -> QuarantineRow | None:
    """One rejected record with its bytes."""
    row = await session.fetchrow(
        statement("reports", "quarantine_show"), quarantine_id, doing="reading the quarantine"
    )
    return None if row is None else _quarantine_row(row)


async def status(session: Session) -> SinkStatus:
    """Counts of what is stored, held, quarantined and pending."""
    row = await session.fetchrow(statement("reports", "status"), doing="counting rows")
    if row is None:
        raise SinkError("The lease row is missing.", hint="Apply schemas/postgres_schema.sql.")
    return SinkStatus(**row)


async def daily_totals(session: Session, dates: Sequence[date] | None) -> pa.Table:
    """Transactions and their sum in USD by stored date."""
    rows = await session.fetch(
        statement("reports", "daily_totals"),
        None if dates is None else list(dates),
        doing="adding up transactions",
    )
    # One row a day: Python objects do no harm here.
    return pa.Table.from_pylist([dict(row) for row in rows], schema=_TOTALS)


def _quarantine_row(row: asyncpg.Record) -> QuarantineRow:
    values = {**row}
    return QuarantineRow(feed=Feed(values.pop("feed")), **values)
