"""The sink's front door: connections, one per writer and one for control, and every operation."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import date
from types import TracebackType
from typing import Self
from uuid import UUID

import pyarrow as pa

from techmart_fast.bundled import bundled
from techmart_fast.contract.model import OrdinalPolicy
from techmart_fast.errors import RefusedRowError, SinkError
from techmart_fast.postgres import (
    api,
    catalogue,
    migrate,
    outbox,
    registry,
    release,
    repairs,
    reports,
    runs,
)
from techmart_fast.postgres import lease as leases
from techmart_fast.postgres.connections import Connections
from techmart_fast.postgres.faults import is_conflict
from techmart_fast.postgres.fold import Rows
from techmart_fast.postgres.load import load, try_rows
from techmart_fast.postgres.model import (
    ApiCheckpoint,
    BatchOutcome,
    BatchWrite,
    FileProgress,
    Lease,
    OutboxEntry,
    OutboxGroup,
    OwedFiles,
    Publication,
    QuarantineFilter,
    QuarantineRow,
    ReferentialIntegrity,
    Release,
    RunEnd,
    RunRow,
    RunStart,
    SinkStatus,
    Spool,
    UntoldRun,
)
from techmart_fast.postgres.refusals import find_refused
from techmart_fast.postgres.snapshot import Owed, Snapshot, later_entries
from techmart_fast.postgres.target import PostgresTarget
from techmart_fast.records import Cut, Feed, SourceFile
from techmart_fast.results import WarehouseCost

_BEATS_PER_LEASE = 4
"""Heartbeats in `lease_seconds`: three may be late before a run counts as silent."""

_CONFLICT_ATTEMPTS = 3
"""How often a batch is tried that a conflict with another application undid."""


class PostgresSink:
    """PostgreSQL as the authority. Use it as `async with`; leaving it closes every connection.

    Entering opens the control connection and learns what the role may do. A writer's connection
    opens at its first write and is replaced after it broke. All methods raise `SinkError`
    (`transient` when the same call may succeed later), `SinkAccessError` for refused credentials,
    database or privilege, and `LeaseHeldError` once another run holds the lease.

    Calls of different lanes may run at the same time; calls of one lane may not. Releases and
    deactivations share one connection of their own, and may not run at the same time. Everything
    else shares the control connection and queues for it.
    """

    def __init__(
        self,
        target: PostgresTarget,
        *,
        writers: int,
        command_timeout_seconds: float = 300.0,
        connect_timeout_seconds: float = 10.0,
    ) -> None:
        self._connections = Connections(
            target,
            writers=writers,
            connect_timeout_seconds=connect_timeout_seconds,
            command_timeout_seconds=command_timeout_seconds,
        )

    def __repr__(self) -> str:
        return f"<PostgresSink {self._connections!r}>"

    async def __aenter__(self) -> Self:
        await self._connections.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._connections.close()

    @property
    def referential_integrity(self) -> ReferentialIntegrity:
        """How foreign keys are checked: once per batch, or by the server's triggers per row."""
        return self._connections.referential_integrity

    @property
    def server_version(self) -> str:
        """The server's version, e.g. `18.1`."""
        return self._connections.server_version

    # --- schema -------------------------------------------------------------------------------
    async def migrate(self) -> tuple[int, ...]:
        """Bring the schema up to date; returns the versions that were applied now."""
        async with self._connections.control() as session:
            return await migrate.migrate(session, bundled("schemas"))

    # --- runs and lease -----------------------------------------------------------------------
    async def start_run(self, run: RunStart) -> Lease:
        """Take the lease and insert the run row.

        A holder whose connection died is replaced at once, a silent one after its `lease_seconds`;
        the run row of a replaced holder becomes `failed`.

        Raises:
            LeaseHeldError: another run is alive. The message names it and since when it runs.
        """
        async with self._connections.control() as session:
            lease = await leases.acquire(session, run)
        self._connections.hold(lease)
        return lease

    async def record_refused_run(self, run: RunStart, error: str) -> None:
        """Insert a `failed` run row for a run that never got the lease."""
        async with self._connections.control() as session:
            await runs.record_refused(session, run, error)

    async def keep_alive(self, lease: Lease) -> None:
        """Beat until cancelled: run it in the pipeline's task group.

        Raises:
            LeaseHeldError: another run took the lease over.
        """
        while True:
            await asyncio.sleep(lease.lease_seconds / _BEATS_PER_LEASE)
            try:
                async with self._connections.control() as session:
                    await leases.beat(session, lease)
            except SinkError as error:
                # A lost connection is replaced at the next beat; the batches' own lease check
                # decides meanwhile.
                if not error.transient:
                    raise

    async def finish_run(self, lease: Lease, end: RunEnd) -> None:
        """Complete the run row, store its quality metrics and give the lease back."""
        async with self._connections.control() as session:
            await runs.finish(session, lease, end)
        self._connections.hold(None)

    async def store_cost(self, run_id: UUID, cost: WarehouseCost | None) -> None:
        """Store what a run that has ended took in the warehouse, its own row there included."""
        async with self._connections.control() as session:
            await runs.store_cost(session, run_id, cost)

    async def untold_runs(self, limit: int = 20) -> list[UntoldRun]:
        """Runs that ended and that the warehouse does not know of yet, oldest first."""
        async with self._connections.control() as session:
            return await runs.untold(session, limit)

    async def mark_told(self, run: RunRow) -> None:
        """The warehouse has this run's row and metrics (unless the row has changed since)."""
        async with self._connections.control() as session:
            await runs.mark_told(session, run)

    async def api_checkpoint(self, feed: Feed, selection: str) -> ApiCheckpoint | None:
        """How far the API of a feed was read; None if it never was."""
        async with self._connections.control() as session:
            return await api.checkpoint(session, feed, selection)

    async def store_api_checkpoint(
        self, lease: Lease, feed: Feed, selection: str, reached: ApiCheckpoint
    ) -> None:
        """Store how far the API of a feed was read, all rows of which are committed.

        Raises:
            LeaseHeldError: another run took over.
        """
        async with self._connections.control() as session:
            await api.store(session, lease, feed, selection, reached)

    async def register_files(
        self,
        lease: Lease,
        files: Sequence[SourceFile],
        *,
        policy: OrdinalPolicy,
        cut: Cut,
        explicit: int | None = None,
    ) -> list[SourceFile]:
        """The same files, in the same order, with ordinals and cuts (one feed per call).

        A known file (feed and fingerprint) keeps both. New files get `cut`, and as ordinals the
        next ones in name order (`run`), the number in their name (`name`), or `explicit`,
        `explicit + 1`, ….

        Raises:
            SinkError: the ordinal belongs to another file of the feed, or a name has no number.
        """
        async with self._connections.control() as session:
            return await registry.register(
                session, lease, files, policy=policy, explicit=explicit, cut=cut
            )

    async def progress(self, lease: Lease, file: SourceFile) -> list[FileProgress]:
        """How far each lane of this file is committed under the lease's contract."""
        async with self._connections.control() as session:
            return await registry.progress(session, lease, file)

    # --- records ------------------------------------------------------------------------------
    async def write(self, writer: int, write: BatchWrite) -> BatchOutcome:
        """One batch, one transaction: rows, quarantine, held rows, audit, outbox, checkpoint.

        The Parquet file of the accepted rows is on disk before the transaction commits. A COMMIT
        whose answer was lost is looked up by `batch_id`. After a transient `SinkError` the batch is
        not committed and may be written again.

        Raises:
            RefusedRowError: a row is refused; `refused_rows` tells which.
            SinkError: anything else.
        """
        for attempt in range(1, _CONFLICT_ATTEMPTS + 1):
            frame = await self._connections.writer(writer, write.identity.feed)
            try:
                return await load(frame, write)
            except SinkError as error:
                if attempt == _CONFLICT_ATTEMPTS or not is_conflict(error):
                    raise
        raise AssertionError("unreachable")

    async def refused_rows(self, writer: int, write: BatchWrite) -> Mapping[int, RefusedRowError]:
        """The rows of a batch's candidates that PostgreSQL refuses, by number; writes nothing.

        Raises:
            RefusedRowError: they are too many to be an exception.
            SinkError: the batch can't be written for another reason.
        """

        async def attempt(rows: Rows) -> RefusedRowError | None:
            frame = await self._connections.writer(writer, write.identity.feed)
            return await try_rows(frame, write, rows)

        return await find_refused(write.candidates.num_rows, attempt)

    async def release_held(
        self, lease: Lease, spool: Spool, *, max_rows: int = 50_000
    ) -> AsyncIterator[Release]:
        """Release held transactions whose parents exist now, `max_rows` a transaction.

        Each item is committed when it is yielded. `spool` receives `SPOOLED[TRANSACTIONS]`.
        """
        frame = await self._connections.upkeep(Feed.TRANSACTIONS)
        async with aclosing(release.release(frame, lease, spool, max_rows=max_rows)) as batches:
            async for done in batches:
                yield done

    async def deactivate_products(self, lease: Lease, spool: Spool, *, since_ordinal: int) -> int:
        """Mark products inactive that a complete catalogue does not name; returns how many.

        The catalogue is the files from `since_ordinal` on (the lowest ordinal of its run), all
        loaded. A product belongs to it if its newest record stands there, or if a record with its
        key was rejected there. An older catalogue than the newest known one changes nothing.
        Products that reappear are made active again by `write`. `spool` receives
        `SPOOLED[PRODUCTS]`.
        """
        frame = await self._connections.upkeep(Feed.PRODUCTS)
        return await catalogue.deactivate(frame, lease, spool, since_ordinal=since_ordinal)

    async def products_named(self, ordinal: int) -> int:
        """How many products a loaded file names, each once, and rejected records of it."""
        async with self._connections.control() as session:
            return await catalogue.named(session, ordinal)

    async def premium_users(self, default_tier: str) -> pa.Table:
        """Users of another tier than `default_tier`: columns user_id, customer_tier (text)."""
        async with self._connections.control() as session:
            return await catalogue.premium_users(session, default_tier)

    # --- outbox -------------------------------------------------------------------------------
    async def pending_entries(self, table: str | None = None) -> list[OutboxEntry]:
        """Entries that belong to no load group yet, oldest first."""
        async with self._connections.control() as session:
            return await outbox.pending(session, table)

    async def open_groups(self) -> list[OutboxGroup]:
        """Groups stored but not published, oldest first: a run completes them before new ones."""
        async with self._connections.control() as session:
            return await outbox.open_groups(session)

    async def owed_files(self, lease: Lease, runs: Collection[UUID]) -> OwedFiles:
        """Which of `runs` this database knows, and all files that its outbox still needs."""
        async with self._connections.control() as session:
            return await outbox.owed(session, lease, runs)

    async def publication(self) -> Publication:
        """Which database this is, and whether any warehouse holds rows of it."""
        async with self._connections.control() as session:
            return await outbox.publication(session)

    async def store_group(self, lease: Lease, table: str, entry_ids: Sequence[int]) -> OutboxGroup:
        """Bind pending entries of one table into a group (attempt 0, no job yet)."""
        async with self._connections.control() as session:
            return await outbox.store_group(session, lease, table, entry_ids)

    async def store_attempt(
        self, lease: Lease, group_id: UUID, *, attempt: int, job_id: str
    ) -> None:
        """Store the attempt and its job id before the job is submitted."""
        async with self._connections.control() as session:
            await outbox.store_attempt(session, lease, group_id, attempt=attempt, job_id=job_id)

    async def mark_published(self, lease: Lease, group_ids: Collection[UUID]) -> None:
        """The rows of these groups are in the warehouse's tables: all are done, at once."""
        async with self._connections.control() as session:
            await outbox.mark_published(session, lease, group_ids)

    # --- reports ------------------------------------------------------------------------------
    async def runs(self, limit: int = 20) -> list[RunRow]:
        """The newest runs first."""
        async with self._connections.control() as session:
            return await runs.recent(session, limit)

    async def runs_named(self, beginning: str) -> list[UUID]:
        """Runs whose id begins so; two stand for several."""
        async with self._connections.control() as session:
            return await runs.named(session, beginning)

    async def quarantine_list(
        self, filters: QuarantineFilter, limit: int = 100
    ) -> list[QuarantineRow]:
        """Rejected records in source order, without their raw bytes."""
        async with self._connections.control() as session:
            return await reports.quarantine_list(session, filters, limit)

    async def quarantine_show(self, quarantine_id: int) -> QuarantineRow | None:
        """One rejected record with its raw bytes."""
        async with self._connections.control() as session:
            return await reports.quarantine_show(session, quarantine_id)

    async def status(self) -> SinkStatus:
        """Counts of what is stored, held, quarantined and pending."""
        async with self._connections.control() as session:
            return await reports.status(session)

    async def daily_totals(self, dates: Sequence[date] | None = None) -> pa.Table:
        """Per stored date: transaction_date, transactions (int64), amount_usd (decimal)."""
        async with self._connections.control() as session:
            return await reports.daily_totals(session, dates)

    # --- reconciliation -----------------------------------------------------------------------
    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """One state of the database, to be compared with the warehouse; on its own connection."""
        async with self._connections.snapshot() as session:
            yield Snapshot(session)

    async def later_entries(self, newest: Sequence[int]) -> list[Owed]:
        """Outbox entries that came since a snapshot with these `newest_entries`."""
        async with self._connections.control() as session:
            return await later_entries(session, newest)

    # --- repairs ------------------------------------------------------------------------------
    async def begin_repair(self, lease: Lease, staging_table: str) -> None:
        """A repair of the warehouse, or a merge, by this staging table begins.

        Store it before any job: a run that takes over shuts the job out, however late it runs.
        """
        async with self._connections.control() as session:
            await repairs.begin(session, lease, staging_table)

    async def confirm(self, lease: Lease) -> None:
        """Make sure that the lease is still held."""
        async with self._connections.control() as session:
            await repairs.confirm(session, lease)

    async def open_repairs(self, lease: Lease) -> list[str]:
        """Staging tables of repairs and merges that other runs left."""
        async with self._connections.control() as session:
            return await repairs.open_repairs(session, lease)

    async def end_repairs(
        self, lease: Lease, staging_tables: Collection[str], *, covered: Collection[int] = ()
    ) -> None:
        """Repairs or merges have ended; the entries `covered` are published by them."""
        async with self._connections.control() as session:
            await repairs.end(session, lease, staging_tables, covered=covered)
