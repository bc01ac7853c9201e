"""Fingerprints of what the warehouse holds: counts, money and hash sums, computed over there.

The facts are read by literal days, and no query reads more than `maximum_bytes_billed` allows.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from typing import Any

from techmart_fast.fingerprints import (
    BatchFingerprints,
    Fingerprints,
    Part,
    by_batch,
    by_key,
    by_part,
)
from techmart_fast.warehouse.groups import LoadTable
from techmart_fast.warehouse.jobs import Jobs
from techmart_fast.warehouse.periods import MAX_PARTITIONS
from techmart_fast.warehouse.statements import Array, Scalar, Statement, statement

_OTHER_DAYS = {
    LoadTable.TRANSACTIONS: "reconcile/other_days",
    LoadTable.REJECTED_TRANSACTIONS: "reconcile/other_rejected_days",
}

BYTES_PER_ROW = 512
"""More than a row of any table has in the columns read: ids of 64 bytes, words of the contract."""


def hashed_statement(table: LoadTable, days: Collection[date] = ()) -> Statement:
    """The rows of a table (of the facts: of these days) with their hashes."""
    return statement(f"reconcile/hashed_{table}", literals={"dates": days})


def parts_statement(table: LoadTable, days: Collection[date] = ()) -> Statement:
    """Counts, money and hash sums by part."""
    return statement("reconcile/parts", tables=_hashed(table, days))


def batches_statement(table: LoadTable, days: Collection[date] = ()) -> Statement:
    """The same by part and batch."""
    return statement("reconcile/batches", tables=_hashed(table, days))


def rows_statement(
    table: LoadTable, days: Collection[date], *, batch_ids: Sequence[str], limit: int
) -> Statement:
    """Hashes of keys and rows that these batches wrote."""
    return statement(
        "reconcile/rows",
        tables=_hashed(table, days),
        parameters={
            "batch_ids": Array("STRING", batch_ids),
            "row_limit": Scalar("INT64", limit),
        },
    )


def other_days_statement(
    table: LoadTable, *, first: date, last: date, since: date | None, until: date | None
) -> Statement:
    """Rows by day from `since` to `until`, but for `first` to `last`."""
    return statement(
        _OTHER_DAYS[table],
        parameters={
            "first": Scalar("DATE", first),
            "last": Scalar("DATE", last),
            "since": Scalar("DATE", since or date.min),
            "until": Scalar("DATE", until or date.max),
        },
    )


def shares_of_days(rows: Fingerprints, *, most_bytes: int) -> Iterator[Sequence[date]]:
    """The span of days with rows, without holes, in shares that one query may read.

    `rows` says how many rows a day has in PostgreSQL. A day alone may be too much: then its query
    is refused, and says so.
    """
    days = sorted(day for day in rows if isinstance(day, date))
    if days:
        span = range(days[0].toordinal(), days[-1].toordinal() + 1)
        yield from share_out(map(date.fromordinal, span), rows, most_bytes=most_bytes)


def share_out(
    days: Iterable[date], rows: Fingerprints, *, most_bytes: int
) -> Iterator[Sequence[date]]:
    """Days, in their order, in shares that one query may read; see `shares_of_days`."""
    share: list[date] = []
    size = 0
    for day in days:
        wanted = rows[day].rows * BYTES_PER_ROW if day in rows else 0
        if share and (size + wanted > most_bytes or len(share) == MAX_PARTITIONS):
            yield share
            share, size = [], 0
        share.append(day)
        size += wanted
    if share:
        yield share


def _hashed(table: LoadTable, days: Collection[date]) -> dict[str, str]:
    return {"hashed_rows": f"({hashed_statement(table, days).sql})"}


class WarehouseFingerprints:
    """Asks for fingerprints. Changes nothing, and may be used beside a run."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def parts(self, table: LoadTable, days: Collection[date] = ()) -> Fingerprints:
        """Every part of a table; of the facts: these days."""
        return by_part(await self._rows(parts_statement(table, days)))

    async def other_days(
        self,
        table: LoadTable,
        *,
        first: date,
        last: date,
        since: date | None,
        until: date | None,
    ) -> Fingerprints:
        """Days with rows from `since` to `until`, but for `first` to `last`: rows only."""
        query = other_days_statement(table, first=first, last=last, since=since, until=until)
        return by_part(await self._rows(query))

    async def batches(self, table: LoadTable, days: Collection[date] = ()) -> BatchFingerprints:
        """By part and batch: rows and hash sums."""
        return by_batch(await self._rows(batches_statement(table, days)))

    async def rows(
        self, table: LoadTable, days: Collection[date], *, batch_ids: Sequence[str], limit: int
    ) -> dict[Part, set[tuple[int, int]]]:
        """Hashes of keys and rows that batches wrote, by part; `limit` rows at most."""
        query = rows_statement(table, days, batch_ids=batch_ids, limit=limit)
        return by_key(await self._rows(query))

    async def _rows(self, query: Statement) -> Iterator[dict[str, Any]]:
        found = await self._jobs.table(query)
        return (row for batch in found.to_batches() for row in batch.to_pylist())
