"""Finding input files and telling what they are."""

import bz2
import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from techmart_fast.contract import default_contract, parse_contract
from techmart_fast.errors import (
    DecodeError,
    SourceChangedError,
    SourceError,
    SourceNotFoundError,
    TechmartError,
)
from techmart_fast.records import Feed, SourceFile
from techmart_fast.sources import discover, fingerprinted, look

CONTRACT = default_contract()
RECORD = b'{"transaction_id":"t-1"}'
CSV = b"user_id,email,registration_date,country\nu1,e,2024-01-01,DE\n"


def _zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def _found(path: Path, feed: Feed = Feed.TRANSACTIONS) -> SourceFile:
    (file,) = discover(feed, [str(path)], contract=CONTRACT)
    return file


def _names(*specs: str) -> list[str]:
    found = discover(Feed.TRANSACTIONS, specs, contract=CONTRACT)
    return [file.name for file in found]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("in/b.json", "in/a.json", "in/deep/c.json", "in/.hidden", "in/.git/d.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(RECORD)
    return tmp_path


def test_a_folder_stands_for_all_its_visible_files_by_name(folder: Path) -> None:
    assert _names("in") == ["in/a.json", "in/b.json", "in/deep/c.json"]


def test_globs_folders_and_files_are_sorted_together_and_each_file_counts_once(
    folder: Path,
) -> None:
    (folder / "link.json").symlink_to(folder / "in/a.json")
    assert _names("in/*.json", "in/b.json", "./in/deep") == [
        "in/a.json",
        "in/b.json",
        "in/deep/c.json",
    ]
    assert _names("link.json", "in/a.json") == ["in/a.json"]
    assert _names("in/**/*.json") == ["in/a.json", "in/b.json", "in/deep/c.json"]
    assert _names("in/.hidden") == ["in/.hidden"]


def test_a_file_with_a_bracket_in_its_name_is_found(folder: Path) -> None:
    (folder / "a[1].json").write_bytes(RECORD)
    assert _names("a[1].json") == ["a[1].json"]


@pytest.mark.parametrize("spec", ["nothing", "in/*.csv", "", "in/a.json/x", "nul\0"])
def test_what_names_nothing_is_an_error_that_says_so(folder: Path, spec: str) -> None:
    with pytest.raises(SourceNotFoundError):
        _names(spec)


def test_an_empty_folder_and_a_pipe_are_errors(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(SourceNotFoundError, match="no file in it"):
        _names("empty")
    os.mkfifo(folder / "pipe")
    with pytest.raises(SourceNotFoundError, match="not a file or a folder"):
        _names("pipe")
    with pytest.raises(SourceNotFoundError, match="not a file or a folder"):
        _names(os.devnull)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_an_unreadable_file_is_an_error(folder: Path) -> None:
    (folder / "in/a.json").chmod(0)
    with pytest.raises(SourceNotFoundError, match="Permission denied"):
        _names("in/a.json")


def test_a_file_is_described_by_its_stored_bytes(tmp_path: Path) -> None:
    stored = gzip.compress(RECORD)
    path = tmp_path / "feed.csv"
    path.write_bytes(stored)
    file = _found(path)
    assert file.fingerprint == hashlib.sha256(stored).hexdigest()
    assert (file.size_bytes, file.compression, file.format) == (len(stored), "gzip", "ndjson")
    assert (file.name, file.path, file.ordinal) == (str(path), path, -1)


def test_a_file_that_changes_between_the_look_and_the_reading_is_told(tmp_path: Path) -> None:
    path = tmp_path / "feed.json"
    path.write_bytes(RECORD)
    (seen,) = look(Feed.TRANSACTIONS, [str(path)], contract=CONTRACT)
    assert seen.fingerprint == ""
    assert fingerprinted(seen) == _found(path)
    path.write_bytes(RECORD + b"\n" + RECORD)
    with pytest.raises(SourceChangedError, match=r"feed\.json"):
        fingerprinted(seen)
    path.unlink()
    with pytest.raises(SourceError, match="No such file"):
        fingerprinted(seen)


def test_standard_input_is_its_copy_under_a_name_of_its_own(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(RECORD)
    (file,) = discover(Feed.TRANSACTIONS, ["-", "-"], contract=CONTRACT, standard_input=copy)
    assert (file.name, file.path, file.size_bytes) == ("<stdin>", copy, len(RECORD))
    with pytest.raises(ValueError, match="not copied"):
        discover(Feed.TRANSACTIONS, ["-"], contract=CONTRACT)


def test_a_heartbeat_can_end_the_reading(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(RECORD + b"\n" * (3 << 20))
    beats = []

    def heartbeat() -> None:
        beats.append(1)
        if len(beats) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        discover(Feed.TRANSACTIONS, [str(tmp_path)], contract=CONTRACT, heartbeat=heartbeat)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (b" \r\n\t", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (RECORD, "ndjson"),
        (b"\xef\xbb\xbf\n" + RECORD, "ndjson"),
        (b'{"a":1}\n{"a":2}', "ndjson"),
        (b"[]", "json_array"),
        (b" \n [" + RECORD + b"]", "json_array"),
        (b"[\n" + RECORD + b",\n" + RECORD + b"\n]", "json_array"),
        (b"[" + RECORD + b"]\n[" + RECORD + b"]", "json_array"),
        (b"[garbage\n" + RECORD, "json_array"),
        (b"[1,2]\n" + RECORD + b"\n" + RECORD, "ndjson"),
        (b'garbage{"a\n' + RECORD + b"\n", "ndjson"),
        (b"\0\0\0\0" + RECORD + b"\n" + RECORD + b"\n", "ndjson"),
        (b'{"a":\n' + RECORD + b"\n", "ndjson"),
        (b'{"a":NaN}\n{"b":NaN}\n', "ndjson"),
        (b'{\n "a": 1\n}\n{\n "a": 2\n}\n', "json_array"),
        (RECORD + RECORD, "json_array"),
        (b'{"a":"' + b"x" * 300_000 + b'"}\n', "ndjson"),
        (b'{"transaction_id', "ndjson"),
    ],
)
def test_json_is_told_by_its_first_lines(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "feed"
    path.write_bytes(content)
    assert _found(path).format == expected


@pytest.mark.parametrize(
    "content",
    [
        CSV,
        b"\xef\xbb\xbf" + CSV,
        b"\r\n\n" + CSV,
        CSV.replace(b"\n", b"\r\n"),
        CSV.replace(b"\n", b"\r"),
        CSV.replace(b"user_id", b'" user_id "'),
        b'"a\nb",' + CSV,
        CSV.rstrip(),
        CSV + b"u" * 500_000,
    ],
)
def test_csv_is_told_by_a_header_that_names_the_key(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "feed"
    path.write_bytes(content)
    assert _found(path, Feed.USERS).format == "csv"
    with pytest.raises(DecodeError, match="'transaction_id'"):
        _found(path, Feed.TRANSACTIONS)


def test_csv_is_told_by_the_name_that_the_contract_gives_the_key(tmp_path: Path) -> None:
    contract = parse_contract('[users.fields]\nuser_id = "Kunde Nr."\n', name="test")
    path = tmp_path / "feed"
    path.write_bytes(CSV.replace(b"user_id", b"Kunde Nr."))
    (file,) = discover(Feed.USERS, [str(path)], contract=contract)
    assert file.format == "csv"
    path.write_bytes(CSV)
    with pytest.raises(DecodeError, match=r"'Kunde Nr\.'"):
        discover(Feed.USERS, [str(path)], contract=contract)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_an_error_that_says_so(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "feed"
    for text in (CSV.decode(), RECORD.decode()):
        path.write_bytes(text.encode(encoding))
        with pytest.raises(DecodeError, match="UTF-16"):
            _found(path, Feed.USERS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PAR1\x15\x04", "Parquet"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"PK\x03\x04", "ZIP"),
        (b"\xfd7zXZ\x00", "xz"),
        (b"x" * 257 + b"ustar", "tar"),
        (b"\n<!DOCTYPE html>\n<html>", "HTML"),
        (CSV.replace(b",", b";"), "semicolons"),
        (CSV.replace(b",", b"\t"), "tabs"),
        (b"u1,e,2024-01-01,DE\n", "neither JSON nor a CSV"),
        (b"user_id,email,registration_date\n", "no column 'country'"),
        (b"user_id,email,user_id,registration_date,country\n", "'user_id' twice"),
        (b"\xff\xff\xff\xff", "neither JSON nor a CSV"),
        (b" " * 300_000 + RECORD, "white space"),
        (gzip.compress(gzip.compress(CSV, mtime=0), mtime=0), "compressed twice"),
        (_zstd(bz2.compress(CSV)), "compressed twice"),
    ],
)
def test_what_is_not_a_feed_is_an_error_that_says_what_it_is(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "feed"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=message) as caught:
        _found(path, Feed.USERS)
    assert str(path) in str(caught.value)
    assert "2024" not in str(caught.value)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, _zstd])
def test_a_compressed_file_that_is_cut_off_at_its_start_is_an_error(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "feed"
    path.write_bytes(compress(RECORD * 100)[:20])
    with pytest.raises(SourceError, match="cut off"):
        _found(path)
    path.write_bytes(compress(b""))
    assert _found(path).format == "empty"


def test_every_error_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "feed"
    path.write_bytes(b"what\nis\nthis")
    with pytest.raises(TechmartError) as caught:
        _found(path)
    assert "\n" not in str(caught.value)
