"""Memory stays bounded by the block, whatever the size and the shape of a file."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from decode_support import CONTRACT, source, transactions

from techmart_fast.decode import blocks
from techmart_fast.records import Block, Feed

MIB = 1 << 20
TOTAL = 16 * MIB
BLOCK = MIB
MAX_RECORD = 64 << 10
ONE = transactions(1)[0]


def _write(path: Path, start: bytes, repeated: bytes, end: bytes) -> None:
    chunk = repeated * (MIB // len(repeated))
    with path.open("wb") as file:
        file.write(start)
        for _ in range(TOTAL // MIB):
            file.write(chunk)
        file.write(end)


def _peak(file_blocks: Iterator[Block]) -> tuple[int, int]:
    count = 0
    tracemalloc.start()
    try:
        for block in file_blocks:
            count += 1
            del block
        return tracemalloc.get_traced_memory()[1], count
    finally:
        tracemalloc.stop()


@dataclass(frozen=True)
class Shape:
    kind: str
    start: bytes
    repeated: bytes
    end: bytes
    least_blocks: int


HEADER = b"user_id,email,registration_date,country\n"


@pytest.mark.parametrize(
    "shape",
    [
        Shape("json_array", b"[", ONE + b",", ONE + b"]", 16),
        Shape("json_array", b"[", ONE[:-1] + b',"tags":["a",{"b":[]}]},', ONE + b"]", 16),
        Shape("json_array", b"[", b'garbage { "', ONE + b"]", 2),
        Shape("json_array", b"[", b"[", b"", 1),
        Shape("json_array", b'[{"note":"', b"x" * 100, b'"},' + ONE + b"]", 2),
        Shape("ndjson", b"", ONE + b"\n", b"", 16),
        Shape("ndjson", b'{"note":"', b"x" * 100, b'"}\n' + ONE, 2),
        Shape("csv", HEADER, b"u1,e,2024-01-01,DE\n", b"", 16),
        Shape("csv", HEADER, b'u1,"e\n",2024-01-01,DE\n', b"", 16),
        Shape("csv", HEADER + b'u1,"', b"x\n,", b"", 2),
    ],
)
def test_blocks_of_a_large_file_cost_a_few_blocks_of_memory(tmp_path: Path, shape: Shape) -> None:
    path = tmp_path / "feed"
    _write(path, shape.start, shape.repeated, shape.end)
    feed = Feed.USERS if shape.kind == "csv" else Feed.TRANSACTIONS
    file = source(path, shape.kind, feed)
    peak, count = _peak(blocks(file, CONTRACT, block_bytes=BLOCK, max_record_bytes=MAX_RECORD))
    assert count >= shape.least_blocks
    assert peak < 8 * MIB
