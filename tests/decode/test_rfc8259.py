"""JSON verdicts are those of RFC 8259, wherever a text stands and whichever path reads it.

Stricter than the grammar on purpose are `STRICTER` and, for fields of a feed, their types and NUL.
Laxer is nothing but the array's separators: see `elements`.
"""

import json
from decimal import Decimal

import pytest
from broken import forms, holds_for, mutated
from decode_support import CONTRACT, Record, Rejected, read, transactions
from invariants import examined
from rfc8259 import (
    ACCEPTED,
    NUMBERS,
    REJECTED,
    STRICTER,
    STRINGS,
    TEXTS,
    has_lone_surrogate,
    is_json_text,
)

from techmart_fast.decode.json_layout import line_pieces
from techmart_fast.decode.json_native import NativeJson
from techmart_fast.decode.json_plan import JsonPlan
from techmart_fast.records import Feed

WHITE_SPACE = b" \t\r\n"
NO_JSON = {"invalid_json", "invalid_utf8", "too_deep"}
PLAN = JsonPlan.of(Feed.TRANSACTIONS, CONTRACT)
MOST = 1 << 20


def _item(text: bytes, kind: str) -> Record | Rejected | None:
    """What became of `text` as a record between good ones, if it was taken for one record."""
    first, last = transactions(2)
    between = b"\n" if kind == "ndjson" else b",\n"
    data = between.join([first, text, last])
    if kind == "json_array":
        data = b"[" + data + b"]"
    decoded = examined(data, kind, block_bytes=MOST, max_record_bytes=MOST)
    assert [decoded.records[0].raw, decoded.records[-1].raw] == [first, last]
    for item in (*decoded.records[1:-1], *decoded.rejected):
        if item.raw == text.strip(WHITE_SPACE):
            return item
    return None


def _is_taken(item: Record | Rejected | None) -> bool:
    return isinstance(item, Record) or (item is not None and item.code not in NO_JSON)


def _places(text: bytes) -> list[tuple[bytes, str]]:
    """The text as a record and as a member's value, of each field's type, in each format."""
    members = [b'{"%s":%s}' % (name, text) for name in (b"extra", b"amount", b"status")]
    arrays = [(member, "json_array") for member in members[:1]]
    # A newline ends a line wherever it stands.
    return arrays if b"\n" in text else arrays + [(line, "ndjson") for line in (text, *members)]


@pytest.mark.parametrize("text", ACCEPTED, ids=lambda text: repr(text[:20]))
def test_what_the_grammar_allows_is_accepted(text: bytes) -> None:
    assert is_json_text(text)
    for record, kind in _places(text):
        assert _is_taken(_item(record, kind)), (record[:80], kind)


@pytest.mark.parametrize("text", REJECTED, ids=lambda text: repr(text[:20]))
def test_what_the_grammar_does_not_allow_is_rejected(text: bytes) -> None:
    assert not is_json_text(text)
    for record, kind in _places(text):
        item = _item(record, kind)
        assert not _is_taken(item), (record[:80], kind)
        # An empty line is no record. In an array several may come of a broken one.
        assert item or kind == "json_array" or not record.strip(WHITE_SPACE)


@pytest.mark.parametrize("text", STRICTER, ids=lambda text: repr(text[:20]))
def test_what_is_rejected_beyond_the_grammar(text: bytes) -> None:
    assert is_json_text(text)
    for record, kind in _places(text)[:1] + _places(text)[2:]:
        item = _item(record, kind)
        assert isinstance(item, Rejected)
        assert item.code == STRICTER[text]


def test_a_byte_order_mark_is_skipped_at_the_start_of_a_file_and_nowhere_else() -> None:
    mark, (first, last) = b"\xef\xbb\xbf", transactions(2)
    for data, kind, codes in (
        (mark + first + b"\n" + last, "ndjson", []),
        (mark + b"[" + first + b"," + last + b"]", "json_array", []),
        (mark + mark + first + b"\n" + last, "ndjson", ["invalid_json"]),
        (first + b"\n" + mark + last, "ndjson", ["invalid_json"]),
        (first + mark + b"\n" + last, "ndjson", ["invalid_json"]),
    ):
        decoded = read(data, kind)
        assert decoded.codes == codes
        assert len(decoded.records) == 2 - len(codes)


def test_of_a_name_that_stands_twice_the_last_value_counts_in_every_place() -> None:
    for text, value in (
        (b'{"status":"a","status":"b"}', "b"),
        (b'{"status":"a","status":null}', None),
        (b'{"status":5,"status":"b"}', "b"),
        (b'{"status":"a","\\u0073tatus":"b"}', "b"),
    ):
        for kind in ("ndjson", "json_array"):
            item = _item(text, kind)
            assert isinstance(item, Record)
            assert item.values[-1] == value


def _native_takes(text: bytes) -> bool:
    pieces = line_pieces(text, first_line=1, at_start=False)
    return NativeJson(pieces, PLAN, ("extra",)).parse(0, 1) is not None


def test_the_native_reader_itself_takes_nothing_that_the_grammar_refuses() -> None:
    refused = [*REJECTED, *STRICTER]
    one_line = [text for text in refused if b"\n" not in text]
    for name in (b"extra", b"amount", b"status", b"transaction_id"):
        for text in one_line:
            assert not _native_takes(b'{"%s":%s}' % (name, text)), text[:80]
    taken = [text for text in ACCEPTED if _native_takes(b'{"extra":%s}' % text)]
    assert len(taken) > len(ACCEPTED) / 2, "else the fast path is not what is tested here"


def _verdict_is_that_of_the_grammar(text: bytes) -> None:
    for record, kind in _places(text):
        item, is_json = _item(record, kind), is_json_text(record)
        if is_json and not has_lone_surrogate(record):
            assert _is_taken(item)
        else:
            assert not _is_taken(item)


@forms(30, 5_000)
def test_verdicts_on_texts_of_the_grammar(examples: int) -> None:
    holds_for(examples, _verdict_is_that_of_the_grammar, TEXTS)


@forms(50, 10_000)
def test_verdicts_on_texts_of_the_grammar_that_were_damaged(examples: int) -> None:
    texts = mutated(TEXTS, times=2).filter(lambda text: b"\n" not in text)
    holds_for(examples, _verdict_is_that_of_the_grammar, texts)


def _values_are_those_of_the_json_module(string: str, number: str) -> None:
    for kind in ("ndjson", "json_array"):
        text = f'{{"status":{string},"amount":{number}}}'.encode()
        if has_lone_surrogate(text):
            return
        item = _item(text, kind)
        status = json.loads(string)
        if "\0" in status:
            assert isinstance(item, Rejected)
            assert item.code == "nul_character"
        else:
            assert isinstance(item, Record)
            assert item.values[-1] == status
            # Whatever the number's size: its text is kept, or its value exactly.
            assert item.values[3] == number or item.values[3] == Decimal(number)


@forms(30, 5_000)
def test_strings_and_numbers_are_those_of_the_json_module(examples: int) -> None:
    holds_for(examples, _values_are_those_of_the_json_module, STRINGS, NUMBERS)
