"""The fast path and the exact path give the same records and the same rejections."""

from unittest import mock

import pytest
from decode_support import CONTRACT, plain, transaction, whole
from hypothesis import example, given, settings
from hypothesis import strategies as st
from json_documents import array_feeds, line_feeds
from orjson import dumps

from techmart_fast.decode import json_block
from techmart_fast.decode.json_block import decode_json, decode_json_exactly

SLICES = st.sampled_from([1, 150, 700, 1 << 20])


def _agree(data: bytes, kind: str, slice_bytes: int) -> None:
    block = whole(data, kind)
    with mock.patch.object(json_block, "_SLICE_BYTES", slice_bytes):
        fast = plain(decode_json(block, CONTRACT))
    assert fast == plain(decode_json_exactly(block, CONTRACT))


@settings(max_examples=100, deadline=None)
@given(data=line_feeds(), slice_bytes=SLICES)
@example(b'{"extra":1}\n{"extra":NaN}', 1000)
@example(b'{"extra":1}\n{"extra":[Infinity]}', 1000)
@example(b'{}\n{"status":"a\\u0000"}', 1000)
@example(b'{"extra":{"a":\n1}}\n{}{}\n{"extra":2}', 1000)
@example(b'{"extra":1}\n{"extra":' + b"[" * 1100 + b"]" * 1100 + b"}", 1000)
def test_lines(data: bytes, slice_bytes: int) -> None:
    _agree(data, "ndjson", slice_bytes)


@settings(max_examples=100, deadline=None)
@given(data=array_feeds(), slice_bytes=SLICES)
def test_elements(data: bytes, slice_bytes: int) -> None:
    _agree(data, "json_array", slice_bytes)


@pytest.mark.parametrize("text", ["1e29", '"1e29"', "-1e29", "10e28", "0.1e30", "100e27", "9e28"])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_numbers_at_the_limit_of_decimals(text: str, count: int) -> None:
    """Arrow makes a decimal of 39 digits of the first number that has no place in 38."""
    lines = [dumps(transaction(number)) for number in range(count)]
    lines[0] = dumps(transaction(7)).replace(b"7.25", text.encode())
    _agree(b"\n".join(lines), "ndjson", 1 << 20)


@pytest.mark.parametrize("kind", ["ndjson", "json_array"])
def test_a_long_block_with_scattered_faults_of_every_kind(kind: str) -> None:
    faults = [
        b'{"transaction_id":"a","amount":12x}',
        dumps(transaction(1, amount=True)),
        dumps(transaction(2, user_id=5)),
        dumps(transaction(3)).replace(b"3.25", b"3.12345678901234567"),
        dumps(transaction(4, amount="n/a")),
        dumps(transaction(5))[:-1] + b',"status":"failed"}',
        dumps(transaction(6, note={"deep": [{"deeper": []}]})),
        b'{"transaction_id":"\\ud800"}',
    ]
    pieces = [
        faults[number // 40 % len(faults)] if number % 40 == 7 else dumps(transaction(number))
        for number in range(4_000)
    ]
    data = b"\n".join(pieces) if kind == "ndjson" else b"[" + b",\n".join(pieces) + b"]"
    for slice_bytes in (30_000, 1 << 20):
        _agree(data, kind, slice_bytes)
