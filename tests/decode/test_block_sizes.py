"""However a file is cut into blocks, the same records and rejections come out."""

from csv_documents import csv_feeds
from decode_support import cut, read, transactions
from hypothesis import given, settings
from hypothesis import strategies as st
from json_documents import array_feeds, line_feeds

from techmart_fast.records import Feed

BLOCK_BYTES = st.one_of(st.integers(1, 400), st.sampled_from([1, 2, 1000, 1 << 16]))
MAX_RECORD_BYTES = st.sampled_from([1 << 20, 1 << 20, 1, 20, 170, 600])


@settings(max_examples=100, deadline=None)
@given(data=line_feeds(), block_bytes=BLOCK_BYTES, max_record_bytes=MAX_RECORD_BYTES)
def test_lines(data: bytes, block_bytes: int, max_record_bytes: int) -> None:
    expected = read(data, "ndjson", max_record_bytes=max_record_bytes)
    found = read(data, "ndjson", block_bytes=block_bytes, max_record_bytes=max_record_bytes)
    assert found == expected


@settings(max_examples=100, deadline=None)
@given(data=array_feeds(), block_bytes=BLOCK_BYTES, max_record_bytes=MAX_RECORD_BYTES)
def test_elements(data: bytes, block_bytes: int, max_record_bytes: int) -> None:
    expected = read(data, "json_array", max_record_bytes=max_record_bytes)
    found = read(data, "json_array", block_bytes=block_bytes, max_record_bytes=max_record_bytes)
    assert found == expected


@settings(max_examples=100, deadline=None)
@given(data=csv_feeds(), block_bytes=BLOCK_BYTES, max_record_bytes=MAX_RECORD_BYTES)
def test_csv(data: bytes, block_bytes: int, max_record_bytes: int) -> None:
    expected = read(data, "csv", feed=Feed.USERS, max_record_bytes=max_record_bytes)
    found = read(
        data, "csv", feed=Feed.USERS, block_bytes=block_bytes, max_record_bytes=max_record_bytes
    )
    assert found == expected


def test_blocks_are_as_large_as_allowed() -> None:
    data = b"\n".join(transactions(500))
    sizes = [len(block.data) for block in cut(data, "ndjson", block_bytes=10_000)]
    assert all(9_000 < size <= 10_000 for size in sizes[:-1])
    array = b"[" + b",".join(transactions(500)) + b"]"
    sizes = [len(block.data) for block in cut(array, "json_array", block_bytes=10_000)]
    assert all(9_000 < size <= 10_000 for size in sizes[:-1])
