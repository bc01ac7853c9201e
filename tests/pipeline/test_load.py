"""A feed's load over fakes: order, counts, back-pressure, the first error, cancellation."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pytest

from techmart_fast.contract import Contract, default_contract
from techmart_fast.errors import SinkError, SourceChangedError
from techmart_fast.pipeline.load import FeedLoad, LoadPlan
from techmart_fast.pipeline.meter import Meter
from techmart_fast.pipeline.prepare import Stages
from techmart_fast.pipeline.progress import FeedProgress, FetchProgress
from techmart_fast.pipeline.stopping import Stop
from techmart_fast.postgres import BatchOutcome, BatchWrite, Lease
from techmart_fast.records import Block, Cut, DecodedBatch, Feed, FeedCounts, SourceFile
from techmart_fast.transform import Enricher
from techmart_fast.warehouse import SpoolFolder
from tests.validate.decoded import TRANSACTION, decoded

_RECORDS_A_BLOCK = 10


def _file(name: str, blocks: int) -> SourceFile:
    return SourceFile(
        feed=Feed.TRANSACTIONS,
        name=name,
        path=Path(name),
        fingerprint=name,
        size_bytes=blocks * 100,
        compression="none",
        format="ndjson",
        ordinal=len(name),
    )


@dataclass
class _Blocks:
    """Gives `size_bytes // 100` blocks a file and counts how far it was asked."""

    given: int = 0
    closed: int = 0
    fail_at: int | None = None

    def __call__(
        self, file: SourceFile, contract: Contract, *, block_bytes: int, max_record_bytes: int
    ) -> Iterator[Block]:
        try:
            for number in range(file.size_bytes // 100):
                if self.given == self.fail_at:
                    raise SourceChangedError(f"{file.name} changed while it was read.")
                self.given += 1
                yield Block(
                    source=file,
                    first_byte=number * 100,
                    end_byte=number * 100 + 100,
                    first_line=1,
                    data=bytes(100),
                )
        finally:
            self.closed += 1


def _decode(block: Block, contract: Contract) -> DecodedBatch:
    first = block.first_byte // 100 * _RECORDS_A_BLOCK
    records = [
        {**TRANSACTION, "transaction_id": f"{block.source.name}-{first + number:04d}"}
        for number in range(_RECORDS_A_BLOCK)
    ]
    batch = decoded(Feed.TRANSACTIONS, records)
    return DecodedBatch(block=block, records=batch.records, rejections=batch.rejections)


@dataclass
class _Sink:
    """Remembers what each lane was given; can wait at a gate, fail, and notice cancellation."""

    lanes: dict[int, list[str]] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    fail_after: int | None = None
    writes: int = 0
    cancelled: int = 0
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, lane: int, write: BatchWrite) -> BatchOutcome:
        if self.writes == self.fail_after:
            self.fail_after = None
            raise SinkError("The server went away.", transient=True)
        self.writes += 1
        self.entered.set()
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        ids = write.candidates.column("transaction_id").to_pylist()
        self.lanes.setdefault(lane, []).extend(ids)
        counts = FeedCounts(read=write.read, loaded=len(ids))
        return BatchOutcome(batch_id=write.identity.batch_id, counts=counts, judged=counts)


class _Observer:
    def __init__(self) -> None:
        self.seen: list[FeedProgress] = []

    def phase(self, name: str) -> None:
        raise AssertionError(name)

    def fetching(self, progress: FetchProgress) -> None:
        raise AssertionError(progress)

    def progress(self, progress: FeedProgress) -> None:
        self.seen.append(progress)


def _load(
    blocks: _Blocks,
    sink: _Sink,
    files: tuple[SourceFile, ...],
    *,
    folder: Path = Path(),
    lanes: int = 2,
    writers: int | None = None,
    channel_bytes: int = 1000,
    decode: object = _decode,
    stop: Stop | None = None,
) -> tuple[FeedLoad, _Observer]:
    observer = _Observer()
    contract = default_contract()
    plan = LoadPlan(
        feed=Feed.TRANSACTIONS,
        files=files,
        contract=contract,
        lease=Lease(run_id=UUID(int=1), epoch=1, contract_version="", lease_seconds=60),
        stages=Stages(decode=decode),  # type: ignore[arg-type]  # also functions that fail
        enricher=Enricher(contract),
        run_started=datetime(2026, 1, 1, tzinfo=UTC),
        cut=Cut(block_bytes=100, lanes=lanes),
        writers=writers or lanes,
        threads=2,
        channel_bytes=channel_bytes,
        max_record_bytes=100,
        spool_folder=SpoolFolder(folder),
    )
    load = FeedLoad(
        plan,
        blocks=blocks,
        sink=sink,
        meter=Meter(),
        observer=observer,
        committed=lambda: None,
        stop=stop or Stop(),
    )
    return load, observer


async def test_every_record_reaches_its_lane_once_in_source_order() -> None:
    sink, files = _Sink(), (_file("a", 7), _file("bb", 5))
    load, observer = _load(_Blocks(), sink, files)
    await load.run()
    everything = [identifier for ids in sink.lanes.values() for identifier in ids]
    expected = [f"a-{n:04d}" for n in range(70)] + [f"bb-{n:04d}" for n in range(50)]
    assert sorted(everything) == sorted(expected)
    assert set(sink.lanes) == {0, 1}
    for ids in sink.lanes.values():
        assert ids == sorted(ids, key=expected.index)
    counts = load.outcome.counts
    assert (counts.read, counts.loaded) == (120, 120)
    assert load.outcome.bytes_read == 1200
    assert observer.seen[-1].bytes_done == observer.seen[-1].bytes_total == 1200


async def test_a_writer_has_several_lanes_where_there_are_more_lanes_than_writers() -> None:
    sink, expected = _Sink(), [f"a-{n:04d}" for n in range(30)]
    load, _ = _load(_Blocks(), sink, (_file("a", 3),), lanes=5, writers=2)
    await load.run()
    assert set(sink.lanes) == {0, 1}
    assert sorted(sink.lanes[0] + sink.lanes[1]) == expected
    assert sink.writes == 3 * 5


async def test_a_sink_that_stands_still_stops_the_reading() -> None:
    gate = asyncio.Event()
    blocks, sink = _Blocks(), _Sink(gate=gate)
    load, _ = _load(blocks, sink, (_file("a", 500),), channel_bytes=1000)
    running = asyncio.ensure_future(load.run())
    last = -1
    while blocks.given != last or not sink.writes:
        last = blocks.given
        for _ in range(200):
            await asyncio.sleep(0.001)
    assert blocks.given < 100
    gate.set()
    await running
    assert load.outcome.counts.read == 5000


async def test_the_first_error_wins_and_what_was_committed_is_still_counted() -> None:
    blocks, sink = _Blocks(), _Sink(fail_after=6)
    load, _ = _load(blocks, sink, (_file("a", 50),))
    with pytest.RaisesGroup(SinkError):
        await load.run()
    counts = load.outcome.counts
    assert counts.read == sum(len(ids) for ids in sink.lanes.values())
    assert counts.adds_up
    assert blocks.closed == 1


async def test_a_source_that_fails_midway_ends_the_load_with_its_error() -> None:
    blocks = _Blocks(fail_at=3)
    load, _ = _load(blocks, _Sink(), (_file("a", 50),))
    with pytest.RaisesGroup(SourceChangedError):
        await load.run()
    assert blocks.closed == 1


async def test_an_error_in_a_stage_ends_the_load() -> None:
    def broken(block: Block, contract: Contract) -> DecodedBatch:
        raise ZeroDivisionError

    load, _ = _load(_Blocks(), _Sink(), (_file("a", 5),), decode=broken)
    with pytest.RaisesGroup(ZeroDivisionError):
        await load.run()


async def test_a_cancelled_load_leaves_no_task_and_closes_its_source() -> None:
    blocks, sink = _Blocks(), _Sink(gate=asyncio.Event())
    load, _ = _load(blocks, sink, (_file("a", 50),))
    running = asyncio.ensure_future(load.run())
    await sink.entered.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sink.cancelled >= 1
    assert blocks.closed == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_cancelling_while_a_thread_reads_waits_for_the_thread() -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow(_Blocks):
        def __call__(
            self, file: SourceFile, contract: Contract, *, block_bytes: int, max_record_bytes: int
        ) -> Iterator[Block]:
            try:
                entered.set()
                leave.wait(10)
                yield from ()
            finally:
                self.closed += 1

    blocks = Slow()
    load, _ = _load(blocks, _Sink(), (_file("a", 5),))
    running = asyncio.ensure_future(load.run())
    await asyncio.to_thread(entered.wait, 10)
    running.cancel()
    leave.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert blocks.closed == 1


async def test_an_empty_feed_is_loaded_at_once() -> None:
    load, _ = _load(_Blocks(), _Sink(), (_file("a", 0),))
    await load.run()
    assert load.outcome.counts == FeedCounts()


async def test_rejections_go_with_the_first_lane_and_add_up(tmp_path: Path) -> None:
    def decode_with_faults(block: Block, contract: Contract) -> DecodedBatch:
        records = [
            {
                **TRANSACTION,
                "transaction_id": f"t{number}",
                "amount": "x" if number % 5 == 0 else "1",
            }
            for number in range(_RECORDS_A_BLOCK)
        ]
        batch = decoded(Feed.TRANSACTIONS, records)
        return DecodedBatch(block=block, records=batch.records, rejections=batch.rejections)

    seen: list[tuple[int, int, pa.RecordBatch]] = []

    class Remembering(_Sink):
        async def write(self, lane: int, write: BatchWrite) -> BatchOutcome:
            seen.append((lane, write.read, write.rejections))
            return await super().write(lane, write)

    load, _ = _load(
        _Blocks(), Remembering(), (_file("a", 1),), folder=tmp_path, decode=decode_with_faults
    )
    await load.run()
    assert {lane: rejections.num_rows for lane, _, rejections in seen} == {0: 2, 1: 0}
    assert sum(read for _, read, _ in seen) == _RECORDS_A_BLOCK
    (rejected,) = await asyncio.to_thread(list, tmp_path.glob("rejected_transactions-*.parquet"))
    assert rejected.suffix == ".parquet"
