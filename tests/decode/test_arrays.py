"""JSON arrays: every element is a record, and damage costs the element that it hits."""

from collections.abc import Callable

import pytest
from decode_support import Decoded, read, transaction, transactions
from hypothesis import given, settings
from hypothesis import strategies as st
from orjson import OPT_INDENT_2, dumps

COUNT = 9


def _ids(decoded: Decoded) -> list[object]:
    return decoded.column("transaction_id")


def _all_ids(*without: int) -> list[object]:
    return [f"t-{number}" for number in range(COUNT) if number not in without]


DAMAGE = st.sampled_from(
    [
        lambda text, place: text[:place],
        lambda text, place: text[:place] + text[place + 1 :],
        lambda text, place: text[:place] + b'"' + text[place:],
        lambda text, place: text[:place] + b"[" + text[place:],
        lambda text, place: text[:place] + b"\xff" + text[place + 1 :],
        lambda text, place: text[:place] + b"\\" + text[place + 1 :],
        lambda text, place: text[:place] + b"\n" + text[place:],
        lambda text, place: text[:place] + b"\0\0\0" + text[place + 3 :],
    ]
)


@settings(max_examples=120, deadline=None)
@given(
    damage=DAMAGE,
    victim=st.integers(0, COUNT - 1),
    place=st.integers(1, 160),
    separator=st.sampled_from([b",", b",\n", b"\n  ,\n  "]),
    block_bytes=st.sampled_from([1, 333, 1 << 20]),
)
def test_damage_to_one_element_costs_at_most_that_element(
    damage: Callable[[bytes, int], bytes],
    victim: int,
    place: int,
    separator: bytes,
    block_bytes: int,
) -> None:
    elements = transactions(COUNT)
    elements[victim] = damage(elements[victim], place)
    data = b"[" + separator.join(elements) + b"]"
    decoded = read(data, "json_array", block_bytes=block_bytes)
    found = [identity for identity in _ids(decoded) if identity in _all_ids(victim)]
    assert found == _all_ids(victim)
    assert len(decoded.records) + len(decoded.rejected) == COUNT


@pytest.mark.parametrize("indent", [None, OPT_INDENT_2])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b" \r\n\t"])
def test_minified_and_pretty_printed_arrays_are_read_alike(
    indent: int | None, start: bytes
) -> None:
    values = [transaction(number, tags=["a", {"b": []}]) for number in range(COUNT)]
    data = start + dumps(values, option=indent) + b"\n"
    for block_bytes in (1, 500, 1 << 20):
        decoded = read(data, "json_array", block_bytes=block_bytes)
        assert _ids(decoded) == _all_ids()
        assert not decoded.rejected
        for record in decoded.records:
            assert record.line == 1 + data.count(b"\n", 0, record.offset)
            assert data[record.offset :].startswith(record.raw)


@pytest.mark.parametrize("data", [b"[]", b" [ ] ", b"\xef\xbb\xbf[]\n", b"[", b"[\n\n"])
def test_an_empty_array_has_no_records(data: bytes) -> None:
    decoded = read(data, "json_array")
    assert not decoded.records
    assert not decoded.rejected


@pytest.mark.parametrize(
    ("data", "kept", "codes"),
    [
        ("[A,B", "AB", []),
        ("[A,B,", "AB", []),
        ('[A,B,{"transaction_id":"t-', "AB", ["invalid_json"]),
        ("[A,B] trailing garbage, and more", "AB", ["invalid_json"]),
        ("[A,B]\0\0\0", "AB", ["invalid_json"]),
        ("[A,B,]", "AB", []),
        ("[A,,B]", "AB", []),
        ("[A B]", "AB", []),
        ("[A\nB,C]", "ABC", []),
        ("[A,B]\n[C]", "ABC", []),
        ("A\nB\n", "AB", []),
        ('[A,5,"x",null,[1,2],B]', "AB", ["not_an_object"] * 4),
        ("[A,NaN,B]", "AB", ["invalid_json"]),
        ("[A,garbage,more garbage,B]", "AB", ["invalid_json"]),
        ("[A,{bad},{worse},B]", "AB", ["invalid_json"]),
        ("[{bad},{},B]", "B", ["invalid_json"]),
        ('[A,{"x":[{"y":1},{"y":2}],"z":bad},B]', "AB", ["invalid_json"]),
        ('[A,{"x":"}, {"},B]', "AB", []),
        ("[Ax,B]", "B", ["invalid_json"]),
        ("[A},B]", "B", ["invalid_json"]),
    ],
)
def test_damage_between_and_behind_elements(data: str, kept: str, codes: list[str]) -> None:
    raw = data.encode()
    for letter, record in zip(b"ABC", transactions(3), strict=True):
        raw = raw.replace(bytes([letter]), record, 1)
    for block_bytes in (1, 200, 1 << 20):
        decoded = read(raw, "json_array", block_bytes=block_bytes)
        known = [identity for identity in _ids(decoded) if identity]
        assert known == [f"t-{'ABC'.index(letter)}" for letter in kept]
        assert decoded.codes == codes


@pytest.mark.parametrize("brace", [b"{", b"}"])
def test_a_stray_brace_costs_no_neighbour(brace: bytes) -> None:
    for place in range(1, 160, 2):
        elements = transactions(COUNT)
        elements[4] = elements[4][:place] + brace + elements[4][place:]
        decoded = read(b"[" + b",".join(elements) + b"]", "json_array")
        assert [name for name in _ids(decoded) if name in _all_ids(4)] == _all_ids(4)
        # What stands before or behind the brace may well be an element by itself.
        assert COUNT <= len(decoded.records) + len(decoded.rejected) <= COUNT + 1


def test_an_array_in_an_array_is_one_record_that_is_no_object() -> None:
    inner = b"[" + b",".join(transactions(2)) + b"]"
    data = b"[" + b",".join([transactions(1)[0], inner, transactions(3)[2]]) + b"]"
    for block_bytes in (1, 200, 1 << 20):
        decoded = read(data, "json_array", block_bytes=block_bytes)
        assert _ids(decoded) == ["t-0", "t-2"]
        assert decoded.codes == ["not_an_object"]
