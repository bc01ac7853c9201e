"""Records that are awkward to cut, walked across every edge at which a CSV file is read or cut."""

import csv
import gzip
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from broken import forms, holds_for, mutated
from csv_documents import SIGNS, csv_feeds
from decode_support import CONTRACT, NOTHING, Decoded, plain, read, source
from hypothesis import strategies as st
from invariants import examined, small_steps

from techmart_fast.decode import blocks, decode
from techmart_fast.records import Feed

MARK = b"\xef\xbb\xbf"
HEADER = b"user_id,email,registration_date,country,age_group,customer_tier\n"
COLUMNS = 6
KIB = 1 << 10
MOST = 1 << 20
AWKWARD = "".join(
    f"{cell},{cell},,{cell},,x\r\n"
    for cell in ('"\r\n"', '"a\r\nb"', '"""\r\n"""', '""', '"é\r€\n😀"', '","', "é€😀")
).encode()
BLOCK_BYTES = st.sampled_from([1, 7, 40, 171, 400, MOST])
STEPS = st.sampled_from([1, 3, 64, 1 << 15])


def _strictly(data: bytes) -> list[tuple[str | None, ...]]:
    """The records by Python's csv module, which raises `csv.Error` for what is not regular."""
    text = io.StringIO(data.removeprefix(MARK).decode(), newline="")
    _, *rows = (row for row in csv.reader(text, strict=True) if row)
    return [tuple(value or None for value in row) for row in rows]


def _values(decoded: Decoded) -> list[tuple[object, ...]]:
    return [record.values for record in decoded.records]


def _equals_the_strict_reader(body: bytes, marked: bool, block_bytes: int, step: int) -> None:
    data = MARK * marked + HEADER + body
    try:
        rows = _strictly(data)
    except (csv.Error, UnicodeDecodeError):
        return
    with small_steps(step):
        decoded = examined(data, "csv", block_bytes=block_bytes, max_record_bytes=MOST)
    good = [row for row in rows if len(row) == COLUMNS and not any("\0" in (v or "") for v in row)]
    assert _values(decoded) == good
    assert len(decoded.rejected) == len(rows) - len(good)


@forms(60, 20_000)
def test_what_the_csv_module_takes_when_it_is_strict_is_read_alike(examples: int) -> None:
    fields = st.sampled_from(["", "a", '"a,b"', '"a""b"', '"x\r\ny"', '"é\n"', '"\r"', "😀", '""'])
    records = st.lists(fields, min_size=COLUMNS, max_size=COLUMNS).map(",".join)
    line_ends = st.sampled_from(["\n", "\r\n", "\r", "\n\n"])
    regular = st.builds(lambda end, rows: end.join(rows).encode(), line_ends, st.lists(records))
    bodies = st.one_of(regular, mutated(regular, times=1), csv_feeds(), SIGNS)
    holds_for(examples, _equals_the_strict_reader, bodies, st.booleans(), BLOCK_BYTES, STEPS)


@pytest.mark.parametrize("mark", [MARK, pytest.param(b"", marks=pytest.mark.torture)])
def test_every_edge_of_a_block_and_of_an_inner_step_is_as_good_as_none(mark: bytes) -> None:
    data = mark + HEADER + AWKWARD
    rows = _strictly(data)
    assert len(rows) == AWKWARD.count(b",x\r\n")
    for size in range(1, len(data) + 2):
        with small_steps(size):
            assert _values(read(data, "csv", feed=Feed.USERS)) == rows
            assert _values(read(data, "csv", feed=Feed.USERS, block_bytes=size)) == rows


@pytest.mark.parametrize(
    "block_bytes",
    [1, 64, 100, *(pytest.param(size, marks=pytest.mark.torture) for size in range(3, 400, 13))],
)
def test_shifted_by_any_number_of_bytes_the_records_are_the_same(block_bytes: int) -> None:
    for shift in range(1, 33):
        data = HEADER + b"x" * shift + b",,,,,\n" + AWKWARD
        with small_steps(1 + block_bytes % 37):
            decoded = read(data, "csv", feed=Feed.USERS, block_bytes=block_bytes)
        assert _values(decoded) == _strictly(data)


FILLING = b"u1," + b"a@b.example " * 200 + b",2024-01-01,DE,,vip\n"
EDGES = (256 * KIB, 1024 * KIB, 2048 * KIB)
"""At these sizes something ends: what a decompressor gives, what is read, what Arrow parses."""


def _with_line_breaks_at(places: list[int]) -> bytes:
    """A file in which a quoted carriage return and newline begin at each of `places`."""
    data = bytearray(HEADER)
    before = 'u1,"é'.encode()
    for place in places:
        room = place - len(before) - len(data)
        data += FILLING * ((room - 10) // len(FILLING))
        data += b"x" * (place - len(before) - len(data) - 6) + b",,,,,\n"
        data += before + b'\r\n""",2024-01-01,DE,"""",vip\r\n'
        assert data[place : place + 2] == b"\r\n"
    return bytes(data + AWKWARD + FILLING * 100)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "shift", [-1, 0, *(pytest.param(n, marks=pytest.mark.torture) for n in (*range(-40, -1), 1, 2))]
)
def test_a_quoted_line_break_on_every_edge_of_a_large_file(
    tmp_path: Path, shift: int, compress: Callable[[bytes], bytes]
) -> None:
    data = _with_line_breaks_at([edge + shift for edge in EDGES])
    path = tmp_path / "feed"
    path.write_bytes(compress(data))
    file = replace(
        source(path, "csv", Feed.USERS), compression="plain" if compress is bytes else "gzip"
    )
    for block_bytes in (256 * KIB, 8192 * KIB):
        found = NOTHING
        for block in blocks(file, CONTRACT, block_bytes=block_bytes, max_record_bytes=MOST):
            found += plain(decode(block, CONTRACT))
        assert _values(found) == _strictly(data)
