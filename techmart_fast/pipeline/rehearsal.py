"""A run that loads nothing: the same reading and checking, then what loading would take.

The feeds go through the same pipeline into a sink that only counts. Duplicates and held records
are PostgreSQL's to tell, so every valid record counts as a row to load: the most there can be.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.contract import Contract
from techmart_fast.decode import blocks
from techmart_fast.errors import RefusedRowError
from techmart_fast.local import LocalHome
from techmart_fast.pipeline.fetching import fetch_to_look
from techmart_fast.pipeline.find import found
from techmart_fast.pipeline.leftovers import rehearsal_folder
from techmart_fast.pipeline.load import FeedLoad, LoadPlan
from techmart_fast.pipeline.meter import Meter
from techmart_fast.pipeline.prepare import Stages
from techmart_fast.pipeline.progress import RunObserver
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.pipeline.stopping import Stop
from techmart_fast.postgres import SPOOLED, BatchOutcome, BatchWrite, Lease
from techmart_fast.postgres.quarantine import reasons
from techmart_fast.records import Cut, Feed, FeedCounts, SourceFile, SpooledFile
from techmart_fast.results import WarehouseCost
from techmart_fast.settings import Settings
from techmart_fast.warehouse import (
    LoadTable,
    QueryEstimate,
    SpoolFolder,
    Touched,
    key_buckets,
    split_parts,
)

_FILLS = {"is_active": pa.scalar(True), "catalogue_ordinal": pa.scalar(0, pa.int64())}
"""What PostgreSQL adds to the rows of a product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTable:
    """What would be loaded into a table of the warehouse. Load jobs are free."""

    rows: int
    parquet_bytes: int
    load_jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run would take. `days` counts those that have new transactions.

    Of `feeds`, `loaded` are all valid records. A query in `queries` would read what a dry run says
    of the tables as they are, and, of the facts, the new rows whole: about, and rather too much.
    """

    files: Mapping[Feed, tuple[SourceFile, ...]]
    feeds: Mapping[Feed, FeedCounts]
    tables: Mapping[LoadTable, PlannedTable]
    days: int
    queries: tuple[QueryEstimate, ...]
    cost: WarehouseCost

    def to_dict(self) -> dict[str, object]:
        """The object that `run --dry-run --json` prints."""
        return {
            "status": "planned",
            "feeds": {
                feed.value: {
                    "files": len(self.files[feed]),
                    "bytes": sum(file.size_bytes for file in self.files[feed]),
                    "read": counts.read,
                    "valid": counts.loaded,
                    "rejected": counts.rejected,
                    "rejected_by_reason": dict(sorted(counts.rejected_by_reason.items())),
                }
                for feed, counts in self.feeds.items()
            },
            "tables": {
                table.value: {
                    "rows": planned.rows,
                    "parquet_bytes": planned.parquet_bytes,
                    "load_jobs": planned.load_jobs,
                }
                for table, planned in self.tables.items()
            },
            "days": self.days,
            "queries": [{"name": one.name, "bytes": one.bytes_read} for one in self.queries],
            "warehouse_cost": {
                "jobs": self.cost.jobs,
                "bytes_billed": self.cost.bytes_billed,
                "usd": self.cost.usd,
                "modelled": self.cost.modelled,
            },
        }


async def rehearse(
    sources: Mapping[Feed, Sequence[str]],
    *,
    settings: Settings,
    contract: Contract,
    observer: RunObserver,
) -> RunPlan:
    """Read and check the sources, ask the warehouse what it would read, and load nothing.

    PostgreSQL is not used. The stand-in is started where no project is set.

    Raises:
        TechmartError: the sources can't be read, or the warehouse does not answer.
    """
    home = LocalHome(settings.home).create()
    observer.phase("Looking at the input")
    sink, counts = _CountingSink(), dict[Feed, FeedCounts]()
    async with found(sources, contract=contract, spool=home.spool) as finding:
        looked = await finding.whole()
        with rehearsal_folder(home.spool) as folder:
            files = {feed: list(of_feed) for feed, of_feed in looked.files.items()}
            for feed, endpoint in looked.endpoints.items():
                fetched = await fetch_to_look(
                    feed, endpoint, contract=contract, folder=folder, observer=observer
                )
                files.setdefault(feed, []).extend([fetched] if fetched else [])
            numbered = {feed: _numbered(of_feed) for feed, of_feed in files.items()}
            for feed in Feed:
                if numbered.get(feed):
                    observer.phase(f"Checking {feed}")
                    plan = _load_plan(feed, numbered[feed], settings, contract, folder)
                    load = FeedLoad(
                        plan,
                        blocks=blocks,
                        sink=sink,
                        meter=Meter(),
                        observer=observer,
                        committed=lambda: None,
                        stop=Stop(),
                    )
                    await load.run()
                    counts[feed] = load.outcome.counts
    observer.phase("Asking the warehouse")
    async with open_sinks(settings, postgres=False) as sinks:
        stored = await sinks.warehouse.estimate(
            tuple(sink.files), sink.days, sink.touched, contract.analytics
        )
        queries = tuple(_with_new_rows(one, sink.new_bytes) for one in stored)
        tables = _tables(sink.files, settings.bigquery.load_job_bytes)
        return RunPlan(
            files=numbered,
            feeds=counts,
            tables=tables,
            days=len(sink.days),
            queries=queries,
            cost=WarehouseCost(
                jobs=len(queries) + sum(table.load_jobs for table in tables.values()),
                bytes_billed=sum(one.bytes_billed for one in queries),
                price_per_tib=sinks.price_per_tib,
                modelled=sinks.local.standin is not None,
            ),
        )


class _CountingSink:
    """Takes batches and keeps what is known of their Parquet and their keys."""

    def __init__(self) -> None:
        self.touched = Touched()
        self.files: dict[LoadTable, list[SpooledFile]] = {}
        self.days: set[date] = set()
        self.new_bytes: Counter[LoadTable] = Counter()

    async def write(self, _writer: int, write: BatchWrite) -> BatchOutcome:
        """Count a batch as if all of it were new."""
        feed, records = write.identity.feed, write.candidates
        if records.num_rows:
            file = await write.spool(_as_spooled(feed, records))
            await self._take(file)
            self.new_bytes[LoadTable(feed)] += records.nbytes
            self.touched += _touched(feed, records)
        if write.rejected_file is not None:
            await self._take(write.rejected_file)
        return BatchOutcome(
            batch_id=write.identity.batch_id,
            counts=FeedCounts(
                read=write.read,
                loaded=records.num_rows,
                rejected=write.rejections.num_rows,
                rejected_by_reason=reasons(write.rejections),
            ),
            judged=None,
        )

    async def refused_rows(self, _writer: int, _write: BatchWrite) -> Mapping[int, RefusedRowError]:
        """None: whatever is valid is counted."""
        return {}

    async def _take(self, file: SpooledFile) -> None:
        self.files.setdefault(LoadTable(file.table), []).append(file)
        if file.table == LoadTable.TRANSACTIONS:
            self.days.update(file.dates)
        await asyncio.to_thread(file.path.unlink)


def _touched(feed: Feed, records: pa.RecordBatch) -> Touched:
    def buckets(column: str) -> frozenset[int]:
        return key_buckets(pc.unique(records.column(column).drop_null()).to_pylist())

    if feed is Feed.USERS:
        return Touched(changed_users=buckets("user_id"))
    if feed is Feed.PRODUCTS:
        return Touched(changed_products=buckets("product_id"))
    return Touched(users=buckets("user_id"), products=buckets("product_id"))


def _numbered(files: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
    return tuple(replace(file, ordinal=number) for number, file in enumerate(files, start=1))


def _load_plan(
    feed: Feed, files: tuple[SourceFile, ...], settings: Settings, contract: Contract, folder: Path
) -> LoadPlan:
    pipeline, stages = settings.pipeline, Stages()
    return LoadPlan(
        feed=feed,
        files=files,
        contract=contract,
        # Nobody else is kept out, as nothing is written.
        lease=Lease(run_id=uuid4(), epoch=0, contract_version=contract.version, lease_seconds=0.0),
        stages=stages,
        enricher=stages.enricher(contract, None),
        run_started=datetime.now(UTC),
        cut=Cut(block_bytes=pipeline.block_bytes, lanes=1),
        writers=1,
        threads=pipeline.decode_threads or 2,
        channel_bytes=pipeline.channel_bytes,
        max_record_bytes=pipeline.max_record_bytes,
        spool_folder=SpoolFolder(folder, pipeline.spool_compression),
    )


def _as_spooled(feed: Feed, records: pa.RecordBatch) -> pa.RecordBatch:
    schema = SPOOLED[feed]
    columns = [
        records.column(name)
        if name in records.schema.names
        else pa.repeat(_FILLS[name], records.num_rows)
        for name in schema.names
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _with_new_rows(one: QueryEstimate, new_bytes: Mapping[LoadTable, int]) -> QueryEstimate:
    step, _, subject = one.name.partition("/")
    table = LoadTable.TRANSACTIONS if step == "partials" else None
    if step == "merge":
        table = LoadTable(subject)
    return one if table is None else replace(one, bytes_read=one.bytes_read + new_bytes[table])


def _tables(
    files: Mapping[LoadTable, Sequence[SpooledFile]], load_job_bytes: int
) -> dict[LoadTable, PlannedTable]:
    return {
        table: PlannedTable(
            rows=sum(file.rows for file in of_table),
            parquet_bytes=sum(file.size_bytes for file in of_table),
            load_jobs=len(split_parts(of_table, load_job_bytes=load_job_bytes)),
        )
        for table, of_table in files.items()
    }
