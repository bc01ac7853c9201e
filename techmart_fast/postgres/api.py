"""Checkpoints of APIs: how far each was read. They advance under the lease, behind the rows."""

from techmart_fast.postgres import lease as leases
from techmart_fast.postgres.model import ApiCheckpoint, Lease
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.records import Feed

_DOING = "storing how far an API was read"


async def checkpoint(session: Session, feed: Feed, selection: str) -> ApiCheckpoint | None:
    """What the last fetch whose rows are committed left; None if there was none."""
    row = await session.fetchrow(
        statement("api", "checkpoint"), feed.value, selection, doing="reading how far an API was"
    )
    if row is None:
        return None
    return ApiCheckpoint(
        text=row["checkpoint"],
        sha256=row["sha256"],
        contract_version=row["contract_version"],
        is_newest=row["is_newest"],
    )


async def store(
    session: Session, lease: Lease, feed: Feed, selection: str, reached: ApiCheckpoint
) -> None:
    """Store how far an API was read. All rows up to there must be committed.

    Raises:
        LeaseHeldError: another run took over: it reads on from where it was.
    """
    async with leases.holding(session, lease, doing=_DOING):
        await session.execute(
            statement("api", "store"),
            feed.value,
            selection,
            reached.text,
            reached.sha256,
            reached.contract_version,
            lease.run_id,
            doing=_DOING,
        )
