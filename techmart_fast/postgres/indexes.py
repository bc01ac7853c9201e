"""The index that a first load does without: put off while its table is empty, built at the end.

The place of a new transaction in a btree of users is a random one; all rows sorted at once cost
the server a fraction of that. The index serves queries only, so that nothing the loader promises
depends on it.
"""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

from techmart_fast.errors import LeaseHeldError, SinkError
from techmart_fast.postgres import lease as leases
from techmart_fast.postgres.model import Lease, OwedIndex
from techmart_fast.postgres.session import Backend, Session
from techmart_fast.postgres.statements import statement
from techmart_fast.together import task_group, to_its_end

PUTTING_OFF = "putting off an index"
BUILDING = "building an index"

_BUILD_SECONDS = 86_400.0
"""More than any build takes. What ends one is the loss of its connection, or of the server."""


async def put_off(session: Session, lease: Lease) -> bool:
    """Drop the index and owe it, if it is the schema's and the table is empty and free.

    Returns:
        Whether it is owed now, since this call or since an earlier run.

    Raises:
        LeaseHeldError: another run took over.
        SinkError: a failure that may pass, other than that the table is in use.
    """
    try:
        if await owed(session) is not None:
            return True
        if not await _is_wanted(session):
            return False
        async with leases.holding(session, lease, doing=PUTTING_OFF):
            await session.script(statement("indexes", "alone"), doing=PUTTING_OFF)
            # Somebody else may have written rows before they were kept out.
            if not await _is_wanted(session):
                return False
            await session.execute(statement("indexes", "owe"), doing=PUTTING_OFF)
            await session.execute(statement("indexes", "drop"), doing=PUTTING_OFF)
    except LeaseHeldError:
        raise
    except SinkError as error:
        # It is for speed only: where the table is in use, or a rule of the database forbids it,
        # the load does with the index.
        if error.transient and not isinstance(error.__cause__, asyncpg.LockNotAvailableError):
            raise
        return False
    return True


async def owed(session: Session) -> OwedIndex | None:
    """The index that was put off and not built yet."""
    row = await session.fetchrow(statement("indexes", "owed"), doing="looking for an owed index")
    return None if row is None else OwedIndex(**row)


async def build(
    session: Session, lease: Lease, *, is_at_work: Callable[[Backend], Awaitable[bool]]
) -> bool:
    """Build the index, if it is owed. This may be done twice.

    Returns:
        False: it was owed, and is not any more, as something else has its name by now.

    The server has no deadline for it, so `is_at_work` is asked on another connection from time to
    time whether the backend is still there.

    Raises:
        LeaseHeldError: another run took over.
        SinkError: it is not built.
    """
    async with task_group() as tasks:
        watching = tasks.create_task(_watch(session, is_at_work), name="watch the build")
        async with leases.holding(session, lease, doing=BUILDING):
            is_there = await owed(session) is None or await _build(session)
        watching.cancel()
    return is_there


async def is_at_work(session: Session, backend: Backend) -> bool:
    """Whether the backend of another connection is still there."""
    query = statement("indexes", "at_work")
    row = await session.fetchrow(query, backend.pid, backend.started, doing=BUILDING)
    return row is not None


async def _is_wanted(session: Session) -> bool:
    row = await session.fetchrow(statement("indexes", "wanting"), doing=PUTTING_OFF)
    return row is not None


async def _build(session: Session) -> bool:
    await session.script(statement("indexes", "no_writers"), doing=BUILDING)
    there = await session.fetchrow(statement("indexes", "there"), doing=BUILDING)
    if there is not None and there["is_ours"] and not there["is_valid"]:
        # Somebody began to build it, and did not get to the end.
        await session.execute(statement("indexes", "drop"), doing=BUILDING)
        there = None
    if there is None:
        limit = f"{_BUILD_SECONDS * 1000:.0f}ms"
        await session.fetchrow(statement("indexes", "at_leisure"), limit, doing=BUILDING)
        await session.execute(statement("indexes", "build"), doing=BUILDING, seconds=_BUILD_SECONDS)
    if there is None or (there["is_ours"] and there["is_bare"]):
        await session.execute(statement("indexes", "comment"), doing=BUILDING)
    await session.execute(statement("indexes", "settle"), doing=BUILDING)
    return there is None or bool(there["is_ours"])


async def _watch(session: Session, is_at_work: Callable[[Backend], Awaitable[bool]]) -> None:
    """Ask from time to time whether the session's backend is there, until cancelled.

    Raises:
        SinkError: it is not, or the server does not answer.
    """
    backend = session.backend
    while backend is not None:
        await asyncio.sleep(session.deadline_seconds)
        # To its end, also where the build comes to its own meanwhile: a question that is broken off
        # takes its connection with it, and that one carries the lease.
        if not await to_its_end(asyncio.ensure_future(is_at_work(backend))):
            raise SinkError(
                f"The connection to PostgreSQL was lost ({BUILDING}).",
                hint="Run again: committed batches are kept.",
                transient=True,
            )
