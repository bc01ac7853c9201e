"""Feeds made to cost memory or time: both stay in proportion to the limits that are set.

Memory is what Python and numpy take (tracemalloc) plus what Arrow takes, over reading and decoding.
The files are a hundred times as large as both limits, so that keeping any of them would be seen.
"""

import gzip
import signal
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import pyarrow as pa
import pytest
from decode_support import CONTRACT, source, transactions
from invariants import FEED, small_steps

from techmart_fast.decode import blocks, decode

KIB = 1 << 10
BLOCK = 32 * KIB
MAX_RECORD = 8 * KIB
STEP = 64 * KIB
SIZE = 4 << 20
BUFFERS = 16 * STEP
"""What no limit sets: a few steps of reading and decompressing, which are 1 MiB elsewhere."""
ONE = transactions(1)[0]
HEADER = b"user_id,email,registration_date,country,age_group,customer_tier\n"
TINY = 256
DEADLINE_SECONDS = 600


@dataclass(frozen=True)
class Hostile:
    """A feed that begins, repeats something without end, and may end."""

    kind: str
    start: bytes
    repeated: bytes
    end: bytes = b""
    limits: int = 24
    """How many times both limits it may take. The tiniest records need up to 500 bytes each."""

    def of(self, size: int) -> bytes:
        return self.start + self.repeated * (size // len(self.repeated)) + self.end


HOSTILE = {
    "a line without end": Hostile("ndjson", b'{"a":"', b"x"),
    "empty lines": Hostile("ndjson", ONE + b"\n", b"\n", limits=TINY),
    "lines of blanks": Hostile("ndjson", b"", b" " * 999 + b"\n"),
    "the shortest lines": Hostile("ndjson", b"", b"0\n", limits=TINY),
    "empty objects": Hostile("ndjson", b"", b"{}\n", limits=TINY),
    "lines of brackets": Hostile("ndjson", b"", b"[" * 9_999 + b"\n"),
    "lines of long numbers": Hostile("ndjson", b"", b'{"amount":' + b"9" * 9_999 + b"}\n"),
    "lines of long exponents": Hostile("ndjson", b"", b'{"amount":1e' + b"9" * 9_999 + b"}\n"),
    "lines of many names": Hostile(
        "ndjson", b"", b"{" + b",".join(b'"n%d":1' % n for n in range(2_000)) + b"}\n"
    ),
    "names that are new in every line": Hostile(
        "ndjson", b"", b"".join(b'{"' + b"n%d" % n * 20 + b'":1}\n' for n in range(5_000))
    ),
    "lines of escapes": Hostile("ndjson", b"", b'{"status":"' + b"\\u0041" * 999 + b'"}\n'),
    "an array without end": Hostile("json_array", b"[", ONE + b","),
    "brackets that open": Hostile("json_array", b"[", b"["),
    "brackets that open and close": Hostile("json_array", b"[", b"[],", limits=TINY),
    "objects that open": Hostile("json_array", b"[", b'{"a":'),
    "objects in arrays that open": Hostile("json_array", b"[", b'{"a":[{"b":1},'),
    "nested values that close": Hostile(
        "json_array", b"[x", b'[{"a":[1,2],"b":' * 400 + b"0" + b"}]" * 400
    ),
    "broken nested objects": Hostile("json_array", b"[", b'{"a":[{"b":1]},'),
    "empty elements": Hostile("json_array", b"[", b","),
    "the shortest elements": Hostile("json_array", b"[", b"0,", limits=TINY),
    "empty objects as elements": Hostile("json_array", b"[", b"{},", limits=TINY),
    "a string without end": Hostile("json_array", b'["', b"{"),
    "a string of quotes": Hostile("json_array", b"[", b'"'),
    "escaped quotes": Hostile("json_array", b'["', b'{\\"a\\":'),
    "backslashes": Hostile("json_array", b'["', b"\\"),
    "white space between elements": Hostile("json_array", b"[" + ONE, b" ", b"," + ONE + b"]"),
    "a number without end": Hostile("json_array", b"[", b"1"),
    "closing brackets": Hostile("json_array", b"[", b"]"),
    "a quoted field without end": Hostile("csv", HEADER + b'u1,"', b"x"),
    "a quoted field of line ends": Hostile("csv", HEADER + b'u1,"', b"\r\n"),
    "a quoted field of quotes": Hostile("csv", HEADER + b'u1,"', b'""'),
    "quotes that open everywhere": Hostile("csv", HEADER, b'"a"b,"\n'),
    "a record without end": Hostile("csv", HEADER, b","),
    "line ends": Hostile("csv", HEADER, b"\n", limits=TINY),
    "carriage returns": Hostile("csv", HEADER, b"\r", limits=TINY),
    "the shortest records": Hostile("csv", HEADER, b"x\n", limits=TINY),
    "empty records": Hostile("csv", HEADER, b",,,,,\n", limits=TINY),
    "records that are half quoted": Hostile("csv", HEADER, b'",\n",,,,,x"y\n'),
}
QUICK = {
    "a line without end",
    "lines of long numbers",
    "an array without end",
    "brackets that open",
    "a string without end",
    "a number without end",
    "white space between elements",
    "a quoted field without end",
    "a quoted field of line ends",
}
EVERY = pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
QUICK_ONES = pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(hostile, id=name, marks=[] if name in QUICK else pytest.mark.torture)
        for name, hostile in HOSTILE.items()
    ],
)


@contextmanager
def _deadline(seconds: int) -> Iterator[None]:
    """Breaks off what takes longer, also within a regular expression."""

    def give_up(signum: int, frame: FrameType | None) -> None:
        raise AssertionError(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _memory() -> Iterator[list[int]]:
    """Collects the peak, in bytes, when the context ends."""
    peaks: list[int] = []
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        yield peaks
        peaks.append(tracemalloc.get_traced_memory()[1] + (pool.max_memory() or 0))
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


def _most_memory(hostile: Hostile) -> int:
    return BUFFERS + hostile.limits * (BLOCK + MAX_RECORD)


def _load(path: Path, kind: str, compression: str = "plain") -> int:
    """Read and decode a file; returns the number of records that were read."""
    file = replace(source(path, kind, FEED[kind]), compression=compression)
    read = 0
    with small_steps(STEP):
        for block in blocks(file, CONTRACT, block_bytes=BLOCK, max_record_bytes=MAX_RECORD):
            read += decode(block, CONTRACT).read
    return read


@QUICK_ONES
def test_memory_is_bounded_by_the_limits(tmp_path: Path, hostile: Hostile) -> None:
    path = tmp_path / "feed"
    path.write_bytes(hostile.of(SIZE // 4 if hostile.limits == TINY else SIZE))
    with _deadline(DEADLINE_SECONDS), _memory() as peaks:
        _load(path, hostile.kind)
    assert peaks[0] < _most_memory(hostile)


@pytest.mark.parametrize(
    "name", ["a line without end", "brackets that open", "a quoted field without end"]
)
def test_a_small_file_that_decompresses_to_a_large_one_costs_no_more(
    tmp_path: Path, name: str
) -> None:
    hostile, path = HOSTILE[name], tmp_path / "feed"
    path.write_bytes(gzip.compress(hostile.of(8 * SIZE), compresslevel=9, mtime=0))
    assert path.stat().st_size < SIZE / 10
    with _deadline(DEADLINE_SECONDS), _memory() as peaks:
        _load(path, hostile.kind, "gzip")
    assert peaks[0] < _most_memory(hostile)


@pytest.mark.torture
@EVERY
def test_four_times_the_bytes_take_no_more_than_four_times_the_work(
    tmp_path: Path, hostile: Hostile
) -> None:
    path, seconds = tmp_path / "feed", []
    for size in (SIZE // 16, SIZE // 4):
        path.write_bytes(hostile.of(size))
        began = time.process_time()
        _load(path, hostile.kind)
        seconds.append(time.process_time() - began)
    # Sixteen times would be quadratic. What takes a moment has no ratio.
    assert seconds[1] < 9 * max(seconds[0], 0.1)
