"""Records of one shape: which have one, and that what fits it is what the exact path reads."""

from collections.abc import Callable
from decimal import Decimal
from unittest import mock

import pytest
from decode_support import CONTRACT, plain, transaction, whole
from hypothesis import example, given, settings
from hypothesis import strategies as st
from orjson import OPT_INDENT_2, dumps

from techmart_fast.decode import decode, json_block
from techmart_fast.decode.json_block import decode_json_exactly
from techmart_fast.decode.json_layout import Pieces, element_pieces, line_pieces
from techmart_fast.decode.json_plan import JsonPlan
from techmart_fast.decode.json_records import JsonRecords
from techmart_fast.decode.json_shape import Shape
from techmart_fast.decode.json_shaped import Shaped, ShapedJson
from techmart_fast.records import Feed

PLAN = JsonPlan.of(Feed.TRANSACTIONS, CONTRACT)
FIRST = dumps(transaction(0))
MANY = 200
ODD_ONE = 57

Frame = Callable[[list[bytes]], bytes]


def lines(records: list[bytes]) -> bytes:
    return b"\n".join(records)


def lines_of_windows(records: list[bytes]) -> bytes:
    return b"\r\n".join(records) + b"\r\n"


def elements_a_line(records: list[bytes]) -> bytes:
    return b"[" + b",\n".join(records) + b"]\n"


def elements_in_one_line(records: list[bytes]) -> bytes:
    return b"[" + b", ".join(records) + b"]"


FRAMES = [lines, lines_of_windows, elements_a_line, elements_in_one_line]


def pieces_of(data: bytes) -> Pieces:
    find = element_pieces if data.startswith(b"[") else line_pieces
    return find(data, first_line=1, at_start=True)


def look(data: bytes) -> Shaped | None:
    pieces, shape = pieces_of(data), Shape.of(FIRST, PLAN)
    assert shape is not None
    return ShapedJson(pieces, PLAN, shape).look(0, len(pieces.starts))


def agrees(data: bytes) -> None:
    block = whole(data, "json_array" if data.startswith(b"[") else "ndjson")
    assert plain(decode(block, CONTRACT)) == plain(decode_json_exactly(block, CONTRACT))


@pytest.mark.parametrize("frame", FRAMES)
def test_records_of_one_shape_fit_it_with_their_values(frame: Frame) -> None:
    data = frame([dumps(transaction(number)) for number in range(MANY)])
    found = look(data)
    assert found is not None
    assert found.fits.all()
    ids, amounts = found.columns[0].to_pylist(), found.columns[3].to_pylist()
    assert ids == [f"t-{number}" for number in range(MANY)]
    assert amounts[:2] == [Decimal(str(transaction(number)["amount"])) for number in range(2)]
    agrees(data)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(
    "odd",
    [
        dumps(transaction(7, status='say "so"')),
        dumps(transaction(7, status="back\\slash")),
        dumps(transaction(7, status="line\nend")),
        dumps(transaction(7, extra=1)),
        dumps(transaction(7, amount="1.25")),
        dumps(transaction(7, amount=None)),
        dumps(transaction(7, status=None)),
        dumps(transaction(7, status=True)),
        dumps(transaction(7, status=["a"])),
        FIRST.replace(b"0.25", b"12345678901234567890123456789"),
        dumps(transaction(7, amount=1e-12)),
        dumps(dict(reversed(transaction(7).items()))),
        FIRST.replace(b":", b": "),
        FIRST.replace(b'"user_id"', b'"product_id"', 1),
        FIRST.replace(b'"user_id"', b'"user_iD"', 1),
        FIRST[:-1] + b',"status":"twice"}',
        FIRST[:-1] + b" }",
        FIRST[:-1],
        FIRST[:-2] + b"}",
        FIRST + b"}",
        FIRST + b" ",
        FIRST + FIRST,
        FIRST.replace(b"t-0", b"t\t0"),
        FIRST.replace(b"t-0", b"t\x000"),
        FIRST.replace(b"t-0", b"t\x7f0"),
        FIRST.replace(b"t-0", b"t\r0"),
        FIRST.replace(b"t-0", b"t\xff0"),
        FIRST.replace(b"t-0", "tü0".encode()),
        FIRST.replace(b"t-0", b'","'),
        FIRST.replace(b"t-0", b""),
        b"",
        b"  ",
        b"x",
        b'"' * (FIRST.count(b'"')),
        b"{}",
        dumps(transaction(7), option=OPT_INDENT_2),
    ],
)
def test_one_odd_record_among_many_is_read_as_it_would_be_alone(frame: Frame, odd: bytes) -> None:
    records = [dumps(transaction(number)) for number in range(MANY)]
    records[ODD_ONE] = odd
    agrees(frame(records))


@pytest.mark.parametrize(
    "text", ["0", "7", "1.5", "-1.5", "1234567890123456789.123456789", "0.000000001"]
)
def test_numbers_fit_as_json_has_them(text: str) -> None:
    found = look(FIRST.replace(b"0.25", text.encode()))
    assert found is not None
    assert found.columns[3].to_pylist() == [Decimal(text)]


@pytest.mark.parametrize(
    "text", ["", "-", "01", "1.", ".5", "+1", "1e2", "1E2", "NaN", "0x1", "1 2", "0.0000000001",
             "12345678901234567890", "null", "true", '"1"', "{}", "1,2", "1}", "{1"]
)  # fmt: skip
def test_what_is_no_plain_number_does_not_fit(text: str) -> None:
    records = [dumps(transaction(number)) for number in range(MANY)]
    records[ODD_ONE] = FIRST.replace(b"0.25", text.encode())
    found = look(lines(records))
    assert found is not None
    assert [number for number, fits in enumerate(found.fits) if not fits] == [ODD_ONE]
    agrees(lines(records))


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{}",
        b"[]",
        b"1",
        b'{"a":{"b":1}}',
        b'{"a":[]}',
        b'{"a":"b","a":"c"}',
        b'{"a":"\\u0061"}',
        b'{"amount":"1.5"}',
        b'{"amount":1e5}',
        b'{"amount":true}',
        b'{"status":1}',
        b'{"a":"b"',
        b'{"a":\n"b"}',
    ],
)
def test_records_without_a_shape(record: bytes) -> None:
    assert Shape.of(record, PLAN) is None


def test_fields_that_the_feed_does_not_have_are_part_of_a_shape_and_left_out() -> None:
    more = {"note": "n", "weight": 1.5, "flag": True, "none": None}
    records = [dumps(transaction(number, status=None, **more)) for number in range(MANY)]
    shape, pieces = Shape.of(records[0], PLAN), pieces_of(lines(records))
    assert shape is not None
    found = ShapedJson(pieces, PLAN, shape).look(0, MANY)
    assert found is not None
    assert found.fits.all()
    assert found.columns[-1].null_count == MANY
    agrees(lines(records))


def test_too_many_records_of_another_shape_are_left_to_the_next_path() -> None:
    records = [dumps(transaction(number)) for number in range(MANY)]
    for number in range(0, MANY, 10):
        records[number] = dumps(transaction(number, extra=1))
    assert look(lines(records)) is None
    agrees(lines(records))


def test_a_shape_is_common_if_most_records_have_it() -> None:
    other = dumps(transaction(0, extra=1))
    assert Shape.common([FIRST, FIRST, other, FIRST], PLAN) == Shape.of(FIRST, PLAN)
    assert Shape.common([FIRST, other, other, FIRST], PLAN) is None
    assert Shape.common([b"x"], PLAN) is None
    assert Shape.common([], PLAN) is None


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize(
    "odd",
    [
        FIRST.replace(b"completed", b"com\\/pleted"),
        FIRST.replace(b"completed", b"compl\\u00e9ted"),
        dumps(transaction(3, amount=None)),
        dumps(transaction(3, amount="1.5")),
        dumps(transaction(3, amount="n/a")),
        dumps(transaction(3, note={"a": [1, {"b": 2}]})),
    ],
)
def test_a_few_of_a_hundred_are_read_apart(frame: Frame, odd: bytes) -> None:
    records = [dumps(transaction(number)) for number in range(3 * MANY)]
    for number in range(5, len(records), 25):
        records[number] = odd
    assert len(range(5, len(records), 25)) >= json_block._WORTH_A_CALL
    agrees(frame(records))
    # One that nothing but the exact path takes must not spoil it for the others.
    records[ODD_ONE] = FIRST[:-1] + b',"status":"twice"}'
    records[ODD_ONE + 1] = FIRST[:-3]
    agrees(frame(records))


def test_odd_records_go_through_arrow_where_they_are_many() -> None:
    records = [dumps(transaction(number)) for number in range(3 * MANY)]
    for number in range(5, len(records), 25):
        records[number] = dumps(transaction(number, status="a/b")).replace(b"/", b"\\/")
    with mock.patch.object(JsonRecords, "add") as one_by_one:
        batch = decode(whole(lines(records), "ndjson"), CONTRACT)
    one_by_one.assert_not_called()
    assert batch.records.num_rows == len(records)
    assert batch.records.column("status").to_pylist()[5] == "a/b"


@pytest.mark.parametrize("several", [1, 20])
def test_an_odd_element_that_reaches_over_others_takes_them_in(several: int) -> None:
    records = [dumps(transaction(number)) for number in range(3 * MANY)]
    inner = b",".join(dumps(transaction(number)) for number in range(3))
    for number in range(several):
        records[ODD_ONE + 20 * number] = b'{"note":[' + inner + b"]}"
    agrees(elements_a_line(records))
    records[ODD_ONE] = b'{"note":[' + inner
    agrees(elements_a_line(records))


@settings(max_examples=200, deadline=None)
@given(
    odd=st.lists(
        st.tuples(
            st.integers(0, 39),
            st.integers(0, len(FIRST)),
            st.integers(0, 12),
            st.binary(max_size=3),
        ),
        max_size=3,
    ),
    frame=st.sampled_from(FRAMES),
)
@example([(0, 1, 0, b'"')], lines)
@example([(3, 5, 0, b"\r")], lines)
@example([(3, 5, 0, b"\n")], elements_a_line)
def test_whatever_is_changed_in_some_records(
    odd: list[tuple[int, int, int, bytes]], frame: Frame
) -> None:
    records = [dumps(transaction(number)) for number in range(80)]
    for number, place, length, instead in odd:
        record = records[2 * number]
        records[2 * number] = record[:place] + instead + record[place + length :]
    agrees(frame(records))
