"""What becomes of one JSON record, by the letter of RFC 8259 and the rules of its fields."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pyarrow as pa
import pytest
from decode_support import CONTRACT, decimal, plain, read, transaction, transactions, whole
from hypothesis import given, settings
from json_documents import RECORDS, line_feeds
from orjson import dumps

from techmart_fast.contract import parse_contract
from techmart_fast.decode import decode
from techmart_fast.decode.json_block import decode_json_exactly
from techmart_fast.records import FIELDS, NUMERIC_FIELDS, Feed

FIELD_NAMES = FIELDS[Feed.TRANSACTIONS]


def _refuse(constant: str) -> object:
    raise ValueError(constant)


def _by_the_json_module(line: bytes) -> tuple[str, str | None]:
    """Verdict and field, from Python's own parser and the rules as they are written down."""
    if line.count(b"[") + line.count(b"{") > 900:
        return "too_deep", None
    try:
        value = json.loads(
            line.decode(), parse_constant=_refuse, parse_int=float, parse_float=float
        )
        # With pairs, as a dict has lost what stands there twice.
        pairs = json.loads(line.decode(), object_pairs_hook=list)
        json.dumps(pairs, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        return "invalid_utf8", None
    except ValueError:
        return "invalid_json", None
    return _fault(value) if isinstance(value, dict) else ("not_an_object", None)


def _fault(record: dict[str, object]) -> tuple[str, str | None]:
    for field in FIELD_NAMES:
        allowed = (str, float) if field == "amount" else (str,)
        if record.get(field) is not None and type(record[field]) not in allowed:
            return "wrong_type", field
    for field in FIELD_NAMES:
        if "\0" in str(record.get(field)):
            return "nul_character", field
    return "good", None


@settings(max_examples=150, deadline=None)
@given(record=RECORDS)
def test_verdicts_are_those_of_the_json_module(record: bytes) -> None:
    line = record.replace(b"\n", b" ").strip(b" \t\r")
    decoded = read(line, "ndjson")
    if not line:
        assert decoded == read(b"", "ndjson")
        return
    verdict = _by_the_json_module(line.removeprefix(b"\xef\xbb\xbf"))
    found = [("good", None) for _ in decoded.records]
    found += [(rejected.code, rejected.field) for rejected in decoded.rejected]
    if verdict[0] == "too_deep":
        # Python's parser gives up earlier.
        assert found[0][0] in {"too_deep", "invalid_utf8", "invalid_json", "good"}
    else:
        assert found == [verdict]


@settings(max_examples=100, deadline=None)
@given(data=line_feeds())
def test_every_line_is_accounted_for_at_its_place(data: bytes) -> None:
    decoded = read(data, "ndjson")
    places = {}
    offset = 0
    for number, line in enumerate(data.split(b"\n"), start=1):
        mark = 3 if number == 1 and line.startswith(b"\xef\xbb\xbf") else 0
        body = line[mark:]
        if stripped := body.strip(b" \t\r"):
            start = offset + mark + len(body) - len(body.lstrip(b" \t\r"))
            places[start] = (number, stripped)
        offset += len(line) + 1
    items = [*decoded.records, *decoded.rejected]
    assert {item.offset: (item.line, item.raw) for item in items} == places


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.005", "1.005"),
        ("100000000000000000000", "100000000000000000000"),
        ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ("12345678901234567.89", "12345678901234567.89"),
        ("1e400", "1e400"),
        ("1E+2", "1E+2"),
        ("9" * 400, "9" * 400),
        ("-0.10", "-0.10"),
    ],
)
def test_numbers_keep_their_exact_text(text: str, expected: str) -> None:
    for record in (
        dumps(transaction(1)).replace(b"1.25", text.encode()),
        dumps(transaction(1, note='"amount": 7')).replace(b"1.25", text.encode()),
        dumps(transaction(1, note={"amount": 7})).replace(b"1.25", text.encode()),
    ):
        batch = decode_json_exactly(whole(record, "ndjson"), CONTRACT)
        assert batch.records.column("amount").to_pylist() == [expected]
        fast = decode(whole(record, "ndjson"), CONTRACT).records.column("amount")
        assert [decimal(str(value)) for value in fast.to_pylist()] == [decimal(expected)]


@pytest.mark.parametrize("text", ["12.50", " 12.50", "1,5", "", "n/a", "1e2", "+5"])
def test_a_number_given_as_text_stays_as_it_is_on_the_exact_path(text: str) -> None:
    record = dumps(transaction(1, amount=text))
    batch = decode_json_exactly(whole(record, "ndjson"), CONTRACT)
    assert batch.records.column("amount").to_pylist() == [text]


def test_a_clean_block_has_decimals_and_an_odd_number_stands_beside_them() -> None:
    lines = transactions(50)
    clean = decode(whole(b"\n".join(lines), "ndjson"), CONTRACT).records
    assert clean.schema.field("amount").type == pa.decimal128(38, 9)
    lines[20] = dumps(transaction(20, amount="n/a"))
    lines[30] = dumps(transaction(30, amount="2.5"))
    lines[40] = dumps(transaction(40, amount=None))
    mixed = decode(whole(b"\n".join(lines), "ndjson"), CONTRACT)
    assert mixed.odd_numbers == {"amount": {20: "n/a"}}
    assert mixed.records.schema.field("amount").type == pa.decimal128(38, 9)
    expected = clean.column("amount").to_pylist()
    expected[20], expected[30], expected[40] = None, Decimal("2.5"), None
    assert mixed.records.column("amount").to_pylist() == expected


def test_a_record_that_only_the_exact_path_reads_leaves_a_block_of_decimals() -> None:
    lines = transactions(50)
    lines[20] = lines[20][:-1] + b',"status":"failed"}'
    batch = decode(whole(b"\n".join(lines), "ndjson"), CONTRACT).records
    assert batch.schema.field("amount").type == pa.decimal128(38, 9)
    assert batch.column("status").to_pylist()[19:22] == ["completed", "failed", "completed"]


def test_nesting_up_to_the_limit_is_good_and_one_more_is_too_deep() -> None:
    for depth, codes in ((1023, []), (1024, ["too_deep"]), (20_000, ["too_deep"])):
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            inner = opening * depth + b"1" + closing * depth
            data = b"\n".join([transactions(1)[0], b'{"deep":' + inner + b"}", transactions(2)[1]])
            decoded = read(data, "ndjson", max_record_bytes=1 << 22)
            assert decoded.codes == codes
            assert len(decoded.records) == 3 - len(codes)


def test_the_id_of_a_rejected_record_is_told_where_it_can_be_read() -> None:
    lines = [
        dumps(transaction(1, status=5)),
        dumps(transaction(2))[:-3],
        dumps(transaction(3, transaction_id=3)),
        dumps(transaction(4, transaction_id="a\0b")),
        b"nothing",
        b'{"transaction_id":"\xff",}',
    ]
    decoded = read(b"\n".join(lines), "ndjson")
    assert [rejected.key for rejected in decoded.rejected] == ["t-1", "t-2", *[None] * 4]


def test_absent_and_null_fields_are_null() -> None:
    decoded = read(b'{"status":null}\n{}\n{"transaction_id":""}', "ndjson")
    assert [set(record.values) for record in decoded.records] == [{None}, {None}, {"", None}]


def test_the_names_of_unknown_fields_are_told() -> None:
    lines = [dumps(transaction(number, a=1, b=[number])) for number in range(100)]
    lines[50] = dumps(transaction(50, rare=1, amount="?"))
    unknown = decode(whole(b"\n".join(lines), "ndjson"), CONTRACT).unknown_fields
    assert set(unknown) == {"a", "b", "rare"}
    many = [dumps({f"name-{place}-{number}": 1 for place in range(30)}) for number in range(30)]
    assert len(decode(whole(b"\n".join(many), "ndjson"), CONTRACT).unknown_fields) == 100


def test_renamed_fields_are_read_under_their_source_names() -> None:
    contract = parse_contract(
        '[transactions.fields]\ntransaction_id = "Txn \\"Id\\""\namount = "Größe"\n', name="test"
    )
    lines = [
        dumps({'Txn "Id"': f"t-{number}", "Größe": number, "status": "completed"})
        for number in range(20)
    ]
    lines[7] = lines[7][:-1] + b',"Gr\\u00f6\\u00dfe":1.12345678901}'
    lines[9] = lines[9][:-1] + b"]"
    for paths in (decode, decode_json_exactly):
        decoded = plain(paths(whole(b"\n".join(lines), "ndjson"), contract))
        assert decoded.column("transaction_id")[:2] == ["t-0", "t-1"]
        assert decoded.column("amount")[6:9] == [decimal("6"), "1.12345678901", decimal("8")]
        assert decoded.codes == ["invalid_json"]


def test_a_record_over_the_limit_is_one_rejected_record() -> None:
    long = dumps(transaction(1, note="x" * 5_000))
    for kind, data in (
        ("ndjson", b"\n".join([transactions(1)[0], long, transactions(3)[2]])),
        ("json_array", b"[" + b",".join([transactions(1)[0], long, transactions(3)[2]]) + b"]"),
    ):
        for block_bytes in (1, 300, 1 << 20):
            decoded = read(data, kind, block_bytes=block_bytes, max_record_bytes=1_000)
            assert [record.values[0] for record in decoded.records] == ["t-0", "t-2"]
            assert decoded.codes == ["record_too_large"]
            assert data[decoded.rejected[0].offset :].startswith(decoded.rejected[0].raw)
            assert len(decoded.rejected[0].raw) <= 1_000


@pytest.mark.parametrize("feed", Feed)
def test_every_feed_has_its_fields_on_both_paths(feed: Feed) -> None:
    record = {
        field: place if field in NUMERIC_FIELDS[feed] else f"{field} {place}"
        for place, field in enumerate(FIELDS[feed])
    }
    data = b"\n".join([dumps(record), dumps(record)[:-1] + b',"x":NaN}', dumps(record)])
    expected = tuple(decimal(str(v)) if isinstance(v, int) else v for v in record.values())
    for paths in (decode, decode_json_exactly):
        decoded = plain(paths(whole(data, "ndjson", feed), CONTRACT))
        assert [record.values for record in decoded.records] == [expected] * 2
        assert decoded.codes == ["invalid_json"]


def test_blocks_may_be_decoded_side_by_side() -> None:
    lines = transactions(3_000)
    lines[100] = b"{"
    block = whole(b"\n".join(lines), "ndjson")
    expected = plain(decode(block, CONTRACT))
    with ThreadPoolExecutor(4) as threads:
        for batch in threads.map(lambda _: decode(block, CONTRACT), range(12)):
            assert plain(batch) == expected
