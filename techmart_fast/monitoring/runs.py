"""A run's end as both sinks store it: the run row and its quality metrics."""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Literal

from techmart_fast.contract import Contract
from techmart_fast.postgres import QualityMetric, RunEnd
from techmart_fast.quality import QualityScore, QualityStatus
from techmart_fast.records import FeedCounts
from techmart_fast.results import RunResult
from techmart_fast.warehouse import MetricRow, RunRow

_RATE = Decimal("0.01")
_STATUS: Mapping[QualityStatus, Literal["PASS", "WARN", "FAIL"]] = {
    QualityStatus.PASS: "PASS",
    QualityStatus.WARN: "WARN",
    QualityStatus.FAIL: "FAIL",
}


def run_end(result: RunResult, bytes_read: int) -> RunEnd:
    """The end of a run for PostgreSQL."""
    return RunEnd(
        status=result.status.value,
        feeds=result.feeds,
        seconds=result.seconds,
        bytes_read=bytes_read,
        peak_memory_bytes=result.memory.loader,
        error=result.error,
        metrics=tuple(
            QualityMetric(
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


def warehouse_run(result: RunResult, contract: Contract, bytes_read: int) -> RunRow:
    """The run's row of `pipeline_monitoring`."""
    total = sum(result.feeds.values(), FeedCounts())
    seconds = Decimal(repr(result.seconds)) or Decimal("0.001")
    return RunRow(
        run_id=str(result.run_id),
        started=result.started,
        ended=result.ended,
        status=result.status.value,
        records_read=total.read,
        records_loaded=total.loaded,
        records_rejected=total.rejected,
        records_held=total.held,
        records_duplicate=total.duplicate,
        rows_per_second=(total.read / seconds).quantize(_RATE),
        bytes_per_second=(bytes_read / seconds).quantize(_RATE),
        peak_memory_bytes=result.memory.loader,
        contract_version=contract.version,
        error=result.error,
    )


def warehouse_metrics(result: RunResult) -> tuple[MetricRow, ...]:
    """The run's rows of `data_quality_metrics`: every feed's scores, and those of all feeds."""
    checked: date = result.ended.date()
    return tuple(
        MetricRow(
            table=table,
            dimension=quality.dimension,
            metric="score",
            check_date=checked,
            value=quality.value,
            threshold=quality.threshold,
            status=quality.status.value,
            details=_details(quality),
        )
        for table, quality in _scores(result)
    )


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
