"""The sink's front door: connections, one per writer and one for control, and every operation."""

from collections.abc import AsyncIterator, Sequence
from datetime import date
from types import TracebackType
from typing import Self
from uuid import UUID

import pyarrow as pa

from techmart_fast.contract.model import OrdinalPolicy
from techmart_fast.postgres.model import (
    BatchOutcome,
    BatchWrite,
    FileProgress,
    Lease,
    LoadGroup,
    OutboxEntry,
    QuarantineFilter,
    QuarantineRow,
    ReferentialIntegrity,
    Release,
    RunEnd,
    RunRow,
    RunStart,
    SinkStatus,
    Spool,
)
from techmart_fast.postgres.target import PostgresTarget
from techmart_fast.records import SourceFile


class PostgresSink:
    """PostgreSQL as the authority. Use it as `async with`; leaving it closes every connection.

    Entering opens the control connection and learns what the role may do. A writer's connection
    opens at its first write and is replaced after it broke. All methods raise `SinkError`
    (`transient` when the same call may succeed later), `SinkAccessError` for refused credentials,
    database or privilege, and `LeaseHeldError` once another run holds the lease.

    Calls of different lanes may run at the same time; calls of one lane may not. Everything but
    `write` and `release_held` shares the control connection and queues for it.
    """

    def __init__(
        self,
        target: PostgresTarget,
        *,
        writers: int,
        command_timeout_seconds: float = 300.0,
        connect_timeout_seconds: float = 10.0,
    ) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        raise NotImplementedError

    @property
    def referential_integrity(self) -> ReferentialIntegrity:
        """How foreign keys are checked: once per batch, or by the server's triggers per row."""
        raise NotImplementedError

    @property
    def server_version(self) -> str:
        """The server's version, e.g. `18.1`."""
        raise NotImplementedError

    # --- schema -------------------------------------------------------------------------------
    async def migrate(self) -> tuple[int, ...]:
        """Bring the schema up to date; returns the versions that were applied now."""
        raise NotImplementedError

    # --- runs and lease -----------------------------------------------------------------------
    async def start_run(self, run: RunStart) -> Lease:
        """Take the lease and insert the run row.

        A holder whose connection died is replaced at once, a silent one after its `lease_seconds`;
        the run row of a replaced holder becomes `failed`.

        Raises:
            LeaseHeldError: another run is alive. The message names it and since when it runs.
        """
        raise NotImplementedError

    async def record_refused_run(self, run: RunStart, error: str) -> None:
        """Insert a `failed` run row for a run that never got the lease or a contract."""
        raise NotImplementedError

    async def keep_alive(self, lease: Lease) -> None:
        """Beat until cancelled: run it in the pipeline's task group.

        Raises:
            LeaseHeldError: another run took the lease over.
        """
        raise NotImplementedError

    async def finish_run(self, lease: Lease, end: RunEnd) -> None:
        """Complete the run row, store its quality metrics and give the lease back."""
        raise NotImplementedError

    async def register_files(
        self,
        lease: Lease,
        files: Sequence[SourceFile],
        *,
        policy: OrdinalPolicy,
        explicit: int | None = None,
    ) -> list[SourceFile]:
        """The same files, in the same order, with ordinals (one feed per call).

        A known file (feed and fingerprint) keeps its ordinal. New files get the next ones in name
        order (`run`), the number in their name (`name`), or `explicit`, `explicit + 1`, ….

        Raises:
            SinkError: the ordinal belongs to another file of the feed, or a name has no number.
        """
        raise NotImplementedError

    async def progress(self, lease: Lease, file: SourceFile) -> list[FileProgress]:
        """How far each lane of this file is committed under the lease's contract."""
        raise NotImplementedError

    # --- records ------------------------------------------------------------------------------
    async def write(self, lane: int, write: BatchWrite) -> BatchOutcome:
        """One batch, one transaction: rows, quarantine, held rows, audit, outbox, checkpoint.

        The Parquet file of the accepted rows is on disk before the transaction commits. A COMMIT
        whose answer was lost is looked up by `batch_id`. After a transient `SinkError` the batch is
        not committed and may be written again.
        """
        raise NotImplementedError

    def release_held(
        self, lease: Lease, spool: Spool, *, max_rows: int = 50_000
    ) -> AsyncIterator[Release]:
        """Release held transactions whose parents exist now, `max_rows` a transaction.

        Each item is committed when it is yielded. `spool` receives `SPOOLED[TRANSACTIONS]`.
        """
        raise NotImplementedError

    async def deactivate_products(self, lease: Lease, spool: Spool, *, since_ordinal: int) -> int:
        """Mark products inactive that a complete catalogue does not name; returns how many.

        The catalogue is the files from `since_ordinal` on (the lowest ordinal of its run), all
        loaded. A product belongs to it if its newest record stands there, or if a record with its
        key was rejected there. An older catalogue than the newest known one changes nothing.
        Products that reappear are made active again by `write`. `spool` receives
        `SPOOLED[PRODUCTS]`.
        """
        raise NotImplementedError

    async def premium_users(self, default_tier: str) -> pa.Table:
        """Users of another tier than `default_tier`: columns user_id, customer_tier (text)."""
        raise NotImplementedError

    # --- outbox -------------------------------------------------------------------------------
    async def pending_entries(self, table: str | None = None) -> list[OutboxEntry]:
        """Entries that belong to no load group yet, oldest first."""
        raise NotImplementedError

    async def open_groups(self) -> list[LoadGroup]:
        """Groups stored but not published, oldest first: a run completes them before new ones."""
        raise NotImplementedError

    async def store_group(self, lease: Lease, table: str, entry_ids: Sequence[int]) -> LoadGroup:
        """Bind pending entries of one table into a group (attempt 0, no job yet)."""
        raise NotImplementedError

    async def store_attempt(
        self, lease: Lease, group_id: UUID, *, attempt: int, job_id: str
    ) -> None:
        """Store the attempt and its job id before the job is submitted."""
        raise NotImplementedError

    async def mark_published(self, lease: Lease, group_id: UUID) -> None:
        """The group's rows are in the warehouse's tables: its entries are done."""
        raise NotImplementedError

    # --- reports ------------------------------------------------------------------------------
    async def runs(self, limit: int = 20) -> list[RunRow]:
        """The newest runs first."""
        raise NotImplementedError

    async def quarantine_list(
        self, filters: QuarantineFilter, limit: int = 100
    ) -> list[QuarantineRow]:
        """Rejected records in source order, without their raw bytes."""
        raise NotImplementedError

    async def quarantine_show(self, quarantine_id: int) -> QuarantineRow | None:
        """One rejected record with its raw bytes."""
        raise NotImplementedError

    async def status(self) -> SinkStatus:
        """Counts of what is stored, held, quarantined and pending."""
        raise NotImplementedError

    async def daily_totals(self, dates: Sequence[date] | None = None) -> pa.Table:
        """Per stored date: transaction_date, transactions (int64), amount_usd (decimal)."""
        raise NotImplementedError
