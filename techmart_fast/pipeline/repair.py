"""Sends PostgreSQL's rows of days and buckets again, and replaces what the warehouse has of them.

What a repair sends is one snapshot, taken under the lease and compared with the warehouse: nothing
is repaired that is equal. It goes through the spool and the staging table as every row does, but
replaces whole parts instead of merging versions. Wherever it is interrupted, it can be run again.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

import pyarrow as pa

from techmart_fast.errors import SinksDifferError, WarehouseError
from techmart_fast.fingerprints import Part
from techmart_fast.pipeline.meter import Meter
from techmart_fast.pipeline.progress import RunObserver
from techmart_fast.pipeline.reconcile import Comparison
from techmart_fast.pipeline.sinks import Sinks
from techmart_fast.pipeline.synced import Repaired
from techmart_fast.postgres import EXPORTED, Lease, Snapshot
from techmart_fast.records import SpooledFile
from techmart_fast.together import together
from techmart_fast.transform import Enricher
from techmart_fast.warehouse import (
    JOB_FAILED,
    STAGING_ROWS,
    LoadGroup,
    LoadPart,
    LoadTable,
    SpoolFolder,
    part_bytes,
    split_parts,
    write_spool,
)

FILE_BYTES = 64 << 20
"""Of Arrow in one spooled file: what is in memory at a time, with a page and the file itself."""

_MOST_ATTEMPTS = 3


class Repair:
    """One repair, under the lease of its run."""

    def __init__(
        self,
        *,
        sinks: Sinks,
        lease: Lease,
        enricher: Enricher,
        observer: RunObserver,
        meter: Meter,
        folder: SpoolFolder,
        load_job_bytes: int,
    ) -> None:
        self._sinks = sinks
        self._lease = lease
        self._enricher = enricher
        self._observer = observer
        self._meter = meter
        self._folder = folder
        self._load_job_bytes = load_job_bytes
        self._staging: list[str] = []
        self._covered: list[int] = []
        self.done: dict[str, Repaired] = {}

    async def replace(
        self, comparison: Comparison, snapshot: Snapshot, *, whole: bool
    ) -> list[LoadGroup]:
        """Replace what is not equal (or all: `whole`); returns the groups that carried it.

        Raises:
            LeaseHeldError: another run took over; it made sure that nothing more is changed here.
            WarehouseError, SpoolError: a table could not be sent; tables before it are repaired.
            SinksDifferError: what was sent is not what is there now.
        """
        self._covered = [one.entry_id for one in await snapshot.owed()]
        groups = []
        for table, compared in (await comparison.tables(snapshot)).items():
            parts = compared.all if whole else compared.unequal
            if not parts:
                continue
            groups.append(await self._table(table, snapshot, parts))
            self._observer.phase(f"Comparing {_named(table)} again")
            if left := await comparison.differing(table, compared, parts):
                raise SinksDifferError(
                    f"{left} of {len(parts)} parts of {table} differ, although they were sent.",
                    hint="Something else writes to the warehouse or to PostgreSQL. Sync again.",
                )
        return groups

    async def end(self, groups: Sequence[LoadGroup]) -> None:
        """What was replaced is computed, too: the repair is done, and with it what waited."""
        await self._sinks.postgres.end_repairs(self._lease, self._staging, covered=self._covered)
        await self._sinks.warehouse.discard(groups)

    async def _table(
        self, table: LoadTable, snapshot: Snapshot, parts: Sequence[Part]
    ) -> LoadGroup:
        named = _named(table)
        self._observer.phase(f"Reading {named} from PostgreSQL")
        files = [one async for one in self._spooled(table, snapshot, parts)]
        group = self._group(table, files, attempt=1)
        self._observer.phase(f"Sending {named} again")
        while True:
            try:
                await self._load(group)
                # From here on a run that takes over drops the staging table first.
                await self._sinks.postgres.confirm(self._lease)
                await self._sinks.warehouse.replace(group, parts)
                break
            except WarehouseError as error:
                hopeless = group.attempt == _MOST_ATTEMPTS
                if error.reason not in {JOB_FAILED, STAGING_ROWS} or hopeless:
                    raise
                if error.transient:
                    await self._sinks.warehouse.pause(group.attempt)
                group = self._group(table, files, attempt=group.attempt + 1)
        for file in files:
            await asyncio.to_thread(file.path.unlink, missing_ok=True)
        self.done[table.value] = Repaired(parts=len(parts), rows=group.rows)
        return replace(group, other_dates=frozenset(p for p in parts if not isinstance(p, int)))

    async def _load(self, group: LoadGroup) -> None:
        await self._sinks.postgres.begin_repair(self._lease, group.staging_table)
        self._staging.append(group.staging_table)
        with self._meter.lap("warehouse load", rows=group.rows):
            first, *others = group.parts
            await self._sinks.warehouse.load(first)
            await together(
                {f"load {one.job_id}": self._sinks.warehouse.load(one) for one in others}
            )

    def _group(self, table: LoadTable, files: Sequence[SpooledFile], *, attempt: int) -> LoadGroup:
        shares = split_parts(files, load_job_bytes=part_bytes(0, self._load_job_bytes))
        return LoadGroup(
            parts=tuple(
                LoadPart(
                    group_id=f"r{self._lease.run_id.hex}",
                    table=table,
                    part=number,
                    attempt=attempt,
                    members=share,
                )
                for number, share in enumerate(shares)
            )
        )

    async def _spooled(
        self, table: LoadTable, snapshot: Snapshot, parts: Sequence[Part]
    ) -> AsyncIterator[SpooledFile]:
        """The rows as durable files; at least one, be it empty: it is what replaces then."""
        gathered: list[pa.Table] = []
        number = 0
        async with aclosing(snapshot.pages(table, parts)) as pages:
            async for page in pages:
                gathered.append(page)
                if sum(one.nbytes for one in gathered) >= FILE_BYTES:
                    yield await asyncio.to_thread(self._write, table, gathered, number)
                    gathered, number = [], number + 1
        if gathered or not number:
            gathered = gathered or [EXPORTED[table].empty_table()]
            yield await asyncio.to_thread(self._write, table, gathered, number)

    def _write(self, table: LoadTable, pages: Sequence[pa.Table], number: int) -> SpooledFile:
        rows = pa.concat_tables(pages)
        if table is LoadTable.TRANSACTIONS:
            rows = self._enricher.restore(rows)
        return write_spool(
            rows,
            table=table,
            folder=self._folder,
            name=f"{table}-repair-{number}",
            batch_id=None,
        )


def _named(table: LoadTable) -> str:
    return table.value.replace("_", " ")
