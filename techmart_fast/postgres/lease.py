"""The lease: taking it, replacing a holder that is gone or silent, keeping it, giving it back.

The functions run on the control connection; its advisory lock is what tells others that the holder
is connected. `sql/lease.sql` describes the protocol.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg

from techmart_fast.errors import LeaseHeldError, SinkError
from techmart_fast.postgres.model import Lease, RunStart
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement

_DOING = "taking the lease"
_ATTEMPTS = 5
_PATIENCE_SECONDS = 2
"""For a batch of another run that is being committed while the lease is taken."""

BEATS_PER_LEASE = 4
"""Heartbeats in `lease_seconds`: three may be late before a run counts as silent."""

_WATCHED_BEATS = 2
_LOOKS_PER_BEAT = 4


def application_name(run_id: UUID | None) -> str:
    """The name under which a run's connections show in `pg_stat_activity`."""
    return f"techmart_fast {run_id}" if run_id else "techmart_fast"


async def acquire(session: Session, run: RunStart) -> Lease:
    """Take the lease and insert the run's row, in one transaction.

    Raises:
        LeaseHeldError: another run is alive; the message names it and since when it runs.
    """

    def taken(epoch: int) -> Lease:
        return Lease(
            run_id=run.run_id,
            epoch=epoch,
            contract_version=run.contract_version,
            lease_seconds=run.lease_seconds,
        )

    watched: set[int] = set()
    for _ in range(_ATTEMPTS):
        seen = await session.fetchrow(statement("lease", "look"), doing=_DOING)
        if seen is None:
            raise SinkError("The lease row is missing.", hint="Apply schemas/postgres_schema.sql.")
        if seen["run_id"] == run.run_id:
            # An earlier attempt took it, and the answer to its COMMIT was lost.
            lease = taken(seen["epoch"])
            await take_again(session, lease)
            return lease
        await _refuse_if_alive(session, seen, watched)
        epoch = await _seize(session, seen, run)
        if epoch is not None:
            return taken(epoch)
    raise LeaseHeldError(
        "Another run is starting, or a silent one still has a batch open.",
        hint="Try again; a run of another role has to be ended by that role.",
    )


async def beat(session: Session, lease: Lease) -> None:
    """Stamp the heartbeat.

    Raises:
        LeaseHeldError: another run took over.
    """
    row = await session.fetchrow(statement("lease", "beat"), lease.epoch, doing="keeping the lease")
    if row is None:
        raise lost()


async def take_again(session: Session, lease: Lease) -> None:
    """After the control connection was replaced: prove that the lease is still ours.

    Raises:
        LeaseHeldError: another run took over in between.
    """
    await session.fetchrow(statement("lease", "hold"), lease.epoch, doing="keeping the lease")
    await beat(session, lease)


async def give_back(session: Session, lease: Lease) -> None:
    """Free the lease, when that is committed; without effect when another run took over."""
    await session.execute(statement("lease", "give_back"), lease.epoch, doing="ending the lease")


async def let_go(session: Session, lease: Lease) -> None:
    """Free the lock that told others that the holder is connected; no transaction holds it."""
    await session.fetchrow(statement("lease", "drop"), lease.epoch, doing="ending the lease")


@asynccontextmanager
async def holding(session: Session, lease: Lease, *, doing: str) -> AsyncIterator[None]:
    """A transaction that commits only while the lease is ours.

    Raises:
        LeaseHeldError: another run took over.
    """
    try:
        await session.script("BEGIN", doing=doing)
        if not await session.fetchrow(statement("lease", "leased"), lease.epoch, doing=doing):
            raise lost()
        yield
        await session.script("COMMIT", doing=doing)
    except SinkError:
        await session.rollback()
        raise


def lost() -> LeaseHeldError:
    """The error of a run that was replaced."""
    return LeaseHeldError(
        "Another run took the lease over while this one was silent.",
        hint="What was committed stays; run again once the other run is done.",
    )


async def _refuse_if_alive(session: Session, seen: asyncpg.Record, watched: set[int]) -> None:
    """Refuse to replace a living holder; epochs in `watched` were silent already."""
    if seen["run_id"] is None:
        return
    probe = await session.fetchrow(statement("lease", "probe"), seen["epoch"], doing=_DOING)
    if probe is not None and probe["free"]:
        await session.fetchrow(statement("lease", "drop"), seen["epoch"], doing=_DOING)
        return
    if seen["epoch"] in watched:
        return
    watched.add(seen["epoch"])
    if not seen["doubtful"] or await _beats(session, seen):
        since = seen["acquired_at"].isoformat(sep=" ", timespec="seconds")
        raise LeaseHeldError(
            f"Run {seen['run_id']} is loading into this database since {since}.",
            hint="Wait for it to end; one run at a time loads a database.",
        )


async def _beats(session: Session, seen: asyncpg.Record) -> bool:
    """Whether the holder gives a sign of life within some beats, by this machine's own clock.

    The server's clock may have jumped since the last one.
    """
    beat_seconds = seen["lease_seconds"] / BEATS_PER_LEASE
    end = time.monotonic() + _WATCHED_BEATS * beat_seconds
    while time.monotonic() < end:
        await asyncio.sleep(beat_seconds / _LOOKS_PER_BEAT)
        now = await session.fetchrow(statement("lease", "look"), doing=_DOING)
        if now is None or now["epoch"] != seen["epoch"]:
            return False
        if now["heartbeat_at"] != seen["heartbeat_at"]:
            return True
    return False


async def _seize(session: Session, seen: asyncpg.Record, run: RunStart) -> int | None:
    """The new epoch, or `None` when the look has to be repeated."""
    patience = statement("lease", "patience", seconds=str(_PATIENCE_SECONDS))
    try:
        await session.script(f"BEGIN; {patience}", doing=_DOING)
        mine = await session.fetchrow(statement("lease", "seize"), seen["epoch"], doing=_DOING)
        if mine is None:
            await session.rollback()
            return None
        if seen["run_id"] is not None:
            await session.execute(statement("lease", "end_replaced"), seen["run_id"], doing=_DOING)
        taken = await session.fetchrow(
            statement("lease", "take"), run.run_id, run.lease_seconds, doing=_DOING
        )
        epoch = int(taken["epoch"]) if taken else 0
        await session.fetchrow(statement("lease", "hold"), epoch, doing=_DOING)
        await session.execute(
            statement("runs", "start"),
            run.run_id,
            epoch,
            run.started_at,
            run.contract_name,
            run.contract_version,
            run.loader_version,
            doing="starting the run",
        )
        await session.script("COMMIT", doing=_DOING)
    except SinkError as error:
        await session.rollback()
        if isinstance(error.__cause__, asyncpg.LockNotAvailableError):
            name = application_name(seen["run_id"]) if seen["run_id"] else None
            await session.fetchrow(
                statement("lease", "evict"), name, float(_PATIENCE_SECONDS), doing=_DOING
            )
            return None
        raise
    return epoch
