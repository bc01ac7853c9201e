"""Run rows: started, refused, finished, listed."""

from functools import cache
from uuid import UUID

import asyncpg
import orjson
from pydantic import TypeAdapter

from techmart_fast.errors import SinkError
from techmart_fast.postgres import lease as leases
from techmart_fast.postgres.model import (
    Lease,
    QualityMetric,
    RunEnd,
    RunRow,
    RunStart,
    UntoldRun,
)
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.records import Feed, FeedCounts
from techmart_fast.results import WarehouseCost

_DOING = "finishing the run"
_TELLING = "telling the warehouse of runs"


async def record_refused(session: Session, run: RunStart, error: str) -> None:
    """Insert the row of a run that failed before it held the lease."""
    await session.execute(
        statement("runs", "refused"),
        run.run_id,
        run.started_at,
        run.contract_name,
        run.contract_version,
        run.loader_version,
        error,
        doing="recording a refused run",
    )


async def finish(session: Session, lease: Lease, end: RunEnd) -> None:
    """Complete the run row, store the metrics, give the lease back: all of it, or nothing."""
    try:
        await session.script("BEGIN", doing=_DOING)
        # The lease's row first, as a run does that takes it over: no deadlock between the two.
        await leases.give_back(session, lease)
        await _finish(session, lease, end)
        await session.script("COMMIT", doing=_DOING)
    except SinkError:
        await session.rollback()
        raise
    await leases.let_go(session, lease)


async def _finish(session: Session, lease: Lease, end: RunEnd) -> None:
    await session.execute(
        statement("runs", "finish"),
        lease.run_id,
        end.status,
        orjson.dumps({feed.value: end.feeds[feed] for feed in end.feeds}, default=dict).decode(),
        end.seconds,
        end.bytes_read,
        end.peak_memory_bytes,
        end.error,
        *_cost(end.cost),
        doing=_DOING,
    )
    if end.metrics:
        await session.execute(
            statement("runs", "metrics"),
            lease.run_id,
            [metric.table for metric in end.metrics],
            [metric.dimension for metric in end.metrics],
            [metric.metric for metric in end.metrics],
            [metric.value for metric in end.metrics],
            [metric.threshold for metric in end.metrics],
            [metric.status for metric in end.metrics],
            [metric.details for metric in end.metrics],
            doing=_DOING,
        )


async def store_cost(session: Session, run_id: UUID, cost: WarehouseCost | None) -> None:
    """Store what a run that has ended took in the warehouse."""
    await session.execute(statement("runs", "cost"), run_id, *_cost(cost), doing=_DOING)


def _cost(cost: WarehouseCost | None) -> tuple[object, ...]:
    if cost is None:
        return (None,) * 4
    return cost.jobs, cost.bytes_billed, cost.usd, cost.modelled


async def recent(session: Session, limit: int) -> list[RunRow]:
    """The newest runs first."""
    rows = await session.fetch(statement("runs", "recent"), limit, doing="listing runs")
    return [_run_row(row) for row in rows]


async def named(session: Session, beginning: str) -> list[UUID]:
    """Runs whose id begins so; two stand for several."""
    rows = await session.fetch(
        statement("runs", "named"), beginning.lower(), doing="looking for a run"
    )
    return [row["run_id"] for row in rows]


async def untold(session: Session, limit: int) -> list[UntoldRun]:
    """Runs that ended and that the warehouse does not know of, oldest first."""
    rows = await session.fetch(statement("runs", "untold"), limit, doing=_TELLING)
    return [
        UntoldRun(row=_run_row(row), metrics=await _metrics(session, row["run_id"])) for row in rows
    ]


async def mark_told(session: Session, run: RunRow) -> None:
    """The warehouse has this row."""
    await session.execute(statement("runs", "told"), run.run_id, run.status, doing=_TELLING)


async def _metrics(session: Session, run_id: UUID) -> tuple[QualityMetric, ...]:
    rows = await session.fetch(statement("runs", "metrics_of"), run_id, doing=_TELLING)
    found = ({**row} for row in rows)
    return tuple(QualityMetric(table=values.pop("table_name"), **values) for values in found)


def _run_row(row: asyncpg.Record) -> RunRow:
    values = {**row}
    return RunRow(**values | {"feeds": _stored_feeds().validate_json(values["feeds"])})


@cache
def _stored_feeds() -> TypeAdapter[dict[Feed, FeedCounts]]:
    return TypeAdapter(dict[Feed, FeedCounts])
