"""What must hold of any bytes at all, taken for a feed of any format: shared with the fuzzer."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

from decode_support import CONTRACT, NOTHING, Decoded, Record, Rejected, cut, plain

from techmart_fast.decode import (
    array_framing,
    csv_block,
    csv_framing,
    decode,
    json_block,
    line_framing,
    window,
)
from techmart_fast.decode.csv_block import decode_csv_exactly
from techmart_fast.decode.json_block import decode_json_exactly
from techmart_fast.records import Block, DecodedBatch, Feed
from techmart_fast.sources.header import read_header

KINDS = ("ndjson", "json_array", "csv")
FEED = {"ndjson": Feed.TRANSACTIONS, "json_array": Feed.TRANSACTIONS, "csv": Feed.USERS}

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What may stand in no record: between two, before the first, behind the last.
_BETWEEN = {"ndjson": b" \t\r\n", "json_array": b" \t\r\n,[]", "csv": b"\r\n"}
_LINE_END = {"ndjson": rb"\n", "json_array": rb"\n", "csv": rb"\r\n|\r|\n"}


@contextmanager
def small_steps(size: int) -> Iterator[None]:
    """Everything that is read, looked at or parsed in steps is so in steps of about `size` bytes.

    So a few hundred bytes cross as many inner edges as a few hundred megabytes do otherwise.
    """
    steps = [
        (array_framing, "_PARSED_RUN_BYTES", size),
        (array_framing, "_SKIP_BYTES", size),
        (csv_block, "_SLICE_BYTES", size),
        (csv_block, "_LEAST_REACH_BYTES", size // 4 + 1),
        (csv_block, "_LEAST_RUN_BYTES", 1),
        (csv_framing, "_LEAST_REACH_BYTES", size // 4 + 1),
        (csv_framing, "_SKIP_BYTES", size),
        (json_block, "_SLICE_BYTES", size),
        (line_framing, "_SKIP_BYTES", size),
        (window, "_READ_BYTES", size),
    ]
    with ExitStack() as stack:
        for module, name, value in steps:
            stack.enter_context(mock.patch.object(module, name, value))
        yield


def examined(data: bytes, kind: str, *, block_bytes: int, max_record_bytes: int) -> Decoded:
    """What comes out of `data`, seen to be sound.

    The blocks follow one another from the first byte to the last. Each byte belongs to at most
    one record, and what belongs to none is white space, line ends, separators or the header. The
    fast and the exact path agree. Sizes are kept.

    Raises:
        DecodeError: it is CSV, and has no header that fits the contract.
    """
    result, end, taken = NOTHING, 0, 0
    feed = FEED[kind]
    for block in cut(
        data, kind, feed=feed, block_bytes=block_bytes, max_record_bytes=max_record_bytes
    ):
        assert block.first_byte == end
        assert block.end_byte > end
        end = block.end_byte
        assert data[block.first_byte : end].startswith(block.data)
        decoded = plain(decode(block, CONTRACT))
        items = _in_order(decoded)
        assert len(block.data) <= block_bytes or len(items) <= 1
        is_whole = len(block.data) == end - block.first_byte
        if is_whole:
            assert decoded == plain(_exactly(block))
        else:
            assert decoded.codes == ["record_too_large"]
            assert not decoded.records
        for item in items:
            assert data[item.offset : end].startswith(item.raw)
            assert len(item.raw) <= max_record_bytes
            assert item.line == 1 + len(re.findall(_LINE_END[kind], data[: item.offset]))
            _assert_is_between(data, taken, item.offset, kind)
            taken = item.offset + len(item.raw) if is_whole else end
            assert item.offset < taken <= end
        result += decoded
    assert end == len(data)
    _assert_is_between(data, taken, end, kind)
    return result


def _in_order(decoded: Decoded) -> list[Record | Rejected]:
    return sorted([*decoded.records, *decoded.rejected], key=lambda item: item.offset)


def _exactly(block: Block) -> DecodedBatch:
    exactly = decode_csv_exactly if block.source.format == "csv" else decode_json_exactly
    return exactly(block, CONTRACT)


def _assert_is_between(data: bytes, start: int, stop: int, kind: str) -> None:
    if start == 0:
        header = read_header(data) if kind == "csv" else None
        marked = len(_BYTE_ORDER_MARK) if data.startswith(_BYTE_ORDER_MARK) else 0
        start = header.end if header else marked
        assert start <= stop
    assert not data[start:stop].strip(_BETWEEN[kind])
