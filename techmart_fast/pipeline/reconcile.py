"""Compares both sinks: one snapshot of PostgreSQL with what the warehouse holds.

Nothing is changed, and no lease is needed. Counts, money and hash sums are computed where the rows
are; only they are moved. Where they differ, batches are compared, and then hashes of single rows.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain

from techmart_fast.errors import ConfigError
from techmart_fast.fingerprints import Fingerprint, Fingerprints, Part
from techmart_fast.pipeline.explain import Explanation
from techmart_fast.pipeline.progress import RunObserver
from techmart_fast.pipeline.reconciled import Reconciliation, Standing, TableReconciled, Unequal
from techmart_fast.pipeline.sinks import Sinks, open_sinks
from techmart_fast.postgres import Owed, Snapshot
from techmart_fast.settings import Settings
from techmart_fast.together import together
from techmart_fast.warehouse import (
    LoadTable,
    Owner,
    share_out,
    shares_of_days,
)

MOST_BYTES = 1 << 33
"""Of the facts in one query, if `maximum_bytes_billed` allows that much: a step of progress."""

_FACTS = (LoadTable.TRANSACTIONS, LoadTable.REJECTED_TRANSACTIONS)
_NOTHING = Fingerprint()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Days to compare, both inclusive; None: from the first, to the last."""

    since: date | None = None
    until: date | None = None

    def __post_init__(self) -> None:
        if self.since and self.until and self.since > self.until:
            raise ConfigError("--since is after --until.")

    def holds(self, days: Collection[date]) -> bool:
        """Whether any of the days is one of these; a file of users or products has none."""
        first, last = self.since or date.min, self.until or date.max
        return not days or any(first <= day <= last for day in days)


async def reconcile_sinks(
    settings: Settings, *, observer: RunObserver, span: Span | None = None
) -> Reconciliation:
    """Open both sinks and compare them.

    Raises:
        TechmartError: a sink can't be reached or asked, or is not the other one's.
    """
    observer.phase("Opening PostgreSQL and the warehouse")
    async with open_sinks(settings) as sinks:
        await sinks.postgres.migrate()
        compare = Comparison(
            sinks,
            observer=observer,
            span=span,
            most_bytes=min(MOST_BYTES, settings.bigquery.maximum_bytes_billed),
        )
        return await compare.all()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One table in both sinks: `all` parts, and what came out."""

    table: TableReconciled
    all: tuple[Part, ...]
    stored: Fingerprints

    @property
    def unequal(self) -> tuple[Part, ...]:
        """Parts that are not equal, for whatever reason."""
        return tuple(one.part for one in self.table.unequal)


class Comparison:
    """One comparison of open sinks. Days whose facts have expired over there are left out."""

    def __init__(
        self,
        sinks: Sinks,
        *,
        observer: RunObserver,
        span: Span | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._sinks = sinks
        self._observer = observer
        asked, oldest = span or Span(), sinks.warehouse.oldest_day
        if oldest > (asked.since or date.min):
            asked = Span(since=oldest, until=max(asked.until or date.max, oldest))
        self._span = asked
        self._most_bytes = most_bytes

    async def all(self) -> Reconciliation:
        """Compare every table, and the loader's accounting."""
        began = time.monotonic()
        known = await self._sinks.postgres.publication()
        present = await self._sinks.warehouse.present(
            Owner(database_id=known.database_id, has_published=known.has_published)
        )
        async with self._sinks.postgres.snapshot() as snapshot:
            compared = await self.tables(snapshot, present=present)
            explain = Explanation(snapshot, self._sinks.warehouse.fingerprints)
            self._observer.phase("Looking into differences")
            explained = [
                await explain.table(one.table) if table in present else one.table
                for table, one in compared.items()
            ]
            self._observer.phase("Checking the accounting")
            books = await snapshot.books()
        return Reconciliation(
            tables=tuple(explained),
            books=books,
            since=self._span.since,
            until=self._span.until,
            seconds=time.monotonic() - began,
            cost=self._sinks.cost,
        )

    async def tables(
        self, snapshot: Snapshot, *, present: Collection[str] = tuple(LoadTable)
    ) -> Mapping[LoadTable, Compared]:
        """Compare a snapshot with the tables that are `present`; the others are empty."""
        owed, newest = await snapshot.owed(), await snapshot.newest_entries()
        stored = await self._in_postgres(snapshot, owed)
        held = await self._in_warehouse(stored, present)
        owed += await self._sinks.postgres.later_entries(newest)
        return {table: self._table(table, stored[table], held[table], owed) for table in LoadTable}

    async def differing(self, table: LoadTable, compared: Compared, parts: Sequence[Part]) -> int:
        """How many of some parts are not as the snapshot has them, asked of the warehouse again."""
        warehouse, held = self._sinks.warehouse.fingerprints, dict[Part, Fingerprint]()
        if table in _FACTS:
            days = [part for part in parts if isinstance(part, date)]
            for share in share_out(days, compared.stored, most_bytes=self._most_bytes):
                held.update(await warehouse.parts(table, share))
        else:
            held.update(await warehouse.parts(table))
        return sum(
            not compared.stored.get(part, _NOTHING).equals(held.get(part, _NOTHING))
            for part in parts
        )

    async def _in_postgres(
        self, snapshot: Snapshot, owed: Sequence[Owed]
    ) -> Mapping[LoadTable, Fingerprints]:
        found = {}
        for table in LoadTable:
            self._observer.phase(f"Adding up {_named(table)} in PostgreSQL")
            found[table] = await snapshot.parts(
                table,
                waiting={one.batch_no for one in owed if one.table == table},
                since=self._span.since,
                until=self._span.until,
            )
        return found

    async def _in_warehouse(
        self, stored: Mapping[LoadTable, Fingerprints], present: Collection[str]
    ) -> Mapping[LoadTable, Fingerprints]:
        found: dict[LoadTable, Fingerprints] = {table: {} for table in LoadTable}

        async def ask(table: LoadTable) -> None:
            if table in _FACTS:
                found[table] = await self._facts(table, stored[table])
            else:
                found[table] = await self._sinks.warehouse.fingerprints.parts(table)

        self._observer.phase("Adding up the warehouse")
        asked = [table for table in LoadTable if table in present]
        await together({f"add up {table}": ask(table) for table in asked})
        return found

    async def _facts(self, table: LoadTable, stored: Fingerprints) -> Fingerprints:
        """Days with rows in PostgreSQL, share by share; and those with rows over there only."""
        warehouse, found = self._sinks.warehouse.fingerprints, dict[Part, Fingerprint]()
        shares = list(shares_of_days(stored, most_bytes=self._most_bytes))
        for number, share in enumerate(shares, start=1):
            found.update(await warehouse.parts(table, share))
            if len(shares) > 1:
                done = f"{number} of {len(shares)} shares"
                self._observer.phase(f"Adding up {_named(table)} in the warehouse: {done}")
        days = list(chain.from_iterable(shares)) or [date.min]
        others = await warehouse.other_days(
            table,
            first=days[0],
            last=days[-1],
            since=self._span.since,
            until=self._span.until,
        )
        return {**found, **others}

    def _table(
        self,
        table: LoadTable,
        stored: Fingerprints,
        held: Fingerprints,
        owed: Sequence[Owed],
    ) -> Compared:
        waiting = [one for one in owed if one.table == table and self._span.holds(one.dates)]
        touched = {day for one in waiting for day in one.dates}
        # Entries without a batch came after the snapshot: which keys they touch is not known.
        in_motion = any(not one.dates and not one.batch_no for one in waiting)
        unequal = []
        parts = sorted({*stored, *held}, key=_order)
        for part in parts:
            here, there = stored.get(part, _NOTHING), held.get(part, _NOTHING)
            if here.equals(there):
                continue
            behind = part in touched or here.waiting or in_motion
            standing = Standing.BEHIND if behind else Standing.DIFFERS
            unequal.append(Unequal(part=part, standing=standing, postgres=here, warehouse=there))
        reconciled = TableReconciled(
            table=table.value,
            parts=len(parts),
            postgres_rows=sum(one.rows for one in stored.values()),
            warehouse_rows=sum(one.rows for one in held.values()),
            waiting_rows=sum(one.rows for one in waiting),
            waiting_files=len(waiting),
            unequal=tuple(unequal),
        )
        return Compared(table=reconciled, all=tuple(parts), stored=stored)


def _order(part: Part) -> int:
    return part.toordinal() if isinstance(part, date) else part


def _named(table: LoadTable) -> str:
    return table.value.replace("_", " ")
