"""The way from PostgreSQL's outbox into the warehouse: load jobs while the run goes on, then MERGE.

PostgreSQL is the authority. Whatever goes wrong here loses nothing: entries stay in the outbox,
and the next run carries on with the jobs that this one stored before it submitted them.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from techmart_fast.contract import Contract
from techmart_fast.errors import SpoolDamagedError, WarehouseError
from techmart_fast.pipeline.mending import Mender, spooled
from techmart_fast.pipeline.meter import Lap, Meter
from techmart_fast.postgres import Lease, OutboxEntry, OutboxGroup, PostgresSink
from techmart_fast.records import SpooledFile
from techmart_fast.together import together
from techmart_fast.warehouse import (
    JOB_FAILED,
    STAGING_ROWS,
    LoadGroup,
    LoadPart,
    LoadTable,
    Refreshed,
    WarehouseSink,
    part_bytes,
    split_parts,
)

_MOST_REPEATS = 2
_OF_LOAD_GROUP = re.compile(r"staging_[a-z_]+_g[0-9a-f]{32}_[0-9]+")
"""Staging tables of load groups; a repair's has another letter."""

_Key = tuple[str, LoadTable, int]


class Publisher:
    """Publishes outbox entries of one run, and what earlier runs left.

    All parts of a table belong to one load group of the run: they are loaded into its staging
    table as they come, and merged once at the end.
    """

    def __init__(
        self,
        *,
        postgres: PostgresSink,
        warehouse: WarehouseSink,
        lease: Lease,
        contract: Contract,
        load_job_bytes: int,
        meter: Meter,
        mender: Mender,
    ) -> None:
        self._postgres = postgres
        self._warehouse = warehouse
        self._lease = lease
        self._contract = contract
        self._load_job_bytes = load_job_bytes
        self._meter = meter
        self._mender = mender
        self._wake = asyncio.Event()
        self._closing = False
        self._parts: dict[_Key, list[tuple[LoadPart, OutboxGroup]]] = {}
        self._part_numbers: Counter[LoadTable] = Counter()
        self._again: Counter[tuple[str, LoadTable]] = Counter()
        self.published: dict[str, int] = {}

    def wake(self) -> None:
        """Entries were committed."""
        self._wake.set()

    def close(self) -> None:
        """No more entries will be committed in this run: load what is left, then return."""
        self._closing = True
        self._wake.set()

    async def load_until_closed(self) -> None:
        """Load parts as soon as enough entries wait; ends after `close`, with all loaded.

        Raises:
            WarehouseError, SpoolError: a part can't be loaded.
        """
        await self._take_over()
        while True:
            await self._wake.wait()
            self._wake.clear()
            closing = self._closing
            await self._load_pending(everything=closing)
            if closing:
                return

    async def publish(self, *, everything: bool = False) -> Refreshed:
        """Merge all loaded groups, recompute what they touched, and mark them published.

        `everything` recomputes all partials and rollups, touched or not.
        """
        await self._merge_all()
        groups = [self._group(members) for members in self._parts.values()]
        began = time.perf_counter()
        refreshed = await self._warehouse.refresh(
            groups, self._contract.analytics, everything=everything
        )
        if groups:
            self._meter.add(
                Lap(
                    stage="rollups",
                    began=began,
                    ended=time.perf_counter(),
                    rows=sum(group.rows for group in groups),
                    bytes=0,
                )
            )
        published = [stored for members in self._parts.values() for _, stored in members]
        if published:
            await self._postgres.mark_published(self._lease, [one.group_id for one in published])
            merged = [group.staging_table for group in groups]
            await self._postgres.end_repairs(self._lease, merged)
            for one in published:
                await asyncio.to_thread(_remove_spooled, one.entries)
        await self._warehouse.discard(groups)
        self._parts.clear()
        return refreshed

    async def _take_over(self) -> None:
        """Go on with the groups that an earlier run stored: the same jobs, found by their ids.

        What it was repairing is not gone on with: its rows may be older than what was loaded since.
        Nor what it was merging: that is loaded and merged again, with the dates of all that came.
        """
        await abandon_repairs(self._postgres, self._warehouse, self._lease)
        for stored in await self._postgres.open_groups():
            if stored.job_id is None:
                # Bound, but no job was ever stored for it: it gets one now, as if it were new.
                await self._load_stored(stored)
            else:
                await self._load(LoadPart.of_job(stored.job_id, _members(stored.entries)), stored)

    async def _load_pending(self, *, everything: bool) -> None:
        for table in LoadTable:
            entries = await self._postgres.pending_entries(table)
            by_path = {Path(entry.path): entry for entry in entries}
            wanted = part_bytes(self._part_numbers[table], self._load_job_bytes)
            shares = split_parts(_members(entries), load_job_bytes=wanted)
            if shares and not everything and _size(shares[-1]) < wanted:
                shares = shares[:-1]
            for share in shares:
                chosen = [by_path[member.path].entry_id for member in share]
                stored = await self._postgres.store_group(self._lease, table, chosen)
                await self._load_stored(stored)

    async def _load_stored(self, stored: OutboxGroup) -> None:
        """Load a group's entries as the next part of this run's load group of their table."""
        table, group_id = LoadTable(stored.table), f"g{self._lease.run_id.hex}"
        number = self._part_numbers[table]
        self._part_numbers[table] += 1
        attempts = [
            attempt for group, of, attempt in self._parts if (group, of) == (group_id, table)
        ]
        part = LoadPart(
            group_id=group_id,
            table=table,
            part=number,
            attempt=max(attempts, default=1),
            members=_members(stored.entries),
        )
        await self._postgres.store_attempt(
            self._lease, stored.group_id, attempt=part.attempt, job_id=part.job_id
        )
        await self._load(part, stored)

    async def _load(self, part: LoadPart, stored: OutboxGroup) -> None:
        self._parts.setdefault(_key(part), []).append((part, stored))
        await self._load_parts([part])

    async def _load_parts(self, parts: Sequence[LoadPart]) -> None:
        """Load parts of one group; when a job failed for good, its whole group once more."""
        waiting = list(parts)
        while waiting:
            part = waiting.pop(0)
            try:
                with self._meter.lap("warehouse load", rows=part.rows, size_bytes=part.size_bytes):
                    await self._warehouse.load(part)
            except SpoolDamagedError:
                waiting.insert(0, await self._mend(part))
            except WarehouseError as error:
                if error.reason != JOB_FAILED or self._is_hopeless(_key(part)):
                    raise
                if error.transient:
                    await self._warehouse.pause(self._again[_key(part)[:2]] + 1)
                waiting = await self._next_attempt(_key(part))

    async def _mend(self, part: LoadPart) -> LoadPart:
        """The same part with files that are what was written; it takes the part's place."""
        members = self._parts[_key(part)]
        place = next(number for number, (one, _) in enumerate(members) if one == part)
        stored = await self._mender.mended(members[place][1])
        mended = replace(part, members=_members(stored.entries))
        members[place] = (mended, stored)
        return mended

    async def _merge_all(self) -> None:
        """Merge groups of different tables at the same time, those of one table in turn."""
        await together({f"merge into {table}": self._merge_table(table) for table in LoadTable})

    async def _merge_table(self, table: LoadTable) -> None:
        merged: set[_Key] = set()
        while waiting := [key for key in self._parts if key[1] is table and key not in merged]:
            key = waiting[0]
            group = self._group(self._parts[key])
            # From here on a run that takes over drops the staging table first: this MERGE may wait
            # in a queue for hours, and does not know the dates of what is loaded after it.
            await self._postgres.begin_repair(self._lease, group.staging_table)
            try:
                with self._meter.lap("warehouse merge", rows=group.rows):
                    written = (await self._warehouse.merge(group)).written
            except WarehouseError as error:
                if error.reason != STAGING_ROWS or self._is_hopeless(key):
                    raise
                again = await self._next_attempt(key)
                # Parts that join a merged group make it one that is not merged.
                merged.discard(_key(again[0]))
                await self._load_parts(again)
                continue
            merged.add(key)
            self.published[table] = self.published.get(table, 0) + written

    def _is_hopeless(self, key: _Key) -> bool:
        """Whether this run has tried often enough; what earlier runs tried does not count."""
        return self._again[key[:2]] >= _MOST_REPEATS

    async def _next_attempt(self, key: _Key) -> list[LoadPart]:
        """Give all parts of a group their next attempt: a failed job's id can't be used again.

        The attempt is stored for every part before any of its jobs is submitted. A run that died
        in between left parts of one group under two attempts; here they come together again.
        """
        self._again[key[:2]] += 1
        again = [
            (replace(part, attempt=part.attempt + 1), stored)
            for part, stored in self._parts.pop(key)
        ]
        for part, stored in again:
            await self._postgres.store_attempt(
                self._lease, stored.group_id, attempt=part.attempt, job_id=part.job_id
            )
        self._parts.setdefault(_key(again[0][0]), []).extend(again)
        return [part for part, _ in again]

    def _group(self, members: Sequence[tuple[LoadPart, OutboxGroup]]) -> LoadGroup:
        """The group of these parts, with the dates of *all* open parts of its table.

        A row may have moved on in another open group, which may be merged already (by a run that
        died before it could say so): its own dates alone would not find the row where it is now.
        """
        table = members[0][0].table
        touched = {
            day
            for key, open_members in self._parts.items()
            if key[1] is table
            for _, stored in open_members
            for entry in stored.entries
            for day in entry.dates
        }
        return LoadGroup(parts=tuple(part for part, _ in members), other_dates=frozenset(touched))


async def abandon_repairs(postgres: PostgresSink, warehouse: WarehouseSink, lease: Lease) -> None:
    """See to it that repairs and merges that earlier runs left change nothing any more.

    Their rows are not lost: a group whose staging table is gone is loaded again.
    """
    left = await postgres.open_repairs(lease)
    merges = [table for table in left if _OF_LOAD_GROUP.fullmatch(table)]
    await warehouse.shut_out(merges)
    await warehouse.abandon([table for table in left if table not in merges])
    if left:
        await postgres.end_repairs(lease, left)


def _key(part: LoadPart) -> _Key:
    """What parts of one staging table share."""
    return part.group_id, part.table, part.attempt


def _members(entries: Sequence[OutboxEntry]) -> tuple[SpooledFile, ...]:
    return tuple(spooled(entry) for entry in entries)


def _size(members: Sequence[SpooledFile]) -> int:
    return sum(member.size_bytes for member in members)


def _remove_spooled(entries: Sequence[OutboxEntry]) -> None:
    for entry in entries:
        Path(entry.path).unlink(missing_ok=True)
