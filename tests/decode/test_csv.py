"""CSV records are what Python's csv module takes for records, on either path."""

import csv
import io
from dataclasses import replace
from unittest import mock

import pytest
from broken import NOISE, forms, holds_for, mutated
from csv_documents import COLUMNS, SIGNS, csv_feeds
from decode_support import CONTRACT, cut, plain, read, whole
from hypothesis import example, given, settings
from hypothesis import strategies as st

from techmart_fast.contract import parse_contract
from techmart_fast.decode import csv_block
from techmart_fast.decode.csv_block import decode_csv, decode_csv_exactly
from techmart_fast.decode.csv_grammar import split_fields
from techmart_fast.errors import DecodeError
from techmart_fast.records import Feed

USERS = Feed.USERS
HEADER = b"user_id,email,registration_date,country,age_group,customer_tier"
CITY = 5
Row = tuple[int, str, tuple[str | None, ...]]


def _by_the_csv_module(data: bytes) -> list[Row]:
    """Line, verdict and values of each record; the header is the first row."""
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    rows: list[Row] = []
    reader = csv.reader(io.StringIO(f"{text}\nlast", newline=""))
    header_seen, line = False, 1
    for fields in reader:
        began, line = line, reader.line_num + 1
        if not fields or (not header_seen and (header_seen := True)):
            continue
        verdict = _verdict(fields)
        del fields[CITY : CITY + 1]
        rows.append((began, verdict, tuple(field or None for field in fields)))
    if rows and rows[-1][2] == ("last",):
        return rows[:-1]
    if rows and rows[-1][2][-1] and rows[-1][2][-1].endswith("last"):
        # The last record's quote was never closed, so it took the marker in.
        verdict = "invalid_utf8" if rows[-1][1] == "invalid_utf8" else "invalid_csv"
        rows[-1] = (rows[-1][0], verdict, rows[-1][2])
    return rows


def _verdict(fields: list[str]) -> str:
    if any("\udc80" <= symbol <= "\udcff" for field in fields for symbol in field):
        return "invalid_utf8"
    if len(fields) != COLUMNS:
        return "invalid_csv"
    known = fields[:CITY] + fields[CITY + 1 :]
    return "nul_character" if any("\0" in field for field in known) else "good"


WIDE = b"user_id,email,registration_date,country,age_group,city,customer_tier\n"


@settings(max_examples=100, deadline=None)
@given(data=csv_feeds())
@example(WIDE + b"u1,,,nul\0,,,\n")
@example(WIDE + b"u1,,,,,nul\0,\nu2,,,,,\xff,\n")
@example(WIDE + b'u1,,,,,x"a\nb",\n')
@example(WIDE + b'u1,,,,,"a"b"c\nd",\n')
@example(WIDE + b'u1,,,,,"a"b"c"",\n,d"e,f,,"\n')
def test_records_are_those_of_the_csv_module(data: bytes) -> None:
    _are_those_of_the_csv_module(data)


@forms(100, 20_000)
def test_damaged_records_are_those_of_the_csv_module(examples: int) -> None:
    records = csv_feeds().map(lambda feed: feed.removeprefix(b"\xef\xbb\xbf") + b"\n")
    damaged = st.one_of(NOISE, SIGNS, mutated(records)).map(WIDE.__add__)
    holds_for(examples, _are_those_of_the_csv_module, damaged)


def _are_those_of_the_csv_module(data: bytes) -> None:
    decoded = read(data, "csv", feed=USERS)
    good = [(record.line, "good", record.values) for record in decoded.records]
    bad = [(rejected.line, rejected.code, None) for rejected in decoded.rejected]
    expected = _by_the_csv_module(data)
    assert good == [row for row in expected if row[1] == "good"]
    assert bad == [(line, verdict, None) for line, verdict, _ in expected if verdict != "good"]


@settings(max_examples=100, deadline=None)
@given(data=csv_feeds(), slice_bytes=st.sampled_from([1, 60, 200, 1 << 20]))
def test_the_fast_and_the_exact_path_agree(data: bytes, slice_bytes: int) -> None:
    (first, *_) = cut(data, "csv", feed=USERS)
    assert first.end_byte == len(data)
    with (
        mock.patch.object(csv_block, "_SLICE_BYTES", slice_bytes),
        mock.patch.object(csv_block, "_LEAST_REACH_BYTES", slice_bytes // 4 + 1),
        mock.patch.object(csv_block, "_LEAST_RUN_BYTES", 1),
    ):
        assert plain(decode_csv(first, CONTRACT)) == plain(decode_csv_exactly(first, CONTRACT))


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from(list('ab,"é')), max_size=12))
def test_fields_over_the_limit_of_the_csv_module_are_split_alike(text: str) -> None:
    expected = next(csv.reader([text])) if text else [""]
    limit = csv.field_size_limit()
    try:
        csv.field_size_limit(-1)
        assert split_fields(text) == expected
    finally:
        csv.field_size_limit(limit)


def test_a_field_longer_than_the_csv_module_takes_is_good() -> None:
    long = b"x" * (csv.field_size_limit() + 1)
    data = HEADER + b'\nu1,"' + long + b'""",2024-01-01,DE,,vip\n'
    (record,) = read(data, "csv", feed=USERS).records
    assert record.values[1] == long.decode() + '"'
    assert plain(decode_csv_exactly(cut(data, "csv", feed=USERS)[0], CONTRACT)).records == (record,)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_quoted_line_break_is_kept_at_every_edge_of_a_block(line_end: bytes) -> None:
    records = [b'u%d,"a\r\nb",2024-01-0%d,DE,"x\ny",vip' % (n, n) for n in range(1, 4)]
    data = line_end.join([HEADER, *records]) + line_end
    expected = read(data, "csv", feed=USERS)
    assert [record.values[1] for record in expected.records] == ["a\r\nb"] * 3
    assert [record.raw for record in expected.records] == records
    for block_bytes in range(1, len(data) + 1):
        assert read(data, "csv", feed=USERS, block_bytes=block_bytes) == expected


@pytest.mark.parametrize(
    "line",
    [
        b'u1,,,,x"y,"\nz",vip',
        b'"u1",,,,x"y,"\nz",vip',
        b'u1,,,,"a"b"c\nu2,"x,y",,,,vip',
        b'u1,,,,"a""b\n""c",vip',
        b'u1,,,"x\ry","z\r\n",vip\ru2,,,,,\r',
    ],
)
def test_odd_quotes_mislead_no_edge_of_a_block(line: bytes) -> None:
    data = WIDE + b"\n".join([b"u0,,,,,,", line, b'u8,,"a\nb",,,,', line, b"u9,,,,,,"])
    expected = read(data, "csv", feed=USERS)
    assert [record.values[0] for record in expected.records][:1] == ["u0"]
    for block_bytes in range(1, len(data) + 1):
        assert read(data, "csv", feed=USERS, block_bytes=block_bytes) == expected


def test_an_unterminated_quote_costs_one_rejected_record() -> None:
    data = HEADER + b'\nu1,a@b.c,2024-01-01,DE,,vip\nu2,a@b.c,2024-01-01,DE,,"vip\nu3,x'
    decoded = read(data, "csv", feed=USERS)
    assert len(decoded.records) == 1
    assert decoded.codes == ["invalid_csv"]
    assert decoded.rejected[0].raw == b'u2,a@b.c,2024-01-01,DE,,"vip\nu3,x'
    assert decoded.rejected[0].key == "u2"


def test_places_and_keys_of_records_with_wrong_columns_are_told() -> None:
    data = HEADER + b"\nu1,a,b,c,d,e\n\nu2,a\nu3,a,b,c,d,e,f\n,a\nu4,a,b,c,d,e"
    decoded = read(data, "csv", feed=USERS)
    assert [record.line for record in decoded.records] == [2, 7]
    assert [(bad.line, bad.key) for bad in decoded.rejected] == [(4, "u2"), (5, "u3"), (6, None)]
    for bad in decoded.rejected:
        assert data[bad.offset :].startswith(bad.raw + b"\n")


def test_empty_values_are_null_and_white_space_is_kept() -> None:
    data = HEADER + b'\nu1, a ,"",,"  ",\n'
    (record,) = read(data, "csv", feed=USERS).records
    assert record.values == ("u1", " a ", None, None, "  ", None)


def test_columns_may_come_in_any_order_with_others_between() -> None:
    data = b"\xef\xbb\xbfcity, email ,user_id,country,registration_date\nParis,e,u1,FR,2024-01-01\n"
    (block,) = cut(data, "csv", feed=USERS)
    batch = decode_csv(block, CONTRACT)
    assert plain(batch).records[0].values == ("u1", "e", "2024-01-01", "FR", None, None)
    assert batch.unknown_fields == {"city": 1}


def test_renamed_columns_are_found_under_their_source_names() -> None:
    contract = parse_contract('[users.fields]\nuser_id = "Customer No"\n', name="test")
    block = whole(b"Customer No,email,registration_date,country\n7,e,2024-01-01,FR\n", "csv", USERS)
    names = ("Customer No", "email", "registration_date", "country")
    batch = decode_csv(replace(block, header=names), contract)
    assert batch.records.column("user_id").to_pylist() == ["7"]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"user_id,email,country", "'registration_date'"),
        (b"user_id,email,registration_date,country,email", "'email' twice"),
    ],
)
def test_a_header_that_does_not_fit_the_contract_is_an_error(header: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        cut(header + b"\n1,2,3\n", "csv", feed=USERS)


def test_a_file_of_header_only_is_one_block_without_records() -> None:
    for data in (HEADER, HEADER + b"\r\n", b"\xef\xbb\xbf" + HEADER + b"\n\n\n"):
        assert read(data, "csv", feed=USERS).records == ()
