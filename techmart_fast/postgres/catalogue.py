"""Complete catalogues: a product that the newest one does not name becomes inactive."""

from uuid import uuid4

import pyarrow as pa

from techmart_fast.postgres.arrow_out import fetch_arrow
from techmart_fast.postgres.columns import column_list
from techmart_fast.postgres.frame import Change, Frame
from techmart_fast.postgres.load import spool_rows
from techmart_fast.postgres.model import SPOOLED, Lease, Spool
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.postgres.tables import table_of
from techmart_fast.records import Feed, FeedCounts

_DOING = "deactivating products"
_PREMIUM = pa.schema([pa.field("user_id", pa.string()), pa.field("customer_tier", pa.string())])


async def deactivate(frame: Frame, lease: Lease, spool: Spool, *, since_ordinal: int) -> int:
    """Deactivate what the catalogue from `since_ordinal` on does not name; returns how many."""
    session, table, batch_id = frame.session, table_of(Feed.PRODUCTS), uuid4()
    async with frame.transaction(batch_id):
        claim = await frame.claim(lease, batch_id, kind="deactivate", table=table)
        if claim is None:
            raise AssertionError("a fresh random batch id was known")
        newest = await session.fetchrow(
            statement("catalogue", "remember"), since_ordinal, doing=_DOING
        )
        catalogue = int(newest["since_ordinal"]) if newest else since_ordinal
        count = await session.execute(
            statement("catalogue", "deactivate"), catalogue, claim.batch_no, doing=_DOING
        )
        columns = SPOOLED[table.feed].remove(
            SPOOLED[table.feed].get_field_index("catalogue_ordinal")
        )
        query = statement(
            "catalogue",
            "deactivated",
            columns=column_list(columns.names),
            batch_no=str(claim.batch_no),
        )
        rows = await fetch_arrow(session, query, columns, doing=_DOING)
        for batch in rows.combine_chunks().to_batches():
            spooled = await spool_rows(spool, table, batch, catalogue)
            if spooled is not None:
                await frame.owe(claim.batch_no, spooled, spooled.dates)
        change = Change(table=table.name, updated=count)
        await frame.close(claim.batch_no, [change], counts=FeedCounts(), superseded=0)
    return count


async def named(session: Session, ordinal: int) -> int:
    """How many products a file names, each once, and rejected records of it."""
    row = await session.fetchrow(statement("catalogue", "named"), ordinal, doing=_DOING)
    return int(row["named"]) if row else 0


async def premium_users(session: Session, default_tier: str) -> pa.Table:
    """Users of another tier than the default: user_id, customer_tier."""
    return await fetch_arrow(
        session,
        statement("catalogue", "premium_users"),
        _PREMIUM,
        default_tier,
        doing="reading the tiers of users",
    )
