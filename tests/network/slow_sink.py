"""A load from a source of 10 GB that no disk holds, into a sink that takes one row a second.

As a script it fills the channels, and then prints what memory the process holds, each second:
`python -m tests.network.slow_sink BLOCK_BYTES RECORDS_A_BLOCK SECONDS` prints JSON.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import uvloop

from techmart_fast.contract import Contract, default_contract
from techmart_fast.errors import RefusedRowError
from techmart_fast.pipeline.channel import ByteChannel, ChannelStatistics
from techmart_fast.pipeline.load import FeedLoad, LoadPlan
from techmart_fast.pipeline.meter import Meter
from techmart_fast.pipeline.prepare import Stages
from techmart_fast.pipeline.progress import SilentObserver
from techmart_fast.pipeline.stopping import Stop
from techmart_fast.postgres import BatchOutcome, BatchWrite, Lease
from techmart_fast.records import Block, Cut, Feed, FeedCounts, SourceFile
from techmart_fast.warehouse import SpoolFolder

GIB, MIB = 1 << 30, 1 << 20
SOURCE_BYTES = 10 * GIB
SECONDS_A_ROW = 1.0
_CHANNEL_BYTES = 16 * MIB
_SETTLE_SECONDS = 5.0
"""For what is in the hands of the tasks, and for allocators to give back what the start took."""


@dataclass
class Source:
    """Blocks of valid records, made when they are asked for; each has memory of its own."""

    block_bytes: int
    records: int
    given: int = 0

    def __call__(
        self, file: SourceFile, contract: Contract, *, block_bytes: int, max_record_bytes: int
    ) -> Iterator[Block]:
        size = self.block_bytes // self.records
        lines = (_record(number, size) for number in range(self.records))
        template = bytearray(b"".join(lines))
        for number in range(SOURCE_BYTES // len(template)):
            self.given += 1
            first = number * len(template)
            yield Block(
                source=file,
                first_byte=first,
                end_byte=first + len(template),
                first_line=number * self.records + 1,
                data=bytes(template),
            )


@dataclass
class SlowSink:
    """Takes a row in `seconds_a_row`; None: takes none at all."""

    seconds_a_row: float | None = SECONDS_A_ROW
    rows: int = 0
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, writer: int, write: BatchWrite) -> BatchOutcome:
        assert write.candidates.num_rows == write.read, "the records are valid"
        self.entered.set()
        for _ in range(write.read):
            if self.seconds_a_row is None:
                await asyncio.Event().wait()
            await asyncio.sleep(self.seconds_a_row or 0.0)
            self.rows += 1
        counts = FeedCounts(read=write.read, loaded=write.read)
        return BatchOutcome(batch_id=write.identity.batch_id, counts=counts, judged=counts)

    async def refused_rows(self, writer: int, write: BatchWrite) -> Mapping[int, RefusedRowError]:
        raise AssertionError(writer, write)


def slow_load(
    source: Source, sink: SlowSink, folder: Path, *, channel_bytes: int, lanes: int = 2
) -> FeedLoad:
    """The load of that source into that sink."""
    contract, stages = default_contract(), Stages()
    file = SourceFile(
        feed=Feed.TRANSACTIONS,
        name="endless",
        path=Path("endless"),
        fingerprint="endless",
        size_bytes=SOURCE_BYTES,
        compression="none",
        format="ndjson",
        ordinal=1,
    )
    plan = LoadPlan(
        feed=Feed.TRANSACTIONS,
        files=(file,),
        contract=contract,
        lease=Lease(run_id=UUID(int=1), epoch=1, contract_version="", lease_seconds=60),
        stages=stages,
        enricher=stages.enricher(contract, None),
        run_started=datetime(2026, 1, 1, tzinfo=UTC),
        cut=Cut(block_bytes=source.block_bytes, lanes=lanes),
        writers=lanes,
        threads=2,
        channel_bytes=channel_bytes,
        max_record_bytes=MIB,
        spool_folder=SpoolFolder(folder),
    )
    return FeedLoad(
        plan,
        blocks=source,
        sink=sink,
        meter=Meter(),
        observer=SilentObserver(),
        committed=lambda: None,
        stop=Stop(),
    )


def channels(load: FeedLoad, channel_bytes: int) -> dict[ByteChannel[Any], int]:
    """The channels of a load, and the bytes that each may hold."""
    writers = dict.fromkeys(load._writers, channel_bytes // len(load._writers))
    return {load._raw: channel_bytes, load._prepared: channel_bytes, **writers}


async def filled(limits: Mapping[ByteChannel[Any], int], *, every_seconds: float = 0.01) -> None:
    """Wait until no channel has room for one more item like those in it."""

    def has_room(seen: ChannelStatistics, limit: int) -> bool:
        return seen.waiting_bytes * (seen.waiting_items + 1) <= limit * seen.waiting_items

    while any(  # noqa: ASYNC110 - they are looked at from outside
        has_room(channel.statistics(), limit) for channel, limit in limits.items()
    ):
        await asyncio.sleep(every_seconds)


def _record(number: int, size: int) -> bytes:
    record = {
        "transaction_id": f"t{number:012}",
        "user_id": f"u{number:06}",
        "product_id": f"p{number:06}",
        "amount": "12.34",
        "currency": "USD",
        "timestamp": "2025-03-01T12:00:00Z",
        "payment_method": "paypal",
        "status": "completed",
        "note": "",
    }
    room = max(0, size - len(json.dumps(record)) - 1)
    return json.dumps({**record, "note": "n" * room}).encode() + b"\n"


async def _watch(block_bytes: int, records: int, seconds: int) -> dict[str, object]:
    source, sink, process = Source(block_bytes, records), SlowSink(), psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        load = slow_load(source, sink, Path(folder), channel_bytes=_CHANNEL_BYTES)
        running = asyncio.ensure_future(load.run())
        await sink.entered.wait()
        await filled(channels(load, _CHANNEL_BYTES), every_seconds=0.1)
        await asyncio.sleep(_SETTLE_SECONDS)
        filled_blocks, began, held = source.given, time.monotonic(), []
        for second in range(1, seconds + 1):
            await asyncio.sleep(began + second - time.monotonic())
            held.append((time.monotonic() - began, process.memory_info().rss))
        running.cancel()
        await asyncio.wait([running])
    return {
        "held": held,
        "filled_blocks": filled_blocks,
        "blocks": source.given,
        "rows": sink.rows,
        "given_bytes": source.given * block_bytes,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_watch(*map(int, sys.argv[1:])))))
