"""What the tests of decoding share: sources made of bytes, decoded results in plain Python."""

import re
import tempfile
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from pathlib import Path

import orjson
import pyarrow as pa

from techmart_fast.contract import default_contract
from techmart_fast.decode import blocks, decode
from techmart_fast.records import (
    DECODED_NUMBER,
    FIELDS,
    NUMERIC_FIELDS,
    RECORD_PLACE,
    REJECTIONS,
    Block,
    DecodedBatch,
    Feed,
    SourceFile,
)

CONTRACT = default_contract()
MANY = 1 << 30
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?0*[0-9]{1,4})?", re.ASCII)
_DIGITS, _PLACES = DECODED_NUMBER.precision, DECODED_NUMBER.scale


@dataclass(frozen=True)
class Record:
    offset: int
    line: int
    raw: bytes
    values: tuple[object, ...]


@dataclass(frozen=True)
class Rejected:
    offset: int
    line: int
    raw: bytes
    code: str
    field: str | None
    key: str | None


@dataclass(frozen=True)
class Decoded:
    records: tuple[Record, ...]
    rejected: tuple[Rejected, ...]

    def __add__(self, other: "Decoded") -> "Decoded":
        return Decoded(self.records + other.records, self.rejected + other.rejected)

    @property
    def codes(self) -> list[str]:
        return [rejected.code for rejected in self.rejected]

    def column(self, field: str, feed: Feed = Feed.TRANSACTIONS) -> list[object]:
        place = FIELDS[feed].index(field)
        return [record.values[place] for record in self.records]


NOTHING = Decoded((), ())


def source(path: Path, kind: str, feed: Feed = Feed.TRANSACTIONS) -> SourceFile:
    return SourceFile(
        feed=feed,
        name=path.name,
        path=path,
        fingerprint="0" * 64,
        size_bytes=path.stat().st_size,
        compression="plain",
        format=kind,
    )


def cut(
    data: bytes,
    kind: str,
    *,
    feed: Feed = Feed.TRANSACTIONS,
    block_bytes: int = MANY,
    max_record_bytes: int = 1 << 20,
) -> list[Block]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "feed")
        path.write_bytes(data)
        file = source(path, kind, feed)
        return list(
            blocks(file, CONTRACT, block_bytes=block_bytes, max_record_bytes=max_record_bytes)
        )


def whole(data: bytes, kind: str, feed: Feed = Feed.TRANSACTIONS) -> Block:
    """All of `data` as one block, without framing."""
    (block,) = cut(b"{}", "ndjson", feed=feed)
    return replace(block, source=replace(block.source, format=kind), data=data, end_byte=len(data))


def read(
    data: bytes,
    kind: str,
    *,
    feed: Feed = Feed.TRANSACTIONS,
    block_bytes: int = MANY,
    max_record_bytes: int = 1 << 20,
) -> Decoded:
    result = NOTHING
    end = 0
    for block in cut(
        data, kind, feed=feed, block_bytes=block_bytes, max_record_bytes=max_record_bytes
    ):
        assert block.first_byte == end
        assert block.end_byte > end
        end = block.end_byte
        assert data[block.first_byte :].startswith(block.data)
        result += plain(decode(block, CONTRACT))
    assert end == len(data)
    return result


def plain(batch: DecodedBatch) -> Decoded:
    """A batch in plain Python, with its shape checked. Equal numbers compare equal."""
    feed, block = batch.block.source.feed, batch.block
    schema = batch.records.schema
    assert schema.names == [*FIELDS[feed], *(field.name for field in RECORD_PLACE)]
    assert [schema.field(field.name) for field in RECORD_PLACE] == list(RECORD_PLACE)
    assert batch.rejections.schema == REJECTIONS
    batch.records.validate(full=True)
    batch.rejections.validate(full=True)
    for name in FIELDS[feed]:
        kind = schema.field(name).type
        numeric = name in NUMERIC_FIELDS[feed]
        assert kind == pa.string() or (numeric and kind == pa.decimal128(38, 9))
    records = []
    rows = batch.records.to_pylist()
    for name, odd in batch.odd_numbers.items():
        assert schema.field(name).type == DECODED_NUMBER
        for number, spelling in odd.items():
            assert rows[number][name] is None
            rows[number][name] = spelling
    for row in rows:
        start = row["source_offset"] - block.first_byte
        raw = block.data[start : start + row["source_length"]]
        assert len(raw) == row["source_length"]
        values = tuple(
            _number(row[name]) if name in NUMERIC_FIELDS[feed] else row[name]
            for name in FIELDS[feed]
        )
        records.append(Record(row["source_offset"], row["source_line"], raw, values))
    rejected = [
        Rejected(
            row["source_offset"],
            row["source_line"],
            row["raw"],
            row["code"],
            row["field"],
            row["record_key"],
        )
        for row in batch.rejections.to_pylist()
    ]
    for items in (records, rejected):
        offsets = [item.offset for item in items]
        assert offsets == sorted(set(offsets))
    assert batch.read == len(records) + len(rejected)
    return Decoded(tuple(records), tuple(rejected))


def _number(value: object) -> object:
    """The number that a text stands for where `DECODED_NUMBER` holds it exactly, else the text."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return value
    # Not by Arrow's cast: it keeps long numbers modulo 2^128.
    number = Decimal(value)
    if number and not -_PLACES <= number.adjusted() < _DIGITS - _PLACES:
        return value
    with localcontext(prec=len(value) + _DIGITS):
        scaled = number.quantize(Decimal(1).scaleb(-_PLACES))
    return scaled if scaled == number else value


def transaction(number: int, **changes: object) -> dict[str, object]:
    record: dict[str, object] = {
        "transaction_id": f"t-{number}",
        "user_id": f"u-{number % 7}",
        "product_id": f"p-{number % 5}",
        "amount": number + 0.25,
        "currency": "USD",
        "timestamp": "2024-05-01T10:00:00Z",
        "payment_method": "paypal",
        "status": "completed",
    }
    return record | changes


def transactions(count: int) -> list[bytes]:
    return [orjson.dumps(transaction(number)) for number in range(count)]


def decimal(text: str) -> Decimal:
    return Decimal(text)
