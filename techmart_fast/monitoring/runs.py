"""A run's end as both sinks store it: the run row and its quality metrics.

PostgreSQL gets it first; the warehouse is told from there, so that it hears of every run: also of
one that was killed, and of one that ended while the warehouse could not be reached.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from techmart_fast import postgres, warehouse
from techmart_fast.quality import QualityScore, QualityStatus
from techmart_fast.records import FeedCounts
from techmart_fast.results import RunResult

_RATE = Decimal("0.01")
_STATUS: Mapping[QualityStatus, Literal["PASS", "WARN", "FAIL"]] = {
    QualityStatus.PASS: "PASS",
    QualityStatus.WARN: "WARN",
    QualityStatus.FAIL: "FAIL",
}


def run_end(result: RunResult, bytes_read: int) -> postgres.RunEnd:
    """The end of a run for PostgreSQL."""
    return postgres.RunEnd(
        status=result.status.value,
        feeds=result.feeds,
        seconds=result.seconds,
        bytes_read=bytes_read,
        peak_memory_bytes=result.memory.loader,
        cost=result.cost,
        error=result.error,
        metrics=tuple(
            postgres.QualityMetric(
                table=table,
                dimension=quality.dimension,
                metric="score",
                value=None if quality.value is None else float(quality.value),
                threshold=float(quality.threshold),
                status=_STATUS[quality.status],
                details=_details(quality),
            )
            for table, quality in _scores(result)
        ),
    )


def warehouse_run(run: postgres.RunRow) -> warehouse.RunRow:
    """A run's row of `pipeline_monitoring`, from its row in PostgreSQL."""
    total = sum(run.feeds.values(), FeedCounts())
    seconds = Decimal(repr(run.seconds or 0.0)) or Decimal("0.001")
    return warehouse.RunRow(
        run_id=str(run.run_id),
        started=run.started_at,
        ended=_ended(run),
        status=run.status,
        records_read=total.read,
        records_loaded=total.loaded,
        records_rejected=total.rejected,
        records_held=total.held,
        records_duplicate=total.duplicate,
        rows_per_second=(total.read / seconds).quantize(_RATE),
        bytes_per_second=((run.bytes_read or 0) / seconds).quantize(_RATE),
        peak_memory_bytes=run.peak_memory_bytes or 0,
        contract_version=run.contract_version,
        error=run.error,
    )


def warehouse_metrics(
    run: postgres.RunRow, metrics: Sequence[postgres.QualityMetric]
) -> tuple[warehouse.MetricRow, ...]:
    """A run's rows of `data_quality_metrics`, from those in PostgreSQL."""
    return tuple(
        warehouse.MetricRow(
            table=metric.table,
            dimension=metric.dimension,
            metric=metric.metric,
            check_date=_ended(run).astimezone(UTC).date(),
            value=_decimal(metric.value),
            threshold=_decimal(metric.threshold),
            status=metric.status,
            details=metric.details,
        )
        for metric in metrics
    )


def _ended(run: postgres.RunRow) -> datetime:
    return run.ended_at or run.started_at


def _decimal(stored: float | None) -> Decimal | None:
    """The decimal that was stored: it has few digits, so the shortest that reads the same is it."""
    return None if stored is None else Decimal(repr(stored))


def _scores(result: RunResult) -> Iterator[tuple[str, QualityScore]]:
    """Every score that there is, with the feed it belongs to; what was not judged has none."""
    tables = {"all": result.quality}
    tables |= {feed.value: scores for feed, scores in result.quality_by_feed.items()}
    for table, scores in tables.items():
        for quality in scores.values():
            if quality.value is not None:
                yield table, quality


def _details(quality: QualityScore) -> str:
    return f"{quality.good} of {quality.judged}"
