"""The sink's front door: connections, one per writer and one for control, and every operation."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from datetime import date, datetime
from functools import partial
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar
from uuid import UUID, uuid4

import pyarrow as pa

from techmart_fast.bundled import bundled
from techmart_fast.contract.model import OrdinalPolicy
from techmart_fast.errors import RefusedRowError, SinkError
from techmart_fast.postgres import (
    api,
    catalogue,
    indexes,
    migrate,
    outbox,
    quarantine,
    registry,
    release,
    repairs,
    reports,
    resume,
    runs,
)
from techmart_fast.postgres import lease as leases
from techmart_fast.postgres.connections import Connections
from techmart_fast.postgres.fold import Rows
from techmart_fast.postgres.frame import Frame
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
    OwedIndex,
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
    WaitingRecord,
)
from techmart_fast.postgres.refusals import find_refused
from techmart_fast.postgres.resume import DonePart
from techmart_fast.postgres.retry import Patience
from techmart_fast.postgres.session import Backend, Session
from techmart_fast.postgres.snapshot import Owed, Snapshot, later_entries
from techmart_fast.postgres.target import PostgresTarget
from techmart_fast.records import Cut, Feed, SourceFile, SpooledFile
from techmart_fast.results import WarehouseCost

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class PostgresSink:
    """PostgreSQL as the authority. Use it as `async with`; leaving it closes every connection.

    Entering opens the control connection and learns what the role may do. A writer's connection
    opens at its first write and is replaced after it broke. All methods raise `SinkError`
    (`transient` when the same call may succeed later), `SinkAccessError` for refused credentials,
    database or privilege, and `LeaseHeldError` once another run holds the lease.

    Once it is entered, what fails and may pass (a lost connection, a deadline, a server that
    restarts) is tried again as `patience` says, heartbeats at their own pace and snapshots not.

    Calls of different lanes may run at the same time; calls of one lane may not. Releases,
    deactivations and `build_index` share one connection of their own, and may not run at the same
    time. Everything else shares the control connection and queues for it.
    """

    def __init__(
        self,
        target: PostgresTarget,
        *,
        writers: int,
        command_timeout_seconds: float = 300.0,
        connect_timeout_seconds: float = 10.0,
        patience: Patience | None = None,
    ) -> None:
        self._connections = Connections(
            target,
            writers=writers,
            connect_timeout_seconds=connect_timeout_seconds,
            command_timeout_seconds=command_timeout_seconds,
            patience=patience or Patience(seconds=60.0),
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
        return await self._ask(migrate.migrate, bundled("schemas"))

    # --- runs and lease -----------------------------------------------------------------------
    async def start_run(self, run: RunStart) -> Lease:
        """Take the lease and insert the run row.

        A holder whose connection died is replaced at once, a silent one after its `lease_seconds`
        and half of it more, in which it is watched. The run row of a replaced one becomes `failed`.

        Raises:
            LeaseHeldError: another run is alive. The message names it and since when it runs.
        """
        lease = await self._ask(leases.acquire, run)
        self._connections.hold(lease)
        return lease

    async def record_refused_run(self, run: RunStart, error: str) -> None:
        """Insert a `failed` run row for a run that never got the lease."""
        await self._ask(runs.record_refused, run, error)

    async def keep_alive(self, lease: Lease) -> None:
        """Beat until cancelled: run it in the pipeline's task group.

        Raises:
            LeaseHeldError: another run took the lease over.
        """
        while True:
            await asyncio.sleep(lease.lease_seconds / leases.BEATS_PER_LEASE)
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
        await self._ask(runs.finish, lease, end)
        self._connections.hold(None)

    async def store_cost(self, run_id: UUID, cost: WarehouseCost | None) -> None:
        """Store what a run that has ended took in the warehouse, its own row there included."""
        await self._ask(runs.store_cost, run_id, cost)

    async def untold_runs(self, limit: int = 20) -> list[UntoldRun]:
        """Runs that ended and that the warehouse does not know of yet, oldest first."""
        return await self._ask(runs.untold, limit)

    async def mark_told(self, run: RunRow) -> None:
        """The warehouse has this run's row and metrics (unless the row has changed since)."""
        await self._ask(runs.mark_told, run)

    async def api_checkpoint(self, feed: Feed, selection: str) -> ApiCheckpoint | None:
        """How far the API of a feed was read; None if it never was."""
        return await self._ask(api.checkpoint, feed, selection)

    async def store_api_checkpoint(
        self, lease: Lease, feed: Feed, selection: str, reached: ApiCheckpoint
    ) -> None:
        """Store how far the API of a feed was read, all rows of which are committed.

        Raises:
            LeaseHeldError: another run took over.
        """
        await self._ask(api.store, lease, feed, selection, reached)

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
        return await self._ask(
            registry.register, lease, files, policy=policy, explicit=explicit, cut=cut
        )

    async def changed_files(self, files: Sequence[SourceFile]) -> Mapping[str, datetime]:
        """Files of one feed whose names are known with another content only, and since when."""
        return await self._ask(registry.changed, files)

    async def done_parts(self, lease: Lease, files: Sequence[SourceFile]) -> Mapping[str, DonePart]:
        """What is committed of registered files of one feed under this contract, by fingerprint.

        This run judges what no completed run did. Files of which less is known than a run has to
        tell are left out.

        Raises:
            LeaseHeldError: another run took over.
        """
        async with self._connections.control() as session:
            return await resume.done_parts(session, lease, files)

    async def store_lengths(self, lease: Lease, feed: Feed, lengths: Mapping[str, int]) -> None:
        """Files, by fingerprint, were read to their ends: so long is their decompressed content."""
        async with self._connections.control() as session:
            await resume.store_lengths(session, lease, feed, lengths)

    async def progress(self, lease: Lease, file: SourceFile) -> list[FileProgress]:
        """How far each lane of this file is committed under the lease's contract."""
        return await self._ask(registry.progress, lease, file)

    # --- records ------------------------------------------------------------------------------
    async def write(self, writer: int, write: BatchWrite) -> BatchOutcome:
        """One batch, one transaction: rows, quarantine, held rows, audit, outbox, checkpoint.

        The Parquet file of the accepted rows is on disk before the transaction commits. A COMMIT
        whose answer was lost is looked up by `batch_id`. After another error than
        `CommitUnknownError` the batch is not committed and may be written again.

        Raises:
            CommitUnknownError: the batch may be committed.
            RefusedRowError: a row is refused; `refused_rows` tells which.
            SinkError: anything else.
        """
        return await self._connections.on_writer(
            writer, write.identity.feed, partial(load, write=write)
        )

    async def refused_rows(self, writer: int, write: BatchWrite) -> Mapping[int, RefusedRowError]:
        """The rows of a batch's candidates that PostgreSQL refuses, by number; writes nothing.

        Raises:
            RefusedRowError: they are too many to be an exception.
            SinkError: the batch can't be written for another reason.
        """

        async def attempt(rows: Rows) -> RefusedRowError | None:
            return await self._connections.on_writer(
                writer, write.identity.feed, partial(try_rows, write=write, rows=rows)
            )

        return await find_refused(write.candidates.num_rows, attempt)

    async def release_held(
        self, lease: Lease, spool: Spool, *, max_rows: int = 50_000
    ) -> AsyncGenerator[Release, None]:
        """Release held transactions whose parents exist now, `max_rows` a transaction.

        Each item is committed when it is yielded. `spool` receives `SPOOLED[TRANSACTIONS]`.
        """
        start: str | None = ""
        while start is not None:
            done, start = await self._connections.on_upkeep(
                Feed.TRANSACTIONS,
                partial(
                    release.release_batch, lease=lease, spool=spool, start=start, max_rows=max_rows
                ),
            )
            if done is not None:
                yield done

    async def deactivate_products(self, lease: Lease, spool: Spool, *, since_ordinal: int) -> int:
        """Mark products inactive that a complete catalogue does not name; returns how many.

        The catalogue is the files from `since_ordinal` on (the lowest ordinal of its run), all
        loaded. A product belongs to it if its newest record stands there, or if a record with its
        key was rejected there. An older catalogue than the newest known one changes nothing.
        Products that reappear are made active again by `write`. `spool` receives
        `SPOOLED[PRODUCTS]`.
        """
        return await self._connections.on_upkeep(
            Feed.PRODUCTS,
            partial(catalogue.deactivate, lease=lease, spool=spool, since_ordinal=since_ordinal),
        )

    async def products_named(self, ordinal: int) -> int:
        """How many products a loaded file names, each once, and rejected records of it."""
        return await self._ask(catalogue.named, ordinal)

    async def premium_users(self, default_tier: str) -> pa.Table:
        """Users of another tier than `default_tier`: columns user_id, customer_tier (text)."""
        return await self._ask(catalogue.premium_users, default_tier)

    # --- indexes ------------------------------------------------------------------------------
    async def put_off_index(self, lease: Lease) -> bool:
        """Drop the index of users of a table of transactions without rows, and owe it.

        Nothing happens where that is not possible: there are rows, it is not the index of the
        schema, the role does not own the table, or somebody else is using it.

        Returns:
            Whether it is owed now, be it since an earlier run.

        Raises:
            LeaseHeldError: another run took over.
        """
        return await self._ask(indexes.put_off, lease)

    async def owed_index(self) -> OwedIndex | None:
        """The index that this or an earlier run put off, until it is built."""
        return await self._ask(indexes.owed)

    async def build_index(self, lease: Lease) -> bool:
        """Build the index that is owed, however long that takes (1 to 4 s a million rows).

        Nobody writes to the table meanwhile. It runs on the connection of releases and
        deactivations, as the control connection has to beat, and to ask whether the server is at
        work.

        Returns:
            False: something else has its name by now, which stays; the index is not owed any more.

        Raises:
            LeaseHeldError: another run took over.
            SinkError: it could not be built, and is still owed.
        """

        async def is_at_work(backend: Backend) -> bool:
            return await self._ask(indexes.is_at_work, backend)

        async def build(frame: Frame) -> bool:
            return await indexes.build(frame.session, lease, is_at_work=is_at_work)

        return await self._connections.on_upkeep(Feed.TRANSACTIONS, build)

    # --- outbox -------------------------------------------------------------------------------
    async def pending_entries(self, table: str | None = None) -> list[OutboxEntry]:
        """Entries that belong to no load group yet, oldest first."""
        return await self._ask(outbox.pending, table)

    async def open_groups(self) -> list[OutboxGroup]:
        """Groups stored but not published, oldest first: a run completes them before new ones."""
        return await self._ask(outbox.open_groups)

    async def owed_files(self, lease: Lease, runs: Collection[UUID]) -> OwedFiles:
        """Which of `runs` this database knows, and all files that its outbox still needs."""
        return await self._ask(outbox.owed, lease, runs)

    async def publication(self) -> Publication:
        """Which database this is, and whether any warehouse holds rows of it."""
        return await self._ask(outbox.publication)

    async def store_group(self, lease: Lease, table: str, entry_ids: Sequence[int]) -> OutboxGroup:
        """Bind pending entries of one table into a group (attempt 0, no job yet)."""
        return await self._ask(outbox.store_group, lease, uuid4(), table, entry_ids)

    async def store_attempt(
        self, lease: Lease, group_id: UUID, *, attempt: int, job_id: str
    ) -> None:
        """Store the attempt and its job id before the job is submitted."""
        await self._ask(outbox.store_attempt, lease, group_id, attempt=attempt, job_id=job_id)

    async def replace_files(
        self, lease: Lease, files: Mapping[int, SpooledFile]
    ) -> list[OutboxEntry]:
        """The rows of entries, by number, are in these files now; returns the entries."""
        return await self._ask(outbox.replace_files, lease, files)

    async def mark_published(self, lease: Lease, group_ids: Collection[UUID]) -> None:
        """The rows of these groups are in the warehouse's tables: all are done, at once."""
        await self._ask(outbox.mark_published, lease, group_ids)

    # --- reports ------------------------------------------------------------------------------
    async def runs(self, limit: int = 20) -> list[RunRow]:
        """The newest runs first."""
        return await self._ask(runs.recent, limit)

    async def runs_named(self, beginning: str) -> list[UUID]:
        """Runs whose id begins so; two stand for several."""
        return await self._ask(runs.named, beginning)

    async def waiting_records(
        self,
        feed: Feed,
        filters: QuarantineFilter,
        *,
        numbers: Collection[int] | None = None,
        behind: tuple[int, int] = (-1, -1),
        rows: int = 1_000,
        size_bytes: int = 8 << 20,
    ) -> list[WaitingRecord]:
        """The next unresolved rejections of a feed, in source order, with their bytes.

        `behind` is a position (ordinal, offset). There are at most `rows`, and no more than the
        first that together reach `size_bytes`; `include_resolved` of the filter is of no account,
        and of another feed than the filter's there are none.
        """
        if filters.feed not in (None, feed):
            return []
        return await self._ask(
            quarantine.waiting,
            feed,
            filters,
            numbers=numbers,
            behind=behind,
            rows=rows,
            size_bytes=size_bytes,
        )

    async def waiting_pages(
        self,
        feed: Feed,
        filters: QuarantineFilter,
        *,
        numbers: Collection[int] | None = None,
    ) -> AsyncIterator[list[WaitingRecord]]:
        """All of them, page by page; what is resolved meanwhile does not come again."""
        behind = (-1, -1)
        while page := await self.waiting_records(feed, filters, numbers=numbers, behind=behind):
            yield page
            behind = page[-1].source.ordinal, page[-1].source_offset

    async def quarantine_list(
        self, filters: QuarantineFilter, limit: int = 100
    ) -> list[QuarantineRow]:
        """Rejected records in source order, without their raw bytes."""
        return await self._ask(reports.quarantine_list, filters, limit)

    async def quarantine_show(self, quarantine_id: int) -> QuarantineRow | None:
        """One rejected record with its raw bytes."""
        return await self._ask(reports.quarantine_show, quarantine_id)

    async def status(self) -> SinkStatus:
        """Counts of what is stored, held, quarantined and pending."""
        return await self._ask(reports.status)

    async def daily_totals(self, dates: Sequence[date] | None = None) -> pa.Table:
        """Per stored date: transaction_date, transactions (int64), amount_usd (decimal)."""
        return await self._ask(reports.daily_totals, dates)

    # --- reconciliation -----------------------------------------------------------------------
    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """One state of the database, to be compared with the warehouse; on its own connection."""
        async with self._connections.snapshot() as session:
            yield Snapshot(session)

    async def later_entries(self, newest: Sequence[int]) -> list[Owed]:
        """Outbox entries that came since a snapshot with these `newest_entries`."""
        return await self._ask(later_entries, newest)

    # --- repairs ------------------------------------------------------------------------------
    async def begin_repair(self, lease: Lease, staging_table: str) -> None:
        """A repair of the warehouse, or a merge, by this staging table begins.

        Store it before any job: a run that takes over shuts the job out, however late it runs.
        """
        await self._ask(repairs.begin, lease, staging_table)

    async def confirm(self, lease: Lease) -> None:
        """Make sure that the lease is still held."""
        await self._ask(repairs.confirm, lease)

    async def open_repairs(self, lease: Lease) -> list[str]:
        """Staging tables of repairs and merges that other runs left."""
        return await self._ask(repairs.open_repairs, lease)

    async def end_repairs(
        self, lease: Lease, staging_tables: Collection[str], *, covered: Collection[int] = ()
    ) -> None:
        """Repairs or merges have ended; the entries `covered` are published by them."""
        await self._ask(repairs.end, lease, staging_tables, covered=covered)

    async def _ask(
        self,
        operation: Callable[Concatenate[Session, _Given], Awaitable[_Result]],
        *given: _Given.args,
        **named: _Given.kwargs,
    ) -> _Result:
        """The result of an operation on the control connection; it may be done twice."""
        return await self._connections.on_control(
            lambda session: operation(session, *given, **named)
        )
