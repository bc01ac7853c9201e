"""The PostgreSQL sink: one transaction a batch, the authority of the pipeline."""

from techmart_fast.postgres.model import (
    SPOOLED,
    BatchOutcome,
    BatchWrite,
    FileProgress,
    Lease,
    LoadGroup,
    OutboxEntry,
    OwedFiles,
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
)
from techmart_fast.postgres.sink import PostgresSink
from techmart_fast.postgres.target import PostgresTarget

__all__ = [
    "SPOOLED",
    "BatchOutcome",
    "BatchWrite",
    "FileProgress",
    "Lease",
    "LoadGroup",
    "OutboxEntry",
    "OwedFiles",
    "PostgresSink",
    "PostgresTarget",
    "QualityMetric",
    "QuarantineFilter",
    "QuarantineRow",
    "ReferentialIntegrity",
    "Release",
    "RunEnd",
    "RunRow",
    "RunStart",
    "SinkStatus",
    "Spool",
    "UntoldRun",
]
