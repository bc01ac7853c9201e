"""What goes into the sink and what comes out of it, as frozen values."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

import pyarrow as pa

from techmart_fast.records import (
    CANDIDATES,
    BatchIdentity,
    Feed,
    FeedCounts,
    SourceFile,
    SpooledFile,
)
from techmart_fast.results import WarehouseCost

ReferentialIntegrity = Literal["set-based", "triggers"]
RunStatus = Literal["running", "completed", "failed", "stopped"]
QualityStatus = Literal["PASS", "WARN", "FAIL"]

SPOOLED: Mapping[Feed, pa.Schema] = {
    Feed.USERS: CANDIDATES[Feed.USERS],
    Feed.PRODUCTS: CANDIDATES[Feed.PRODUCTS]
    .append(pa.field("is_active", pa.bool_(), nullable=False))
    .append(pa.field("catalogue_ordinal", pa.int64(), nullable=False)),
    Feed.TRANSACTIONS: CANDIDATES[Feed.TRANSACTIONS],
}
"""Columns of the record batches that the sink hands to a spool callback.

They are `CANDIDATES`, with `processing_priority` as PostgreSQL keeps it (decided when the record
was first loaded). Products also carry `is_active` and `catalogue_ordinal` (the ordinal of the
newest complete catalogue when the row was written, 0 without one). A product row is newer than
another one when `(source_ordinal, source_offset, catalogue_ordinal)` is: a deactivation keeps the
record's position and raises `catalogue_ordinal` only.
"""

Spool = Callable[[pa.RecordBatch], Awaitable[SpooledFile]]
"""Writes accepted rows (columns `SPOOLED[feed]`, at most one row per key) durably to disk.

The sink awaits it inside the batch's transaction, beside the upsert. It is not called when nothing
was accepted, and may be called again for the same batch after a deadlock was resolved.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart:
    """What a run row says at its start. `lease_seconds`: silence after which it may be replaced."""

    run_id: UUID
    started_at: datetime
    contract_name: str
    contract_version: str
    loader_version: str
    lease_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to write, for one run. A later lease has a greater `epoch`."""

    run_id: UUID
    epoch: int
    contract_version: str
    lease_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityMetric:
    """One figure of data quality. `table` is the feed, `dimension` e.g. `completeness`."""

    table: str
    dimension: str
    metric: str
    value: float | None
    threshold: float | None
    status: QualityStatus
    details: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """What a run row says at its end. `error` is one line without values from records."""

    status: RunStatus
    feeds: Mapping[Feed, FeedCounts]
    seconds: float
    bytes_read: int
    peak_memory_bytes: int
    cost: WarehouseCost | None = None
    error: str | None = None
    metrics: tuple[QualityMetric, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchWrite:
    """Everything that one batch does to PostgreSQL, in one transaction.

    `candidates` follows `CANDIDATES[feed]`: this lane's records, in source order. `rejections`
    follows `REJECTIONS` (lane 0 carries those of the whole block, the other lanes none); `read` is
    the number of both. `rejected_file` is the spooled `rejected_transactions` of the rejections.
    A `replay` of records from the quarantine stands for no range of its file: it leaves the file's
    checkpoints alone. `is_corrected`: its records stand in other words than in the file, which from
    then on has no say about them.
    `seen` is stored with the batch, for runs that find it done: values that JSON takes.
    """

    lease: Lease
    identity: BatchIdentity
    candidates: pa.RecordBatch
    rejections: pa.RecordBatch
    read: int
    spool: Spool
    rejected_file: SpooledFile | None = None
    kind: Literal["load", "replay"] = "load"
    is_corrected: bool = False
    seen: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutcome:
    """What became of a batch. `counts.adds_up` always holds.

    `skipped`: the batch was committed before; its candidates count as duplicates, nothing changed.
    `judged`: what the run's quality is scored on. Of a skipped batch that is nothing, if the run
    that took it in completed; else what became of it then, as no verdict included it.
    `accepted`: rows handed to the spool. `flagged`: judged loaded records with a high
    `payment_method_risk`, `resent` of the judged duplicates are what another file had before.
    `dates`: every transaction date that the batch touched in the warehouse,
    new and old. `superseded`: held records dropped because a newer version was loaded, so that the
    held ones of now are all ever held, less released, less superseded.
    """

    batch_id: UUID
    counts: FeedCounts
    judged: FeedCounts | None
    skipped: bool = False
    accepted: int = 0
    flagged: int = 0
    resent: int = 0
    superseded: int = 0
    dates: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One bounded batch of held rows whose parents have arrived, committed.

    `released` held rows left the held table because their parents exist; `accepted` of them are
    now the newest version of their transaction; `superseded` older held rows were dropped.
    """

    batch_id: UUID
    released: int
    accepted: int
    superseded: int
    flagged: int
    dates: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileProgress:
    """How far a file is committed in one lane: every byte before `end_byte`."""

    lane: int
    lanes: int
    end_byte: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    """A spooled file that the warehouse has not taken yet. `dates` names old and new dates."""

    entry_id: int
    batch_id: UUID
    table: str
    path: str
    sha256: str
    rows: int
    size_bytes: int
    dates: tuple[date, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedFiles:
    """Files that the outbox still needs; `runs` are those asked for that this database knows."""

    runs: frozenset[UUID]
    paths: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxGroup:
    """Outbox entries that one load job carries. `job_id` belongs to `attempt` (1, 2, …)."""

    group_id: UUID
    table: str
    attempt: int
    job_id: str | None
    entries: tuple[OutboxEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Which database this is, and whether any warehouse holds rows of it."""

    database_id: UUID
    has_published: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A past or present run, as `status` shows it."""

    run_id: UUID
    status: RunStatus
    started_at: datetime
    ended_at: datetime | None
    seconds: float | None
    contract_name: str
    contract_version: str
    loader_version: str
    feeds: Mapping[Feed, FeedCounts]
    bytes_read: int | None
    peak_memory_bytes: int | None
    warehouse_jobs: int | None
    warehouse_bytes_billed: int | None
    warehouse_usd: Decimal | None
    warehouse_modelled: bool | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UntoldRun:
    """A run that ended and that the warehouse does not know of yet."""

    row: RunRow
    metrics: tuple[QualityMetric, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineFilter:
    """Which rejected records to list; `None` means any."""

    feed: Feed | None = None
    code: str | None = None
    source: str | None = None
    run_id: UUID | None = None
    include_resolved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineRow:
    """A rejected record. `raw` holds its bytes only from `quarantine_show`, else it is empty."""

    quarantine_id: int
    feed: Feed
    code: str
    field: str | None
    message: str
    source_name: str
    source_line: int
    source_offset: int
    record_key: str | None
    record_date: date | None
    rejected_at: datetime
    resolved_at: datetime | None
    raw: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRecord:
    """A rejected record that waits in the quarantine, with all that it takes to read it again.

    `source` has the name, fingerprint, ordinal, format and header of its file, whose path and size
    are not known any more.
    """

    number: int
    source: SourceFile
    source_offset: int
    source_line: int
    code: str
    field: str | None
    message: str
    record_key: str | None
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkStatus:
    """Counts of what PostgreSQL holds, for `status` and reconciliation.

    `lease_held`: the run that has the lease is connected. Without that it ended without finishing
    (or lost its connection), and the next run takes over. `owed_index`: what a first load put off
    is not built yet.
    """

    users: int
    products: int
    active_products: int
    transactions: int
    amount_usd: Decimal
    held: int
    quarantined: int
    outbox_pending: int
    outbox_pending_rows: int
    lease_run_id: UUID | None
    lease_since: datetime | None
    lease_held: bool
    owed_index: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedIndex:
    """An index that a first load put off. `may_build`: the role owns its table."""

    name: str
    may_build: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiCheckpoint:
    """How far an API was read.

    `text` is JSON of the API source's own. `sha256` is the hex digest of the last records that were
    fetched; None (nothing came) leaves the stored one. `contract_version` is of the contract that
    their rows were checked with. `is_newest`: nothing was loaded for the feed since.
    """

    text: str
    sha256: str | None
    contract_version: str
    is_newest: bool = True
