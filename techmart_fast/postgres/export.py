"""Rows as the warehouse was sent them, page by page, in bounded memory and without an index.

A page is a range of the table's blocks, in one snapshot: together they are the whole table, once,
whatever days or keys are wanted of it.
"""

from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from datetime import date

import pyarrow as pa

from techmart_fast.errors import SinkError
from techmart_fast.fingerprints import Part
from techmart_fast.postgres.arrow_out import fetch_arrow
from techmart_fast.postgres.model import SPOOLED
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.records import Feed

PAGE_BLOCKS = 2048
"""16 MiB of the table: some 100,000 transactions, and some 20 MB as the text that they come as."""

_DOING = "reading rows for the warehouse"
_BATCH = pa.field("batch_id", pa.string(), nullable=False)
_FOLLOWS = (
    *("transaction_hour", "day_of_week", "is_high_value", "is_international"),
    *("payment_method_risk", "transaction_risk"),
)

EXPORTED: Mapping[str, pa.Schema] = {
    "users": SPOOLED[Feed.USERS].append(_BATCH),
    "products": SPOOLED[Feed.PRODUCTS].append(_BATCH),
    "transactions": pa.schema(
        [field for field in SPOOLED[Feed.TRANSACTIONS] if field.name not in _FOLLOWS]
    ).append(_BATCH),
    "rejected_transactions": pa.schema(
        [
            pa.field("source_ordinal", pa.int64(), nullable=False),
            pa.field("source_offset", pa.int64(), nullable=False),
            pa.field("transaction_date", pa.date32(), nullable=False),
            pa.field("code", pa.string(), nullable=False),
            _BATCH,
        ]
    ),
}
"""Columns of the pages. Of transactions, those that follow by the contract are not stored."""

_STORED: Mapping[str, str] = {
    "users": "public.users",
    "products": "public.products",
    "transactions": "public.transactions",
    "rejected_transactions": "techmart_loader.quarantine",
}
_PART: Mapping[str, str] = {
    "users": "('x' || substr(md5(t.user_id), 1, 2))::bit(8)::integer",
    "products": "('x' || substr(md5(t.product_id), 1, 2))::bit(8)::integer",
    "transactions": "t.transaction_date",
    "rejected_transactions": "t.record_date",
}


async def pages(
    session: Session, table: str, parts: Collection[Part], *, page_blocks: int = PAGE_BLOCKS
) -> AsyncGenerator[pa.Table, None]:
    """The rows of some parts (days, or buckets of keys), as `EXPORTED[table]`; none is empty."""
    within = f"{_PART[table]} IN ({', '.join(_literal(part) for part in parts)})"
    async with aclosing(_pages(session, table, within, page_blocks)) as found:
        async for page in found:
            yield page


async def owed_pages(
    session: Session, table: str, entries: Collection[int]
) -> AsyncGenerator[pa.Table, None]:
    """The rows that the batches of some outbox entries wrote and that no later one wrote over."""
    numbers = ", ".join(str(int(number)) for number in entries)
    within = statement("repair", "owed", entries=numbers).split("\n", 1)[1]
    async with aclosing(_pages(session, table, within, PAGE_BLOCKS)) as found:
        async for page in found:
            yield page


async def _pages(
    session: Session, table: str, within: str, page_blocks: int
) -> AsyncGenerator[pa.Table, None]:
    row = await session.fetchrow(statement("repair", "blocks"), _STORED[table], doing=_DOING)
    if row is None:
        raise SinkError(f"PostgreSQL did not answer how large {table} is.")
    batch_id = statement("repair", "batch_id").split("\n", 1)[1]
    for first in range(0, row["blocks"], page_blocks):
        query = statement(
            "repair",
            f"page_{table}",
            batch_id=batch_id,
            first=str(first),
            end=str(first + page_blocks),
            within=within,
        )
        page = await fetch_arrow(session, query, EXPORTED[table], doing=_DOING)
        if page.num_rows:
            yield page


def _literal(part: Part) -> str:
    return f"DATE '{part.isoformat()}'" if isinstance(part, date) else str(int(part))
