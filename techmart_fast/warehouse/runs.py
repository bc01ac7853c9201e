"""Writes a run and its quality metrics into the warehouse, once per run id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from techmart_fast.warehouse.statements import (
    Parameter,
    Rows,
    Scalar,
    Statement,
    Value,
    statement,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One row of `pipeline_monitoring`. Times are UTC; `error` is one line."""

    run_id: str
    started: datetime
    ended: datetime
    status: str
    records_read: int
    records_loaded: int
    records_rejected: int
    records_held: int
    records_duplicate: int
    rows_per_second: Decimal
    bytes_per_second: Decimal
    peak_memory_bytes: int
    contract_version: str
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One row of `data_quality_metrics`: a dimension's score for a feed (or `all` feeds) in a run.

    `table` is the feed or `all`; `metric` names what was judged (a column, or `score` for the whole
    dimension); `value` is None where nothing was there to judge; `details` is free text.
    """

    table: str
    dimension: str
    metric: str
    check_date: date
    value: Decimal | None
    threshold: Decimal | None
    status: str
    details: str = ""


_METRIC_COLUMNS = {
    "check_date": "DATE",
    "table_name": "STRING",
    "dimension": "STRING",
    "metric": "STRING",
    "value": "NUMERIC",
    "threshold": "NUMERIC",
    "status": "STRING",
    "details": "STRING",
}


def run_statements(run: RunRow, metrics: Sequence[MetricRow]) -> list[Statement]:
    """The statements that write a run and its metrics (one for each of the two tables)."""
    statements = [statement("queries/record_run", parameters=_run_parameters(run))]
    if metrics:
        rows: list[Mapping[str, Value]] = [
            {
                "check_date": row.check_date,
                "table_name": row.table,
                "dimension": row.dimension,
                "metric": row.metric,
                "value": row.value,
                "threshold": row.threshold,
                "status": row.status,
                "details": row.details,
            }
            for row in metrics
        ]
        statements.append(
            statement(
                "queries/record_metrics",
                literals={"check_dates": {row.check_date for row in metrics}},
                parameters={
                    "run_id": Scalar("STRING", run.run_id),
                    "metric_rows": Rows(_METRIC_COLUMNS, rows),
                },
            )
        )
    return statements


def _run_parameters(run: RunRow) -> Mapping[str, Parameter]:
    seconds = Decimal(str((run.ended - run.started).total_seconds()))
    return {
        "run_id": Scalar("STRING", run.run_id),
        "start_date": Scalar("DATE", run.started.astimezone(UTC).date()),
        "started_at": Scalar("TIMESTAMP", run.started),
        "ended_at": Scalar("TIMESTAMP", run.ended),
        "status": Scalar("STRING", run.status),
        "records_read": Scalar("INT64", run.records_read),
        "records_loaded": Scalar("INT64", run.records_loaded),
        "records_rejected": Scalar("INT64", run.records_rejected),
        "records_held": Scalar("INT64", run.records_held),
        "records_duplicate": Scalar("INT64", run.records_duplicate),
        "seconds": Scalar("NUMERIC", seconds.quantize(Decimal("0.001"))),
        "rows_per_second": Scalar("NUMERIC", run.rows_per_second.quantize(Decimal("0.1"))),
        "bytes_per_second": Scalar("NUMERIC", run.bytes_per_second.quantize(Decimal("0.1"))),
        "peak_memory_bytes": Scalar("INT64", run.peak_memory_bytes),
        "contract_version": Scalar("STRING", run.contract_version),
        "error": Scalar("STRING", run.error),
    }
