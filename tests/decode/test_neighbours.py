"""What stands between good records, whatever it is, harms none of them.

Two formats have a kind of damage that no reader can tell from good records; a test says so of each.
"""

import csv
import io

import pytest
from broken import NOISE, forms, holds_for
from csv_documents import HEADER, SIGNS
from decode_support import Record, read, transaction, transactions
from hypothesis import strategies as st
from invariants import FEED, small_steps
from json_documents import RECORDS
from orjson import dumps
from rfc8259 import is_json_text

COUNT = 3
LONGEST = 400
BLOCK_BYTES = st.sampled_from([1, 7, 40, 171, 400, 1 << 20])
STEPS = st.sampled_from([1, 3, 64, 1 << 15])
PLACES = st.integers(0, COUNT)
USER = b'u%d,"a\r\n%d",2024-01-01,DE,,"x,y",vip\r\n'

Placed = tuple[int, bytes, tuple[object, ...]]


def _placed(record: Record) -> Placed:
    return record.offset, record.raw, record.values


def _harms_none(
    kind: str,
    before: bytes,
    bad: bytes,
    behind: bytes,
    *,
    block_bytes: int = 1 << 20,
    longest: int = LONGEST,
) -> None:
    """Good records with `bad` between them are those without it, only further back."""
    good = read(before + behind, kind, feed=FEED[kind], max_record_bytes=longest)
    assert len(good.records) == COUNT
    found = read(
        before + bad + behind,
        kind,
        feed=FEED[kind],
        block_bytes=block_bytes,
        max_record_bytes=longest,
    )
    start, stop = len(before), len(before) + len(bad)
    outside = [record for record in found.records if not start <= record.offset < stop]
    assert [_placed(record) for record in outside] == [
        (offset + len(bad) * (offset >= start), raw, values)
        for offset, raw, values in map(_placed, good.records)
    ]
    assert all(start <= rejected.offset < stop for rejected in found.rejected)


@forms(40, 5_000)
def test_between_lines_any_bytes(examples: int) -> None:
    def harmless(noise: bytes, place: int, block_bytes: int, step: int) -> None:
        lines = [line + b"\n" for line in transactions(COUNT)]
        before, behind = b"".join(lines[:place]), b"".join(lines[place:])
        with small_steps(step):
            _harms_none("ndjson", b"\n" + before, noise + b"\n", behind, block_bytes=block_bytes)

    holds_for(examples, harmless, st.one_of(NOISE, RECORDS), PLACES, BLOCK_BYTES, STEPS)


def _leaves_no_quote_open(record: bytes) -> bool:
    text = record.decode("utf-8", "surrogateescape")
    *_, last = csv.reader(io.StringIO(f"{text}\nlast", newline=""))
    return last == ["last"]


@forms(40, 10_000)
def test_between_csv_records_any_bytes_that_leave_no_quote_open(examples: int) -> None:
    def harmless(noise: bytes, place: int, block_bytes: int, step: int) -> None:
        records = [USER % (number, number) for number in range(COUNT)]
        before, behind = b"\n".join([HEADER, *records[:place]]), b"".join(records[place:])
        with small_steps(step):
            _harms_none("csv", before + b"\n", noise + b"\n", behind, block_bytes=block_bytes)

    noises = st.one_of(NOISE, SIGNS).filter(_leaves_no_quote_open)
    holds_for(examples, harmless, noises, PLACES, BLOCK_BYTES, STEPS)


@pytest.mark.parametrize("block_bytes", [1, 40, 1 << 20])
def test_an_open_quote_in_csv_goes_on_to_the_next_one_and_harms_none_before_and_none_behind(
    block_bytes: int,
) -> None:
    plain = [b"u%d,e,2024-01-01,DE,,,vip\n" % number for number in range(6)]
    data = b"".join([HEADER, b"\n", *plain[:2], b'bad,"', *plain[2:4], b'",,\n', *plain[4:]])
    decoded = read(data, "csv", feed=FEED["csv"], block_bytes=block_bytes)
    assert [record.values[0] for record in decoded.records] == ["u0", "u1", "u4", "u5"]
    assert decoded.codes == ["invalid_csv"]


def _opens_no_array(noise: bytes) -> bool:
    """Whether no good elements behind it, and the last bracket, make a good array of it."""
    openings = (place for place, symbol in enumerate(noise) if symbol == ord("["))
    return not any(is_json_text(noise[place:] + b",0]") for place in openings)


@forms(40, 10_000)
def test_between_elements_any_bytes_that_do_not_open_an_array(examples: int) -> None:
    def harmless(noise: bytes, place: int, nested: bool, block_bytes: int, step: int) -> None:
        more = {"parts": [{"a": []}, 1]} if nested else {}
        elements = [dumps(transaction(number, **more)) + b"," for number in range(COUNT)]
        before, behind = b"".join([b"[", *elements[:place]]), b"".join(elements[place:]) + b"]"
        with small_steps(step):
            _harms_none("json_array", before, noise + b",", behind, block_bytes=block_bytes)

    noises = st.one_of(NOISE, RECORDS).filter(_opens_no_array)
    holds_for(examples, harmless, noises, PLACES, st.booleans(), BLOCK_BYTES, STEPS)


@pytest.mark.parametrize(
    "bad",
    [
        b"[",
        b'["',
        b'{"a":[1',
        b'{"a":[{"b":',
        # As many as there may be, and more than may be nested.
        b'{"a":{"b":' * 40,
        b'{"a":[{"b":1},' * 40,
        b'{"a":[{"b":1},' * 2_000,
        # Broken ones in a row, none of which looks like a record.
        b'{"a":[{"b":1]},' * 40,
        b'{"a":[{"b":1}]x},' * 40,
        b'{"a":[{"\\":1}]},' * 40,
    ],
    ids=lambda bad: repr(bad[:20]),
)
@pytest.mark.parametrize("more", [{}, {"parts": [{"a": []}, 1]}], ids=["flat", "nested"])
@pytest.mark.parametrize("longest", [LONGEST, 1 << 20])
def test_between_elements_brackets_that_never_close(
    bad: bytes, more: dict[str, object], longest: int
) -> None:
    first, *others = (dumps(transaction(number, **more)) + b"," for number in range(COUNT))
    _harms_none("json_array", b"[" + first, bad + b",", b"".join(others) + b"]", longest=longest)


def test_an_array_that_opens_and_goes_on_with_good_elements_is_one_record_with_them() -> None:
    first, *others = transactions(COUNT)
    decoded = read(b"[" + b",".join([first, b"[1", *others]) + b"]", "json_array")
    # Valid JSON up to its end; only the outer bracket is missing, and the file may be cut off.
    assert [record.values[0] for record in decoded.records] == ["t-0"]
    assert decoded.codes == ["not_an_object"]
