"""Reading sources decompressed, whole, and only while they stay what they were."""

import bz2
import gzip
import os
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from techmart_fast.contract import default_contract
from techmart_fast.errors import SourceChangedError, SourceError
from techmart_fast.records import Feed, SourceFile
from techmart_fast.sources import discover, open_stream

# More than a block of bz2, and nothing that compresses well.
DATA = b'{"transaction_id":"' + random.Random(1).randbytes(500_000).hex().encode() + b'"}\n'


def _zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def _same(data: bytes) -> bytes:
    return data


COMPRESSIONS = pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, _zstd])


def _file(path: Path) -> SourceFile:
    spec = str(path)
    (file,) = discover(Feed.TRANSACTIONS, [spec], contract=default_contract())
    return file


def _read(file: SourceFile) -> bytes:
    with open_stream(file) as stream:
        return b"".join(iter(lambda: stream.read(100_000), b""))


@pytest.mark.parametrize("compress", [_same, gzip.compress, bz2.compress, _zstd])
def test_bytes_come_back_decompressed(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "feed"
    path.write_bytes(compress(DATA))
    assert _read(_file(path)) == DATA


@COMPRESSIONS
def test_all_members_of_a_compressed_file_are_read(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "feed"
    parts = (b"", DATA[:300_000], b"", b"", DATA[300_000:300_001], DATA[300_001:], b"")
    path.write_bytes(b"".join(map(compress, parts)))
    assert _read(_file(path)) == DATA


def test_a_zstd_file_may_have_skippable_frames(tmp_path: Path) -> None:
    path = tmp_path / "feed"
    skippable = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    path.write_bytes(skippable + _zstd(DATA[:100]) + skippable + _zstd(DATA[100:]))
    assert _read(_file(path)) == DATA


@COMPRESSIONS
@pytest.mark.parametrize("missing", [1, 5, 11])
def test_a_compressed_file_that_is_cut_off_is_an_error_behind_what_was_good(
    tmp_path: Path, compress: Callable[[bytes], bytes], missing: int
) -> None:
    path = tmp_path / "feed"
    path.write_bytes(compress(DATA)[:-missing])
    file = _file(path)
    with open_stream(file) as stream:
        assert stream.read(1000) == DATA[:1000]
        with pytest.raises(SourceError, match=r"feed: the \w+ data is cut off"):
            stream.read()


@COMPRESSIONS
def test_damaged_compressed_data_is_an_error(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "feed"
    good = compress(DATA)
    inside = good[:500_000] + b"\xff" * 99 + good[500_099:]
    # A zstd file need not have checksums.
    for damaged in (good + b"not compressed", good + good[9:] if compress is _zstd else inside):
        path.write_bytes(damaged)
        with pytest.raises(SourceError, match="damaged"):
            _read(_file(path))


def test_a_file_that_changed_since_it_was_discovered_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "feed"
    path.write_bytes(DATA)
    file = _file(path)
    path.write_bytes(DATA + b"\n")
    with pytest.raises(SourceChangedError), open_stream(file):
        pass
    path.write_bytes(DATA)
    os.utime(path, ns=(1, file.modified_ns + 1))
    with pytest.raises(SourceChangedError), open_stream(file):
        pass
    path.unlink()
    with pytest.raises(SourceError, match="No such file"), open_stream(file):
        pass


@pytest.mark.parametrize("compress", [_same, gzip.compress, bz2.compress])
@pytest.mark.parametrize("size", [0, 700_000, 2_000_000])
def test_a_file_that_changes_while_it_is_read_is_an_error(
    tmp_path: Path, compress: Callable[[bytes], bytes], size: int
) -> None:
    path = tmp_path / "feed"
    path.write_bytes(compress(DATA))
    file = _file(path)
    with open_stream(file) as stream:
        stream.read(1000)
        os.truncate(path, size)
        with pytest.raises(SourceChangedError, match="feed was changed"):
            stream.read()


def test_the_file_is_closed_when_the_stream_is(tmp_path: Path) -> None:
    path = tmp_path / "feed"
    path.write_bytes(gzip.compress(DATA))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with open_stream(_file(path)) as stream:
            stream.read(10)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
