"""The outbox: what the warehouse is owed, bound into load groups before a job is submitted."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

import asyncpg

from techmart_fast.errors import SinkError
from techmart_fast.postgres import lease as leases
from techmart_fast.postgres.model import Lease, OutboxEntry, OutboxGroup, OwedFiles, Publication
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.records import SpooledFile

_DOING = "updating the outbox"


async def pending(session: Session, table: str | None) -> list[OutboxEntry]:
    """Entries that belong to no group yet, oldest first."""
    rows = await session.fetch(statement("outbox", "pending"), table, doing="reading the outbox")
    return [_entry(row) for row in rows]


async def open_groups(session: Session) -> list[OutboxGroup]:
    """Groups that are not published, oldest first."""
    rows = await session.fetch(statement("outbox", "open_groups"), doing="reading load groups")
    members: dict[UUID, list[asyncpg.Record]] = {}
    for row in rows:
        members.setdefault(row["group_id"], []).append(row)
    return [
        OutboxGroup(
            group_id=group_id,
            table=entries[0]["group_table"],
            attempt=entries[0]["attempt"],
            job_id=entries[0]["job_id"],
            entries=tuple(_entry(row) for row in entries),
        )
        for group_id, entries in members.items()
    ]


async def owed(session: Session, lease: Lease, runs: Collection[UUID]) -> OwedFiles:
    """What of the files of `runs` is still needed.

    Raises:
        LeaseHeldError: the lease is lost, so that another run may be writing files now.
    """
    async with leases.holding(session, lease, doing=_DOING):
        row = await session.fetchrow(
            statement("outbox", "owed"), list(runs), doing="reading the outbox"
        )
    if row is None:
        raise SinkError("PostgreSQL did not answer what the warehouse is owed.")
    return OwedFiles(runs=frozenset(row["runs"]), paths=frozenset(row["paths"]))


async def publication(session: Session) -> Publication:
    """Which database this is, and whether a warehouse holds rows of it."""
    row = await session.fetchrow(statement("outbox", "publication"), doing="reading the outbox")
    if row is None:
        raise SinkError("The database has lost its row in techmart_loader.identity.")
    return Publication(database_id=row["database_id"], has_published=row["has_published"])


async def store_group(
    session: Session, lease: Lease, group_id: UUID, table: str, entry_ids: Sequence[int]
) -> OutboxGroup:
    """Bind entries into a new group; doing it again changes nothing.

    Raises:
        SinkError: an entry is already bound or published, or feeds another table.
    """
    async with leases.holding(session, lease, doing=_DOING):
        await session.execute(statement("outbox", "add_group"), group_id, table, doing=_DOING)
        rows = await session.fetch(
            statement("outbox", "bind"), group_id, table, list(entry_ids), doing=_DOING
        )
        if not rows or len(rows) != len(set(entry_ids)):
            raise SinkError(f"Some outbox entries can't be grouped for {table}.")
    entries = tuple(_entry(row) for row in rows)
    return OutboxGroup(group_id=group_id, table=table, attempt=0, job_id=None, entries=entries)


async def store_attempt(
    session: Session, lease: Lease, group_id: UUID, *, attempt: int, job_id: str
) -> None:
    """Store an attempt; attempts of a group only grow.

    Raises:
        SinkError: the group is published, unknown, or has another job of this attempt, or a
            later one.
    """
    async with leases.holding(session, lease, doing=_DOING):
        stored = await session.execute(
            statement("outbox", "attempt"), group_id, attempt, job_id, doing=_DOING
        )
        if not stored:
            raise SinkError(f"Attempt {attempt} of load group {group_id} can't be stored.")


async def replace_files(
    session: Session, lease: Lease, files: Mapping[int, SpooledFile]
) -> list[OutboxEntry]:
    """Give entries other files with the same rows, all at once; returns them as they are now.

    Raises:
        LeaseHeldError: another run took over.
    """
    async with leases.holding(session, lease, doing=_DOING):
        for entry_id, file in files.items():
            await session.execute(
                statement("outbox", "replace_file"),
                entry_id,
                str(file.path),
                file.sha256,
                file.rows,
                file.size_bytes,
                doing=_DOING,
            )
        rows = await session.fetch(statement("outbox", "entries"), list(files), doing=_DOING)
    return [_entry(row) for row in rows]


async def mark_published(session: Session, lease: Lease, group_ids: Collection[UUID]) -> None:
    """The groups and their entries are done, all at once; doing it again changes nothing.

    At once, because a group that was left open would be merged again without the dates of those
    that are done, and not find rows that moved on in them.
    """
    async with leases.holding(session, lease, doing=_DOING):
        chosen = list(group_ids)
        await session.execute(statement("outbox", "publish_entries"), chosen, doing=_DOING)
        await session.execute(statement("outbox", "publish_groups"), chosen, doing=_DOING)


def _entry(row: asyncpg.Record) -> OutboxEntry:
    return OutboxEntry(
        entry_id=row["entry_id"],
        batch_id=row["batch_id"],
        table=row["table_name"],
        path=row["path"],
        sha256=row["sha256"],
        rows=row["row_count"],
        size_bytes=row["size_bytes"],
        dates=tuple(row["dates"]),
    )
