"""Bytes of any kind as feeds: nothing escapes, nothing is lost, and no record harms another."""

import bz2
import csv
import gzip
import io
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import csv_documents
import pyarrow as pa
from decode_support import CONTRACT, Decoded, Record, read, transaction, transactions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invariants import FEED, examined, small_steps
from json_documents import RECORDS, array_feeds, line_feeds
from orjson import dumps

from techmart_fast.decode import blocks, decode
from techmart_fast.errors import TechmartError
from techmart_fast.records import Feed
from techmart_fast.sources import discover

BLOCK_BYTES = st.sampled_from([1, 7, 40, 171, 400, 1 << 20])
MAX_RECORD_BYTES = st.sampled_from([1 << 20, 1 << 20, 400, 171, 7, 1])
STEPS = st.sampled_from([1, 3, 64, 1 << 15])
USERS_HEADER = csv_documents.HEADER + b"\n"

# What damage is made of: the signs that mean something to some format.
_SIGNS = st.sampled_from(list(b"\"'\\,:{}[]\n\r\t \0\xff\xef\xbb\xbf\x80-+.eE019truefalsn"))
_SCRAPS = st.lists(_SIGNS, max_size=30).map(bytes)
NOISE = st.one_of(st.binary(max_size=60), _SCRAPS)


@st.composite
def mutated(draw: st.DrawFn, feeds: st.SearchStrategy[bytes]) -> bytes:
    """A feed in which stretches are replaced, removed, put in or doubled."""
    data = draw(feeds)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 40)))
        stretch = draw(st.one_of(_SCRAPS, st.just(data[start:stop] * 2)))
        data = data[:start] + stretch + data[stop:]
    return data


FEEDS = {
    "ndjson": st.one_of(NOISE, mutated(line_feeds())),
    "json_array": st.one_of(NOISE, mutated(array_feeds())),
    "csv": st.one_of(NOISE, NOISE.map(USERS_HEADER.__add__), mutated(csv_documents.csv_feeds())),
}
SOUND = settings(max_examples=60, deadline=None)


def _sound(data: bytes, kind: str, block_bytes: int, max_record_bytes: int, step: int) -> None:
    with suppress(TechmartError), small_steps(step):
        found = examined(data, kind, block_bytes=block_bytes, max_record_bytes=max_record_bytes)
        whole = read(data, kind, feed=FEED[kind], max_record_bytes=max_record_bytes)
        assert found == whole


@SOUND
@given(FEEDS["ndjson"], BLOCK_BYTES, MAX_RECORD_BYTES, STEPS)
def test_any_bytes_as_lines(data: bytes, block: int, longest: int, step: int) -> None:
    _sound(data, "ndjson", block, longest, step)


@SOUND
@given(FEEDS["json_array"], BLOCK_BYTES, MAX_RECORD_BYTES, STEPS)
def test_any_bytes_as_elements(data: bytes, block: int, longest: int, step: int) -> None:
    _sound(data, "json_array", block, longest, step)


@SOUND
@given(FEEDS["csv"], BLOCK_BYTES, MAX_RECORD_BYTES, STEPS)
def test_any_bytes_as_csv(data: bytes, block: int, longest: int, step: int) -> None:
    _sound(data, "csv", block, longest, step)


COMPRESS: list[Callable[[bytes], bytes]] = [
    bytes,
    gzip.compress,
    bz2.compress,
    lambda data: bytes(pa.Codec("zstd").compress(data, asbytes=True)),
]


@settings(max_examples=60, deadline=None)
@given(
    inside=mutated(st.one_of(*FEEDS.values())),
    compress=st.sampled_from(COMPRESS),
    damage=mutated(st.just(b"")),
    place=st.integers(0, 200),
    feed=st.sampled_from(Feed),
)
def test_a_file_of_any_bytes_is_read_or_refused_with_an_error_that_is_documented(
    inside: bytes, compress: Callable[[bytes], bytes], damage: bytes, place: int, feed: Feed
) -> None:
    stored = compress(inside)
    stored = stored[:place] + damage + stored[place + len(damage) :]
    with tempfile.TemporaryDirectory() as folder, suppress(TechmartError):
        path = Path(folder, "feed")
        path.write_bytes(stored)
        (file,) = discover(feed, [str(path)], contract=CONTRACT)
        end = 0
        for block in blocks(file, CONTRACT, block_bytes=100, max_record_bytes=400):
            assert block.first_byte == end
            end = block.end_byte
            batch = decode(block, CONTRACT)
            assert batch.read == batch.records.num_rows + batch.rejections.num_rows


# --- Neighbours -----------------------------------------------------------------------------------

GOOD_COUNT = 3


def _unharmed(found: Decoded, before: bytes, bad: bytes, good: Decoded) -> None:
    """The records of `good` are there, those behind `bad` by its length further."""
    moved = []
    for record in good.records:
        behind = record.offset >= len(before)
        moved.append((record.offset + len(bad) * behind, record.raw, record.values))
    outside = [
        _placed(record)
        for record in found.records
        if record.offset < len(before) or record.offset >= len(before) + len(bad)
    ]
    assert outside == moved
    for rejected in found.rejected:
        assert len(before) <= rejected.offset < len(before) + len(bad)


def _placed(record: Record) -> tuple[int, bytes, tuple[object, ...]]:
    return record.offset, record.raw, record.values


@settings(max_examples=80, deadline=None)
@given(st.one_of(NOISE, RECORDS), st.integers(0, GOOD_COUNT), BLOCK_BYTES, STEPS)
def test_no_bytes_whatever_between_lines_harm_another_line(
    noise: bytes, place: int, block_bytes: int, step: int
) -> None:
    lines = [line + b"\n" for line in transactions(GOOD_COUNT)]
    before, behind, bad = b"".join(lines[:place]), b"".join(lines[place:]), noise + b"\n"
    good = read(before + behind, "ndjson", max_record_bytes=400)
    assert len(good.records) == GOOD_COUNT
    if bad.startswith(b"\xef\xbb\xbf") and not before:
        bad = b"\n" + bad
    with small_steps(step):
        found = read(before + bad + behind, "ndjson", block_bytes=block_bytes, max_record_bytes=400)
    _unharmed(found, before, bad, good)


USER = b'u%d,"a\r\n%d",2024-01-01,DE,,"x,y",vip\r\n'


def _is_closed(record: bytes) -> bool:
    """Whether no quote is open behind these records, as Python's csv module sees it."""
    text = record.decode("utf-8", "surrogateescape")
    *_, last = csv.reader(io.StringIO(f"{text}\nlast", newline=""))
    return last == ["last"]


CSV_SCRAPS = st.lists(st.sampled_from(['"', '""', ",", "\n", "\r", "a", "\0", "\udcff", "é"])).map(
    lambda scraps: "".join(scraps).encode("utf-8", "surrogateescape")
)


@settings(max_examples=80, deadline=None)
@given(st.one_of(NOISE, CSV_SCRAPS), st.integers(0, GOOD_COUNT), BLOCK_BYTES, STEPS)
def test_no_bytes_between_csv_records_harm_another_one_unless_they_open_a_quote(
    noise: bytes, place: int, block_bytes: int, step: int
) -> None:
    records = [USER % (number, number) for number in range(GOOD_COUNT)]
    before, behind = USERS_HEADER + b"".join(records[:place]), b"".join(records[place:])
    bad = noise + b"\n"
    good = read(before + behind, "csv", feed=Feed.USERS, max_record_bytes=400)
    assert len(good.records) == GOOD_COUNT
    with small_steps(step):
        found = read(
            before + bad + behind,
            "csv",
            feed=Feed.USERS,
            block_bytes=block_bytes,
            max_record_bytes=400,
        )
    if _is_closed(noise):
        _unharmed(found, before, bad, good)
    else:
        # CSV has no sign by which to tell: the field goes on to the next quote. What stands before
        # it is unharmed.
        assert [_placed(record) for record in found.records][:place] == [
            _placed(record) for record in good.records[:place]
        ]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    st.one_of(NOISE, RECORDS),
    st.integers(0, GOOD_COUNT),
    st.booleans(),
    BLOCK_BYTES,
    STEPS,
)
def test_no_bytes_between_elements_harm_another_one(
    noise: bytes, place: int, nested: bool, block_bytes: int, step: int
) -> None:
    elements = transactions(GOOD_COUNT)
    if nested:
        elements = [dumps(transaction(n, parts=[{"a": []}, n])) for n in range(GOOD_COUNT)]
    elements = [element + b"," for element in elements]
    before, behind, bad = (
        b"[" + b"".join(elements[:place]),
        b"".join(elements[place:]) + b"]",
        noise + b",",
    )
    good = read(before + behind, "json_array", max_record_bytes=400)
    assert len(good.records) == GOOD_COUNT
    with small_steps(step):
        found = read(
            before + bad + behind, "json_array", block_bytes=block_bytes, max_record_bytes=400
        )
    _unharmed(found, before, bad, good)
