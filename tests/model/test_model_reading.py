"""The model cuts files into records as DOMAIN.md says: a damaged record costs that record only."""

import bz2
import gzip
from pathlib import Path

import pytest

from tests.model.reading import read_bytes, records

GOOD = b'{"a": "x", "b": [1, 2]}'


def codes(data: bytes) -> list[str]:
    return [one if isinstance(one, str) else "ok" for one in records(data)]


@pytest.mark.parametrize(
    ("damaged", "code"),
    [
        (b'{"a": "x", "b', "invalid_json"),
        (b'{"a": "x",', "invalid_json"),
        (b'{"a": NaN}', "invalid_json"),
        (b'{"a": "\\ud83d"}', "invalid_json"),
        (b"<html>, oh dear</html>", "invalid_json"),
        (b'{"a": "\xff"}', "invalid_utf8"),
        (b'{"a": "\xff", "b', "invalid_utf8"),
        (b'{"a": ' + b"[" * 2_000 + b"]" * 2_000 + b"}", "too_deep"),
        (b"42", "not_an_object"),
        (b'["a", 5]', "not_an_object"),
        (b"null", "not_an_object"),
    ],
)
def test_a_damaged_record_costs_that_record(damaged: bytes, code: str) -> None:
    assert codes(b"\n".join([GOOD, damaged, GOOD])) == ["ok", code, "ok"]
    for between in (b",", b",\n", b" ,\r\n  "):
        array = b"[" + between.join([GOOD, damaged, GOOD, GOOD]) + b"]"
        assert codes(array) == ["ok", code, "ok", "ok"]


def test_a_damaged_span_at_the_end_of_an_array_is_one_record() -> None:
    assert codes(b"[" + GOOD + b',\n{"a": "x", "b": "y\n]\n') == ["ok", "invalid_json"]


def test_whole_surrogate_pairs_are_text() -> None:
    assert codes(b'{"a": "\\ud83d\\ude00"}') == ["ok"]


@pytest.mark.parametrize("data", [b"", b"[]", b" [ \n] ", b"\n\n", b"a,b\n", b"\xef\xbb\xbf[]"])
def test_files_without_records_have_none(data: bytes) -> None:
    assert codes(data) == []


def test_csv_is_cut_as_by_the_csv_module() -> None:
    rows = b'a,b\r\n1,"x\r\ny"\r\n1\r\n\r\n1,2,3\r\n\xff,2\r\n"1""",2'
    found = list(records(rows))
    assert found[0] == {"a": "1", "b": "x\r\ny"}
    assert found[1:4] == ["invalid_csv", "invalid_csv", "invalid_utf8"]
    assert found[4] == {"a": '1"', "b": "2"}


def test_compression_is_told_by_content(tmp_path: Path) -> None:
    path = tmp_path / "feed"
    for data in (GOOD, gzip.compress(GOOD) + gzip.compress(GOOD), bz2.compress(GOOD)):
        path.write_bytes(data)
        assert read_bytes(path).startswith(GOOD)
