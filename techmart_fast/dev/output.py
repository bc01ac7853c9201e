"""Writes the files of a shop: streamed, optionally compressed, in place only when complete."""

import bz2
import gzip
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from techmart_fast.dev.layout import Layout
from techmart_fast.dev.spec import Compression
from techmart_fast.errors import TechmartError

_SUFFIX = {
    Compression.NONE: "",
    Compression.GZIP: ".gz",
    Compression.ZSTD: ".zst",
    Compression.BZ2: ".bz2",
}
# Fast levels: these files are read once or twice.
_GZIP_LEVEL = 3
_BZ2_LEVEL = 1


def compressed_name(name: str, compression: Compression) -> str:
    """The file name with the extension of its compression."""
    return name + _SUFFIX[compression]


class ByteSink(Protocol):
    """What takes the bytes of a file."""

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""
        ...


class RecordFile:
    """An open file that takes records of one layout."""

    def __init__(self, sink: ByteSink, layout: Layout) -> None:
        self._sink = sink
        self._layout = layout
        self._records = 0
        self._put(layout.opening)

    def write(self, records: Sequence[str]) -> None:
        """Append the records."""
        if not records:
            return
        if self._records:
            self._put(self._layout.between)
        self._put(self._layout.joined(records))
        self._records += len(records)

    def finish(self) -> None:
        """Write what stands after the last record."""
        closing = self._layout.closing
        # Each opening ends its own line already.
        self._put(closing if self._records else closing.removeprefix("\n"))

    def _put(self, text: str) -> None:
        self._sink.write(text.encode("utf-8", "surrogateescape"))


@contextmanager
def record_file(path: Path, layout: Layout, compression: Compression) -> Iterator[RecordFile]:
    """A new file of records; it appears under its name only when all went well.

    Raises:
        TechmartError: it can't be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with ExitStack() as stack:
            stack.callback(partial.unlink, missing_ok=True)
            with ExitStack() as files:
                file = RecordFile(_open(files, partial, compression), layout)
                yield file
                file.finish()
            partial.replace(path)
    except OSError as error:
        raise TechmartError(f"Can't write {path}: {error.strerror or error}.") from None


def write_text(path: Path, text: str) -> None:
    """Write a small text file in one go.

    Raises:
        TechmartError: it can't be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise TechmartError(f"Can't write {path}: {error.strerror}.") from None


def _open(files: ExitStack, path: Path, compression: Compression) -> ByteSink:
    plain = files.enter_context(path.open("wb"))
    if compression is Compression.GZIP:
        # No name and no time in the header: equal content, equal file.
        return files.enter_context(
            gzip.GzipFile("", "wb", compresslevel=_GZIP_LEVEL, fileobj=plain, mtime=0)
        )
    if compression is Compression.BZ2:
        return files.enter_context(bz2.BZ2File(plain, "wb", compresslevel=_BZ2_LEVEL))
    if compression is Compression.ZSTD:
        stream: ByteSink = files.enter_context(pa.CompressedOutputStream(plain, "zstd"))
        return stream
    return plain
