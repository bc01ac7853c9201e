"""Texts that stand apart are one record or one rejection each, whatever stands beside them."""

import csv
import io
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from techmart_fast.contract import default_contract
from techmart_fast.decode import decode_apart
from techmart_fast.records import FIELDS, DecodedBatch, Feed, SourceFile
from techmart_fast.sources.sniff import CSV, JSON_ARRAY, NDJSON

CONTRACT = default_contract()
NAMES = FIELDS[Feed.USERS]
VALUES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    min_size=len(NAMES),
    max_size=len(NAMES),
).filter(lambda values: bool(values[0]))
JUNK = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [b"", b" ", b"{}", b'{"a"', b'"', b'a,"b', b"\n\n", b"}{", b"[", b"1,2", b"\xff"]
    ),
)


def source(file_format: str) -> SourceFile:
    return SourceFile(
        feed=Feed.USERS,
        name="users",
        path=Path("users"),
        fingerprint="",
        size_bytes=0,
        compression="plain",
        format=file_format,
        header=NAMES if file_format == CSV else (),
    )


def as_json(values: list[str]) -> bytes:
    return json.dumps(dict(zip(NAMES, values, strict=True)), indent=1).encode()


def as_csv(values: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerow(values)
    return text.getvalue().encode()


def outcome(decoded: DecodedBatch, starts: list[int]) -> list[object]:
    """What became of each text: its values, or the reason against it."""
    by_start: dict[int, list[object]] = {start: [] for start in starts}
    for row in decoded.records.to_pylist():
        by_start[row["source_offset"]].append([row[name] or "" for name in NAMES])
    for row in decoded.rejections.to_pylist():
        by_start[row["source_offset"]].append(row["code"])
    found = [by_start[start] for start in starts]
    assert all(len(one) == 1 for one in found)
    return [one for (one,) in found]


@given(st.lists(st.one_of(VALUES, JUNK), max_size=8), st.sampled_from([NDJSON, JSON_ARRAY, CSV]))
def test_each_text_has_one_outcome_and_good_ones_have_their_values(
    given_texts: list[list[str] | bytes], file_format: str
) -> None:
    write = as_csv if file_format == CSV else as_json
    texts = [one if isinstance(one, bytes) else write(one) for one in given_texts]
    found = outcome(*decode_apart(texts, source(file_format), CONTRACT))
    for text, result in zip(given_texts, found, strict=True):
        if not isinstance(text, bytes):
            assert result == text
    for text, result in zip(texts, found, strict=True):
        assert outcome(*decode_apart([text], source(file_format), CONTRACT)) == [result]
