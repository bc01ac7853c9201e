"""Loads one feed into PostgreSQL: read, prepare in threads, share out to writers, in order.

    files ─▶ read ─▶ [raw] ─▶ prepare (threads) ─▶ [prepared] ─▶ share ─▶ [writer 0…n] ─▶ write

Everything in brackets is a channel bounded in bytes, so memory stays flat whatever comes in. Blocks
are prepared in parallel and handed on in source order: each lane sees its records as they stand
in the feed.
"""

import asyncio
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol, TypeVar

import pyarrow as pa

from techmart_fast.contract import Contract
from techmart_fast.pipeline.channel import ByteChannel
from techmart_fast.pipeline.identity import identify
from techmart_fast.pipeline.limits import RejectionLimit
from techmart_fast.pipeline.meter import Lap, Meter
from techmart_fast.pipeline.prepare import PreparedBlock, Stages, prepare, unknown_names
from techmart_fast.pipeline.progress import FeedProgress, RunObserver
from techmart_fast.pipeline.refused import BatchSink, CarefulSink, block_of
from techmart_fast.pipeline.resume import BlockSeen, resumed, seen_of, stored
from techmart_fast.pipeline.spooling import spool_rejected, spooler
from techmart_fast.pipeline.stopping import Stop
from techmart_fast.postgres import BatchOutcome, BatchWrite, DonePart, Lease, Spool
from techmart_fast.quality import QualityTally
from techmart_fast.records import (
    REJECTIONS,
    BatchIdentity,
    Block,
    Cut,
    DecodedBatch,
    Feed,
    FeedCounts,
    SourceFile,
    SpooledFile,
)
from techmart_fast.together import to_its_end
from techmart_fast.transform import Enricher
from techmart_fast.warehouse import LoadTable, SpoolFolder

Result = TypeVar("Result")
_NO_REJECTIONS = pa.RecordBatch.from_pylist([], schema=REJECTIONS)


class BlockSource(Protocol):
    """Cuts a file into blocks; runs in a thread."""

    def __call__(
        self, file: SourceFile, contract: Contract, *, block_bytes: int, max_record_bytes: int
    ) -> Iterator[Block]:
        """Blocks of one file, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """What one feed's load needs to know. Sizes in bytes; `spool_folder` holds Parquet files.

    All `files` are cut by `cut`. What is `done` of some, by fingerprint, is not decoded again. Each
    lane's batches go to one writer, in order. Files of which `resends` holds come from an API: what
    they repeat of earlier ones is no fault of theirs.
    """

    feed: Feed
    files: tuple[SourceFile, ...]
    contract: Contract
    lease: Lease
    stages: Stages
    enricher: Enricher
    run_started: datetime
    cut: Cut
    writers: int
    threads: int
    channel_bytes: int
    max_record_bytes: int
    spool_folder: SpoolFolder
    limit: RejectionLimit | None = None
    done: Mapping[str, DonePart] = field(default_factory=dict)
    resends: frozenset[str] = frozenset()
    """Fingerprints of files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedOutcome:
    """What became of one feed.

    `judged` is what its quality is scored on: all but what an earlier run has judged. `swallowed`:
    lines of CSV that rejected records reach over.
    """

    counts: FeedCounts = field(default_factory=FeedCounts)
    judged: QualityTally = field(default_factory=QualityTally)
    unknown_fields: Mapping[str, int] = field(default_factory=dict)
    bytes_read: int = 0
    swallowed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """One lane's share of a block; the first lane's carries what was seen of the whole block."""

    write: BatchWrite
    seen: QualityTally


class FeedLoad:
    """One feed's load. Make it inside the event loop, and call `run` once."""

    def __init__(
        self,
        plan: LoadPlan,
        *,
        blocks: BlockSource,
        sink: BatchSink,
        meter: Meter,
        observer: RunObserver,
        committed: Callable[[], None],
        stop: Stop,
        so_far: FeedOutcome | None = None,
    ) -> None:
        self._plan = plan
        self._blocks = blocks
        self._careful = CarefulSink(
            sink, decode=self._decode_again, spool_rejections=self._spool_rejections
        )
        self._meter = meter
        self._observer = observer
        self._committed = committed
        self._stop = stop
        self._raw: ByteChannel[Block] = ByteChannel(plan.channel_bytes)
        self._prepared: ByteChannel[asyncio.Future[PreparedBlock]] = ByteChannel(plan.channel_bytes)
        writers = min(plan.writers, plan.cut.lanes)
        self._writers: list[ByteChannel[_Share]] = [
            ByteChannel(plan.channel_bytes // writers) for _ in range(writers)
        ]
        self._outcome = so_far or FeedOutcome()
        self._decoded = self._outcome.counts.read
        self._bytes_done: dict[str, int] = {}
        self._lengths: dict[str, int] = {}

    @property
    def lengths(self) -> Mapping[str, int]:
        """Decompressed lengths of the files that were read to their ends, by fingerprint."""
        return self._lengths

    @property
    def outcome(self) -> FeedOutcome:
        """What became of the feed, `so_far` included: only what is committed is counted."""
        return self._outcome

    async def run(self) -> None:
        """Load all files of the feed; returns when everything is committed.

        Asked to stop, it reads no more, and commits what it has read.

        Raises:
            TechmartError: the first error of any part; what was committed stays committed.
        """
        plan = self._plan
        reader = ThreadPoolExecutor(1, thread_name_prefix=f"read-{plan.feed}")
        workers = ThreadPoolExecutor(plan.threads, thread_name_prefix=f"prepare-{plan.feed}")
        try:
            self._take_up()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(reader), name=f"read {plan.feed}")
                tasks.create_task(self._prepare(workers), name=f"prepare {plan.feed}")
                tasks.create_task(self._share(), name=f"share {plan.feed}")
                for writer in range(len(self._writers)):
                    tasks.create_task(self._write(writer), name=f"write {plan.feed} {writer}")
            if plan.limit is not None and not self._stop.cut_short:
                self._check(plan.limit, at_end=True)
        finally:
            # Threads can't be cancelled; what they still do is pure and short.
            reader.shutdown(wait=False, cancel_futures=True)
            workers.shutdown(wait=False, cancel_futures=True)

    async def _read(self, reader: ThreadPoolExecutor) -> None:
        plan = self._plan
        for file in plan.files:
            done = plan.done.get(file.fingerprint)
            if done is not None and done.whole:
                continue
            until = end = 0 if done is None else done.until
            blocks = self._blocks(
                file,
                plan.contract,
                block_bytes=plan.cut.block_bytes,
                max_record_bytes=plan.max_record_bytes,
            )
            try:
                while not self._stop.cuts_short():
                    began = time.perf_counter()
                    block = await _in_thread(reader, next, blocks, None)
                    if block is None:
                        self._lengths[file.fingerprint] = end
                        break
                    end = block.end_byte
                    if end <= until:
                        continue
                    size = len(block.data)
                    ended = time.perf_counter()
                    self._meter.add(Lap(stage="read", began=began, ended=ended, rows=0, bytes=size))
                    await self._raw.send(block, size)
            finally:
                await _in_thread(reader, _close, blocks)
        await self._raw.close()

    def _take_up(self) -> None:
        """Count what is done of the files: it is in no block that is prepared now."""
        for file in self._plan.files:
            done = self._plan.done.get(file.fingerprint)
            if done is None:
                continue
            taken = resumed(done, resends=file.fingerprint in self._plan.resends)
            self._decoded += taken.counts.read
            before = self._outcome
            self._outcome = replace(
                before,
                counts=before.counts + taken.counts,
                judged=before.judged + taken.judged,
                unknown_fields=unknown_names(before.unknown_fields, taken.unknown_fields),
                swallowed=before.swallowed + taken.swallowed,
            )
            self._bytes_done[file.fingerprint] = min(done.until, file.size_bytes)
        if self._plan.done:
            self._observer.progress(self._progress())
            if self._plan.limit is not None:
                self._check(self._plan.limit)

    async def _prepare(self, workers: ThreadPoolExecutor) -> None:
        plan, loop = self._plan, asyncio.get_running_loop()
        async for block in self._raw:
            future = loop.run_in_executor(workers, _prepare_block, block, plan)
            # At most one block more than threads is under way: the channel bounds the rest.
            await self._prepared.send(future, len(block.data))
        await self._prepared.close()

    async def _share(self) -> None:
        async for future in self._prepared:
            prepared = await future
            for lap in prepared.laps:
                self._meter.add(lap)
            seen = seen_of(prepared)
            self._note(prepared, seen)
            for lane, records in enumerate(prepared.lanes):
                block, contract = prepared.candidates.block, self._plan.contract
                identity = identify(block, contract, lane=lane, lanes=self._plan.cut.lanes)
                rejections = prepared.candidates.rejections if lane == 0 else _NO_REJECTIONS
                write = BatchWrite(
                    lease=self._plan.lease,
                    identity=identity,
                    candidates=records,
                    rejections=rejections,
                    read=records.num_rows + rejections.num_rows,
                    spool=self._spool(LoadTable(self._plan.feed), identity),
                    rejected_file=await self._spool_rejections(rejections, identity),
                    seen=stored(seen) if lane == 0 else {},
                )
                share = _Share(write=write, seen=seen.tally if lane == 0 else QualityTally())
                writer = self._writers[lane % len(self._writers)]
                # Many small batches take more than their columns: none counts for less than its
                # part of the source.
                part = (block.end_byte - block.first_byte) // self._plan.cut.lanes
                await writer.send(share, max(records.nbytes + rejections.nbytes, part))
        for channel in self._writers:
            await channel.close()

    async def _write(self, writer: int) -> None:
        async for share in self._writers[writer]:
            write = share.write
            rows, size = write.read, write.candidates.nbytes
            with self._meter.lap("postgres", rows=rows, size_bytes=size):
                write, outcome = await self._careful.write(writer, write)
            if outcome.skipped and write.rejected_file is not None:
                # Its rejections are in the outbox or the warehouse since the batch was committed.
                await asyncio.to_thread(write.rejected_file.path.unlink, missing_ok=True)
            self._count(share, outcome)
            self._committed()
            self._observer.progress(self._progress())
            if self._plan.limit is not None:
                self._check(self._plan.limit)

    def _check(self, limit: RejectionLimit, *, at_end: bool = False) -> None:
        # A block's rejections are in one lane: what the others still have to write is read, too.
        read = max(self._decoded, self._outcome.counts.read)
        limit.check(self._outcome.counts.rejected, read=read, at_end=at_end)

    def _decode_again(self, identity: BatchIdentity) -> DecodedBatch:
        plan, file = self._plan, identity.source
        cut = self._blocks(
            file,
            plan.contract,
            block_bytes=plan.cut.block_bytes,
            max_record_bytes=plan.max_record_bytes,
        )
        try:
            block = block_of(cut, first_byte=identity.first_byte, name=file.name)
        finally:
            _close(cut)
        return plan.stages.decode(block, plan.contract)

    def _spool(self, table: LoadTable, identity: BatchIdentity) -> Spool:
        return spooler(
            table, self._plan.spool_folder, batch_id=identity.batch_id, meter=self._meter
        )

    async def _spool_rejections(
        self, rejections: pa.RecordBatch, identity: BatchIdentity
    ) -> SpooledFile | None:
        return await spool_rejected(
            rejections, identity, folder=self._plan.spool_folder, meter=self._meter
        )

    def _note(self, prepared: PreparedBlock, seen: BlockSeen) -> None:
        block = prepared.candidates.block
        self._decoded += prepared.candidates.read
        self._outcome = replace(
            self._outcome,
            unknown_fields=unknown_names(self._outcome.unknown_fields, seen.unknown_fields),
            bytes_read=self._outcome.bytes_read + block.end_byte - block.first_byte,
            swallowed=self._outcome.swallowed + seen.swallowed,
        )

    def _count(self, share: "_Share", outcome: BatchOutcome) -> None:
        write = share.write
        counts = replace(outcome.counts, repaired=share.seen.counts.repaired)
        self._outcome = replace(self._outcome, counts=self._outcome.counts + counts)
        if outcome.judged is not None:
            resends = write.identity.source.fingerprint in self._plan.resends
            tally = QualityTally(
                counts=outcome.judged,
                flagged=outcome.flagged,
                resent=outcome.resent if resends else 0,
            )
            self._outcome = replace(self._outcome, judged=self._outcome.judged + tally + share.seen)
        source = write.identity.source
        # Compressed files have more bytes inside than on disk: they count as done at their end.
        done = min(write.identity.end_byte, source.size_bytes)
        self._bytes_done[source.fingerprint] = max(
            done, self._bytes_done.get(source.fingerprint, 0)
        )

    def _progress(self) -> FeedProgress:
        waiting = [self._raw.statistics(), self._prepared.statistics()]
        waiting += [channel.statistics() for channel in self._writers]
        return FeedProgress(
            feed=self._plan.feed,
            bytes_done=sum(self._bytes_done.values()),
            bytes_total=sum(file.size_bytes for file in self._plan.files),
            counts=self._outcome.counts,
            waiting_bytes=sum(statistics.waiting_bytes for statistics in waiting),
        )


def _prepare_block(block: Block, plan: LoadPlan) -> PreparedBlock:
    return prepare(
        block,
        plan.contract,
        stages=plan.stages,
        enricher=plan.enricher,
        run_started=plan.run_started,
        lanes=plan.cut.lanes,
    )


async def _in_thread(
    executor: ThreadPoolExecutor, function: Callable[..., Result], *arguments: object
) -> Result:
    loop = asyncio.get_running_loop()
    return await to_its_end(loop.run_in_executor(executor, function, *arguments))


def _close(blocks: Iterator[Block]) -> None:
    """Close the file under a block generator now, not when it is collected."""
    if isinstance(blocks, Generator):
        blocks.close()
