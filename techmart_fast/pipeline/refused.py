"""Rows that PostgreSQL refuses leave their batch and become its rejections, with their bytes."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
import pyarrow as pa

from techmart_fast.errors import RefusedRowError, SourceChangedError
from techmart_fast.postgres import BatchOutcome, BatchWrite
from techmart_fast.reasons import REASONS
from techmart_fast.records import (
    KEY_FIELD,
    REJECTIONS,
    BatchIdentity,
    Block,
    DecodedBatch,
    Feed,
    SpooledFile,
)

_CODE = "refused_by_database"
_PLACE = ("source_offset", "source_line", "source_length")

Decode = Callable[[BatchIdentity], DecodedBatch]
"""Reads and decodes the block of a batch once more."""

SpoolRejections = Callable[[pa.RecordBatch, BatchIdentity], Awaitable[SpooledFile | None]]


class BatchSink(Protocol):
    """What the last stage writes to: PostgreSQL, or a sink that only counts."""

    async def write(self, writer: int, write: BatchWrite) -> BatchOutcome:
        """Commit one batch on a writer's connection."""

    async def refused_rows(self, writer: int, write: BatchWrite) -> Mapping[int, RefusedRowError]:
        """The rows of a batch that was refused, and why; writes nothing."""


class CarefulSink:
    """Writes batches; rows that PostgreSQL refuses become rejections of their batch."""

    def __init__(
        self, sink: BatchSink, *, decode: Decode, spool_rejections: SpoolRejections
    ) -> None:
        self._sink = sink
        self._decode = decode
        self._spool_rejections = spool_rejections

    async def write(self, writer: int, write: BatchWrite) -> tuple[BatchWrite, BatchOutcome]:
        """Commit a batch; what was committed, and what became of it.

        Raises:
            RefusedRowError: no row alone is what PostgreSQL refuses, or too many are.
            SinkError: anything else.
        """
        try:
            return write, await self._sink.write(writer, write)
        except RefusedRowError:
            refused = await self._sink.refused_rows(writer, write)
            if not refused:
                raise
        # Their bytes are gone by now, as blocks are many: they are read again.
        decoded = await asyncio.to_thread(self._decode, write.identity)
        cleaned = without(write, refused, places_in(decoded))
        rejected_file = await self._spool_rejections(cleaned.rejections, cleaned.identity)
        if write.rejected_file is not None:
            await asyncio.to_thread(write.rejected_file.path.unlink, missing_ok=True)
        cleaned = replace(cleaned, rejected_file=rejected_file)
        return cleaned, await self._sink.write(writer, cleaned)


def block_of(blocks: Iterator[Block], *, first_byte: int, name: str) -> Block:
    """The block of a file that begins at a byte; blocks are cut the same way every time.

    Raises:
        SourceChangedError: the file has none any more.
    """
    for block in blocks:
        if block.first_byte == first_byte:
            return block
    raise SourceChangedError(
        f"{name} was changed while it was being read.", hint="Run again when it is complete."
    )


def without(
    write: BatchWrite,
    refused: Mapping[int, RefusedRowError],
    places: Mapping[int, tuple[int, bytes]],
) -> BatchWrite:
    """The same batch, some of whose candidates are rejections.

    `places` has line and bytes of each record by its offset.
    """
    rows = np.array(sorted(refused), dtype=np.int64)
    key = KEY_FIELD[write.identity.feed]
    dated = write.identity.feed is Feed.TRANSACTIONS
    told = []
    for number, record in zip(rows, write.candidates.take(pa.array(rows)).to_pylist(), strict=True):
        offset = record["source_offset"]
        line, raw = places[offset]
        told.append(
            {
                "code": _CODE,
                "field": None,
                "message": f"{REASONS[_CODE].message}: {refused[int(number)].args[0]}",
                "source_offset": offset,
                "source_line": line,
                "raw": raw,
                "record_key": record[key],
                "record_date": record["transaction_date"] if dated else None,
            }
        )
    rejections = pa.Table.from_batches(
        [write.rejections, pa.RecordBatch.from_pylist(told, schema=REJECTIONS)]
    ).combine_chunks()
    kept = np.delete(np.arange(write.candidates.num_rows), rows)
    return replace(
        write,
        candidates=write.candidates.take(pa.array(kept)),
        rejections=rejections.to_batches()[0],
    )


def places_in(decoded: DecodedBatch) -> dict[int, tuple[int, bytes]]:
    """Line and bytes of each record by its offset in the file; for the rare block only."""
    data, first = decoded.block.data, decoded.block.first_byte
    columns = (decoded.records.column(name) for name in _PLACE)
    return {
        offset: (line, data[offset - first : offset - first + length])
        for offset, line, length in zip(*(one.to_pylist() for one in columns), strict=True)
    }
