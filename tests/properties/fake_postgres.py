"""PostgreSQL in memory, as the pipeline sees it: transactions, lease, outbox, groups.

It has the methods of `PostgresSink` that a run calls. Its tables are a `Ledger`, which
`tests/postgres/test_sink_any_history.py` holds the real sink to.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID, uuid5

import pyarrow as pa
import pyarrow.parquet as pq

from techmart_fast.errors import LeaseHeldError, SinkError
from techmart_fast.postgres import (
    EXPORTED,
    BatchOutcome,
    BatchWrite,
    DonePart,
    Lease,
    OutboxEntry,
    OutboxGroup,
    OwedFiles,
    OwedIndex,
    PostgresSink,
    Publication,
    Release,
    RunEnd,
    RunStart,
    Spool,
)
from techmart_fast.postgres.model import SPOOLED
from techmart_fast.records import FIELDS, Cut, Feed, FeedCounts, SourceFile, SpooledFile
from tests.properties.ledger import Batch, Done, Ledger, Version
from tests.properties.simulation import RUNNING, Process

Row = dict[str, object]
_IDS = UUID("5f9c1c5e-0000-4000-8000-000000000002")


@dataclass(slots=True)
class Trouble:
    """What goes wrong with the next calls of a service."""

    down: bool = False
    fail_in: int | None = None
    lose_in: int | None = None

    def before(self) -> bool:
        """Whether this call fails without any effect."""
        due, self.fail_in = _due(self.fail_in)
        return self.down or due

    def after(self) -> bool:
        """Whether the answer of this call is lost."""
        due, self.lose_in = _due(self.lose_in)
        return due


def _due(countdown: int | None) -> tuple[bool, int | None]:
    if countdown is None:
        return False, None
    return (True, None) if countdown == 0 else (False, countdown - 1)


@dataclass(slots=True)
class Entry:
    """A row of the outbox."""

    entry: OutboxEntry
    group_id: UUID | None = None
    published: bool = False


@dataclass(slots=True)
class Server:
    """What is durable in PostgreSQL, and who holds its lease."""

    ledger: Ledger[Row] = field(default_factory=Ledger)
    outbox: list[Entry] = field(default_factory=list)
    groups: dict[UUID, OutboxGroup] = field(default_factory=dict)
    files: dict[tuple[Feed, str], SourceFile] = field(default_factory=dict)
    runs: set[UUID] = field(default_factory=set)
    repairs: dict[str, UUID] = field(default_factory=dict)
    has_index: bool = True
    owes_index: bool = False
    epoch: int = 0
    holder: Process | None = None
    heartbeat: float = 0.0
    lease_seconds: float = 0.0
    now: float = 0.0
    trouble: Trouble = field(default_factory=Trouble)
    sent: dict[int, list[Row]] = field(default_factory=dict)
    """The rows of each outbox entry, as they were on disk when its batch committed."""
    watch: Callable[[], None] = lambda: None
    """Called at every call: what must hold in the middle of a run, too."""
    told: Callable[[Sequence[OutboxEntry]], None] = lambda _entries: None
    """Called with the entries that are said to be in the warehouse."""
    sink: "FakePostgres" = field(init=False)

    def __post_init__(self) -> None:
        self.sink = FakePostgres(self)

    @property
    def owed(self) -> list[OutboxEntry]:
        """What the warehouse has not got yet."""
        return [one.entry for one in self.outbox if not one.published]

    @property
    def is_held(self) -> bool:
        """Whether the holder is connected."""
        return self.holder is not None and self.holder.alive and not self.holder.ended

    @property
    def is_silent(self) -> bool:
        """Whether the holder may be replaced although it is connected."""
        return self.heartbeat + self.lease_seconds < self.now


class FakePostgres(PostgresSink):
    """The sink of every process, as all its state is the server's.

    A class of its own below `PostgresSink`: whatever is not here fails as it has no connection.
    """

    def __init__(self, server: Server) -> None:  # no connections
        self._server = server

    def __repr__(self) -> str:
        return "<FakePostgres>"

    async def _call(self, lease: Lease | None = None) -> Server:
        await RUNNING.get().turn()
        self._server.watch()
        if self._server.trouble.before():
            raise SinkError("PostgreSQL is not there.", transient=True)
        if lease is not None:
            self._check(lease)
        return self._server

    def _check(self, lease: Lease) -> None:
        if self._server.epoch != lease.epoch:
            raise LeaseHeldError("Another run took the lease over.")

    def _answer(self) -> None:
        if self._server.trouble.after():
            raise SinkError("The answer was lost.", transient=True)

    # --- runs ---------------------------------------------------------------------------------
    async def migrate(self) -> tuple[int, ...]:
        await self._call()
        return ()

    async def start_run(self, run: RunStart) -> Lease:
        server = await self._call()
        if server.is_held and not server.is_silent:
            raise LeaseHeldError("Another run is alive.")
        server.epoch += 1
        server.holder, server.heartbeat = RUNNING.get(), server.now
        server.lease_seconds = run.lease_seconds
        server.runs.add(run.run_id)
        self._answer()
        return Lease(
            run_id=run.run_id,
            epoch=server.epoch,
            contract_version=run.contract_version,
            lease_seconds=run.lease_seconds,
        )

    async def record_refused_run(self, run: RunStart, error: str) -> None:
        await self._call()

    async def keep_alive(self, lease: Lease) -> None:
        while True:
            await RUNNING.get().next_beat()
            self._check(lease)
            self._server.heartbeat = self._server.now

    async def finish_run(self, lease: Lease, end: RunEnd) -> None:
        server = await self._call()
        if server.epoch == lease.epoch:
            server.holder = None
        self._answer()

    async def store_cost(self, run_id: UUID, cost: object) -> None:
        await self._call()

    async def untold_runs(self, limit: int = 20) -> list[object]:  # type: ignore[override]  # none
        return []

    async def register_files(
        self,
        lease: Lease,
        files: Sequence[SourceFile],
        *,
        policy: str,
        cut: Cut,
        explicit: int | None = None,
    ) -> list[SourceFile]:
        server = await self._call(lease)
        for file in sorted(files, key=lambda one: one.name):
            known = [one for (feed, _), one in server.files.items() if feed is file.feed]
            ordinal = max((one.ordinal for one in known), default=0) + 1
            # A block of two or three lines: the least that settings allow is too large here.
            small = Cut(block_bytes=400, lanes=cut.lanes)
            named = (file.feed, file.fingerprint)
            server.files.setdefault(named, replace(file, ordinal=ordinal, cut=small))
        self._answer()
        return [
            replace(file, ordinal=known.ordinal, cut=known.cut)
            for file in files
            for known in (server.files[file.feed, file.fingerprint],)
        ]

    async def changed_files(self, files: Sequence[SourceFile]) -> Mapping[str, datetime]:
        await self._call()
        return {}

    async def done_parts(self, lease: Lease, files: Sequence[SourceFile]) -> Mapping[str, DonePart]:
        # Less is known of a file than a run has to tell: it reads all of it again.
        await self._call(lease)
        return {}

    async def store_lengths(self, lease: Lease, feed: Feed, lengths: Mapping[str, int]) -> None:
        await self._call(lease)

    async def confirm(self, lease: Lease) -> None:
        await self._call(lease)

    async def premium_users(self, default_tier: str) -> pa.Table:
        server = await self._call()
        tiers = {key: one.tier for key, one in server.ledger.stored[Feed.USERS].items()}
        rows = [
            {"user_id": key, "customer_tier": tier}
            for key, tier in tiers.items()
            if tier != default_tier
        ]
        schema = pa.schema([("user_id", pa.string()), ("customer_tier", pa.string())])
        return pa.Table.from_pylist(rows, schema=schema)

    # --- records ------------------------------------------------------------------------------
    async def write(self, writer: int, write: BatchWrite) -> BatchOutcome:
        server = await self._call(write.lease)
        batch, trial = _batch(write), server.ledger.copy()
        done = trial.write(batch)
        if done.skipped:
            return _outcome(batch, done)
        spooled = await self._spool(done, write.identity.feed, write.spool)
        await self._commit(write.lease)
        server.ledger = trial
        batch_id = write.identity.batch_id
        self._owe(batch_id, spooled, done)
        if write.rejected_file is not None:
            self._owe(batch_id, write.rejected_file, None)
        # A lost answer is looked up: the caller never hears of it.
        server.trouble.after()
        return _outcome(batch, done)

    async def release_held(
        self, lease: Lease, spool: Spool, *, max_rows: int = 50_000
    ) -> AsyncIterator[Release]:
        start: str | None = ""
        while start is not None:
            server = await self._call(lease)
            trial = server.ledger.copy()
            done, start = trial.release_some(start, 2)
            if done is None:
                return
            spooled = await self._spool(done, Feed.TRANSACTIONS, spool)
            await self._commit(lease)
            server.ledger = trial
            batch_id = uuid5(_IDS, f"release {len(server.outbox)} {server.epoch}")
            self._owe(batch_id, spooled, done)
            yield Release(
                batch_id=batch_id,
                released=done.counts.released,
                accepted=len(done.accepted),
                superseded=done.counts.superseded,
                flagged=0,
                dates=done.days,
            )

    async def _spool(self, done: Done[Row], feed: Feed, spool: Spool) -> SpooledFile | None:
        if not done.accepted:
            return None
        more: Row = {"is_active": True, "catalogue_ordinal": 0}
        rows = [{**one.row, **more, **_priority(one)} for one in done.accepted]
        return await spool(pa.RecordBatch.from_pylist(rows, schema=SPOOLED[feed]))

    async def _commit(self, lease: Lease) -> None:
        """The turn in which a transaction commits; a run that was replaced has none open."""
        await self._call(lease)

    def _owe(self, batch_id: UUID, file: SpooledFile | None, done: Done[Row] | None) -> None:
        if file is None:
            return
        entry = OutboxEntry(
            entry_id=len(self._server.outbox) + 1,
            batch_id=batch_id,
            table=file.table,
            path=str(file.path),
            sha256=file.sha256,
            rows=file.rows,
            size_bytes=file.size_bytes,
            dates=file.dates if done is None else done.days,
        )
        self._server.outbox.append(Entry(entry))
        self._server.sent[entry.entry_id] = pq.read_table(file.path).to_pylist()

    # --- index --------------------------------------------------------------------------------
    async def put_off_index(self, lease: Lease) -> bool:
        server = await self._call(lease)
        if server.has_index and not server.ledger.stored[Feed.TRANSACTIONS]:
            await self._commit(lease)
            server.has_index, server.owes_index = False, True
        self._answer()
        return server.owes_index

    async def owed_index(self) -> OwedIndex | None:
        server = await self._call()
        return OwedIndex(name="index", may_build=True) if server.owes_index else None

    async def build_index(self, lease: Lease) -> bool:
        server = await self._call(lease)
        await self._commit(lease)
        server.has_index, server.owes_index = True, False
        self._answer()
        return True

    # --- outbox -------------------------------------------------------------------------------
    async def pending_entries(self, table: str | None = None) -> list[OutboxEntry]:
        server = await self._call()
        return [
            one.entry
            for one in server.outbox
            if not one.published and one.group_id is None and table in (None, one.entry.table)
        ]

    async def open_groups(self) -> list[OutboxGroup]:
        server = await self._call()
        open_ids = {one.group_id for one in server.outbox if not one.published}
        return [group for group_id, group in server.groups.items() if group_id in open_ids]

    async def owed_files(self, lease: Lease, runs: Collection[UUID]) -> OwedFiles:
        server = await self._call(lease)
        paths = frozenset(entry.path for entry in server.owed)
        return OwedFiles(runs=frozenset(server.runs & set(runs)), paths=paths)

    async def publication(self) -> Publication:
        server = await self._call()
        published = any(one.published for one in server.outbox)
        return Publication(database_id=_IDS, has_published=published)

    async def store_group(self, lease: Lease, table: str, entry_ids: Sequence[int]) -> OutboxGroup:
        server = await self._call(lease)
        chosen = [one for one in server.outbox if one.entry.entry_id in set(entry_ids)]
        if any(one.published or one.group_id or one.entry.table != table for one in chosen):
            raise SinkError(f"Some outbox entries can't be grouped for {table}.")
        group_id = uuid5(_IDS, f"group {len(server.groups)}")
        for one in chosen:
            one.group_id = group_id
        entries = tuple(one.entry for one in chosen)
        group = OutboxGroup(group_id=group_id, table=table, attempt=0, job_id=None, entries=entries)
        server.groups[group_id] = group
        self._answer()
        return group

    async def store_attempt(
        self, lease: Lease, group_id: UUID, *, attempt: int, job_id: str
    ) -> None:
        server = await self._call(lease)
        group = server.groups[group_id]
        if attempt <= group.attempt:
            raise SinkError(f"Attempt {attempt} of load group {group_id} can't be stored.")
        server.groups[group_id] = replace(group, attempt=attempt, job_id=job_id)
        self._answer()

    async def mark_published(self, lease: Lease, group_ids: Collection[UUID]) -> None:
        server = await self._call(lease)
        done = [one for one in server.outbox if one.group_id in set(group_ids)]
        server.told([one.entry for one in done if not one.published])
        for one in done:
            one.published = True
        self._answer()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator["FakeSnapshot"]:  # type: ignore[override]  # its stand-in
        yield FakeSnapshot(await self._call())

    async def replace_files(
        self, lease: Lease, files: Mapping[int, SpooledFile]
    ) -> list[OutboxEntry]:
        server = await self._call(lease)
        for one in server.outbox:
            if file := files.get(one.entry.entry_id):
                one.entry = replace(
                    one.entry,
                    path=str(file.path),
                    sha256=file.sha256,
                    rows=file.rows,
                    size_bytes=file.size_bytes,
                )
        self._answer()
        return [one.entry for one in server.outbox if one.entry.entry_id in files]

    async def begin_repair(self, lease: Lease, staging_table: str) -> None:
        server = await self._call(lease)
        server.repairs.setdefault(staging_table, lease.run_id)
        self._answer()

    async def open_repairs(self, lease: Lease) -> list[str]:
        server = await self._call()
        return [table for table, run_id in server.repairs.items() if run_id != lease.run_id]

    async def end_repairs(
        self, lease: Lease, staging_tables: Collection[str], *, covered: Collection[int] = ()
    ) -> None:
        server = await self._call(lease)
        for table in staging_tables:
            server.repairs.pop(table, None)
        self._answer()


@dataclass(frozen=True, slots=True)
class FakeSnapshot:
    """What the mending of spool files reads."""

    server: Server

    async def owed_pages(
        self, table: str, entries: Collection[int]
    ) -> AsyncGenerator[pa.Table, None]:
        rows = [row for number in entries for row in self.server.sent[number]]
        if rows:
            yield pa.Table.from_pylist(rows, schema=EXPORTED[table])


def _priority(version: Version[Row]) -> Row:
    return {"processing_priority": version.priority} if version.priority else {}


def _batch(write: BatchWrite) -> Batch[Row]:
    """The versions of a batch, from the rows that the pipeline made."""
    identity = write.identity
    rejected = write.rejections.select(["source_offset", "code"]).to_pylist()
    return Batch(
        batch_id=identity.batch_id,
        feed=identity.feed,
        ordinal=identity.source.ordinal,
        versions=tuple(version_of(identity.feed, row) for row in write.candidates.to_pylist()),
        rejections={one["source_offset"]: one["code"] for one in rejected},
    )


def version_of(feed: Feed, row: Row) -> Version[Row]:
    """A row as a version of the ledger."""
    key, *names = FIELDS[feed]
    parents: tuple[tuple[Feed, str], ...] = ()
    if feed is Feed.TRANSACTIONS:
        named = ((Feed.USERS, row["user_id"]), (Feed.PRODUCTS, row["product_id"]))
        parents = tuple((of, str(parent)) for of, parent in named if parent is not None)
    return Version(
        key=str(row[key]),
        position=(int(row["source_ordinal"]), int(row["source_offset"])),  # type: ignore[call-overload]  # an int
        content=tuple(row[name] for name in names),
        row=row,
        parents=parents,
        priority=str(row.get("processing_priority", "")),
        day=row.get("transaction_date"),  # type: ignore[arg-type]  # a date
        tier=str(row.get("customer_tier", "")),
    )


def _outcome(batch: Batch[Row], done: Done[Row]) -> BatchOutcome:
    of = done.counts
    counts = FeedCounts(
        read=of.read, loaded=of.loaded, rejected=of.rejected, held=of.held, duplicate=of.duplicate
    )
    assert isinstance(batch.batch_id, UUID)
    return BatchOutcome(
        batch_id=batch.batch_id,
        counts=counts,
        judged=counts,
        skipped=done.skipped,
        accepted=len(done.accepted),
        superseded=of.superseded,
        dates=done.days,
    )
