"""Batch identities and lanes: what makes a rerun cut and share out the same batches."""

import hashlib
from uuid import UUID

import numpy as np
import pyarrow as pa

from techmart_fast.contract import Contract
from techmart_fast.records import BatchIdentity, Block, SourceFile


def identify(block: Block, contract: Contract, *, lane: int, lanes: int) -> BatchIdentity:
    """The identity of one lane's share of a block: its content, byte range, contract and lane."""
    source = block.source
    said = "\n".join(
        (
            source.feed,
            source.fingerprint,
            str(source.ordinal),
            f"{block.first_byte}-{block.end_byte}",
            contract.version,
            f"{lane}/{lanes}",
        )
    )
    return _identity(said, source, block.first_byte, block.end_byte, lane=lane, lanes=lanes)


def identify_replay(
    source: SourceFile, contract: Contract, run_id: UUID, *, first_byte: int, end_byte: int
) -> BatchIdentity:
    """The identity of records of `[first_byte, end_byte)` that a run replays from the quarantine.

    Of this run only: what it has accepted does not wait any more when another one looks for it.
    """
    said = "\n".join(
        (
            "replay",
            run_id.hex,
            source.feed,
            source.format,
            f"{source.ordinal}:{first_byte}-{end_byte}",
            contract.version,
        )
    )
    return _identity(said, source, first_byte, end_byte, lane=0, lanes=1)


def _identity(
    said: str, source: SourceFile, first_byte: int, end_byte: int, *, lane: int, lanes: int
) -> BatchIdentity:
    digest = hashlib.blake2b(said.encode(), digest_size=16, person=b"techmart-batch").digest()
    return BatchIdentity(
        batch_id=UUID(bytes=digest),
        feed=source.feed,
        source=source,
        first_byte=first_byte,
        end_byte=end_byte,
        lane=lane,
        lanes=lanes,
    )


def split_lanes(records: pa.RecordBatch, key: str, lanes: int) -> tuple[pa.RecordBatch, ...]:
    """Share out records to lanes by their key: all versions of an id always meet in one lane.

    Order within a lane is source order. Keys must not be null or empty.
    """
    if lanes == 1:
        return (records,)
    lane_of_row = _byte_sums(records.column(key)) % lanes
    return tuple(records.filter(pa.array(lane_of_row == lane)) for lane in range(lanes))


def _byte_sums(keys: pa.StringArray) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """The sum of each key's bytes: spreads ids evenly, whatever part of them counts up."""
    if not len(keys):
        return np.zeros(0, dtype=np.uint32)
    _, offsets_buffer, data_buffer = keys.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)
    offsets = offsets[keys.offset : keys.offset + len(keys) + 1]
    data = np.frombuffer(data_buffer, dtype=np.uint8)[: offsets[-1]]
    return np.add.reduceat(data, offsets[:-1], dtype=np.uint32)
