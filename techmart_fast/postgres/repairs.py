"""Repairs and merges: told before they begin, so that a later run can shut them out."""

from collections.abc import Collection

from techmart_fast.postgres import lease as leases
from techmart_fast.postgres.model import Lease
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement

_DOING = "repairing the warehouse"


async def begin(session: Session, lease: Lease, staging_table: str) -> None:
    """A repair by this staging table begins.

    Raises:
        LeaseHeldError: another run took over.
    """
    async with leases.holding(session, lease, doing=_DOING):
        await session.execute(
            statement("repair", "begin"), staging_table, lease.run_id, doing=_DOING
        )


async def confirm(session: Session, lease: Lease) -> None:
    """Make sure that the lease is still held.

    Raises:
        LeaseHeldError: another run took over.
    """
    if not await session.fetchrow(statement("lease", "leased"), lease.epoch, doing=_DOING):
        raise leases.lost()


async def open_repairs(session: Session, lease: Lease) -> list[str]:
    """Staging tables of repairs that other runs left."""
    rows = await session.fetch(statement("repair", "open"), lease.run_id, doing=_DOING)
    return [row["staging_table"] for row in rows]


async def end(
    session: Session,
    lease: Lease,
    staging_tables: Collection[str],
    *,
    covered: Collection[int] = (),
) -> None:
    """Repairs have ended; outbox entries whose rows they sent are `covered`. At once.

    Raises:
        LeaseHeldError: another run took over.
    """
    async with leases.holding(session, lease, doing=_DOING):
        await session.execute(statement("repair", "end"), list(staging_tables), doing=_DOING)
        if covered:
            await session.execute(statement("repair", "cover_entries"), list(covered), doing=_DOING)
            await session.execute(statement("repair", "cover_groups"), doing=_DOING)
