"""The PostgreSQL sink: one transaction a batch, the authority of the pipeline."""

from techmart_fast.postgres.export import EXPORTED
from techmart_fast.postgres.model import (
    SPOOLED,
    ApiCheckpoint,
    BatchOutcome,
    BatchWrite,
    FileProgress,
    Lease,
    OutboxEntry,
    OutboxGroup,
    OwedFiles,
    Publication,
    QualityMetric,
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
from techmart_fast.postgres.resume import DoneBatch, DonePart
from techmart_fast.postgres.retry import Patience, Retrying
from techmart_fast.postgres.sink import PostgresSink
from techmart_fast.postgres.snapshot import Books, Gap, Owed, Snapshot
from techmart_fast.postgres.target import PostgresTarget

__all__ = [
    "EXPORTED",
    "SPOOLED",
    "ApiCheckpoint",
    "BatchOutcome",
    "BatchWrite",
    "Books",
    "DoneBatch",
    "DonePart",
    "FileProgress",
    "Gap",
    "Lease",
    "OutboxEntry",
    "OutboxGroup",
    "Owed",
    "OwedFiles",
    "Patience",
    "PostgresSink",
    "PostgresTarget",
    "Publication",
    "QualityMetric",
    "QuarantineFilter",
    "QuarantineRow",
    "ReferentialIntegrity",
    "Release",
    "Retrying",
    "RunEnd",
    "RunRow",
    "RunStart",
    "SinkStatus",
    "Snapshot",
    "Spool",
    "UntoldRun",
    "WaitingRecord",
]
