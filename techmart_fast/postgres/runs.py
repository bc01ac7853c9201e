"""Run rows: started, refused, finished, listed."""

from collections.abc import Mapping

import asyncpg
import orjson

from techmart_fast.postgres import lease as leases
from techmart_fast.postgres.model import Lease, RunEnd, RunRow, RunStart
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.records import Feed, FeedCounts

_DOING = "finishing the run"


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
    """Complete the run row, store the metrics, give the lease back."""
    await session.execute(
        statement("runs", "finish"),
        lease.run_id,
        end.status,
        orjson.dumps({feed.value: counts for feed, counts in end.feeds.items()}).decode(),
        end.seconds,
        end.bytes_read,
        end.peak_memory_bytes,
        end.error,
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
    await leases.give_back(session, lease)


async def recent(session: Session, limit: int) -> list[RunRow]:
    """The newest runs first."""
    rows = await session.fetch(statement("runs", "recent"), limit, doing="listing runs")
    return [_run_row(row) for row in rows]


def _run_row(row: asyncpg.Record) -> RunRow:
    values = {**row}
    feeds: Mapping[str, Mapping[str, object]] = orjson.loads(values.pop("feeds"))
    return RunRow(
        **values,
        feeds={Feed(name): _feed_counts(counts) for name, counts in feeds.items()},
    )


def _feed_counts(stored: Mapping[str, object]) -> FeedCounts:
    known = FeedCounts.__dataclass_fields__
    return FeedCounts(**{name: value for name, value in stored.items() if name in known})  # type: ignore[arg-type]
