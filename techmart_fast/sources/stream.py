"""Opens a source as decompressed bytes, and notices when the file changes under the reader."""

import bz2
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa

from techmart_fast.errors import SourceChangedError, SourceError
from techmart_fast.records import SourceFile

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PLAIN = "plain"

# Large enough that a system call or a call into the decompressor costs nothing per byte.
_BUFFER_BYTES = 256 << 10


@contextmanager
def open_stream(file: SourceFile) -> Iterator[BinaryIO]:
    """The bytes of `file`, decompressed (all members of a gzip file, all frames of a zstd file).

    Raises:
        SourceChangedError: the file is not, or while it is read no longer, the one discovered.
        SourceError: it can't be read, or its compressed data is damaged or cut off. Both are also
            raised by reads from the stream; what was read before is good.
    """
    with _GuardedFile(file) as guarded:
        raw: io.RawIOBase = guarded
        if file.compression != PLAIN:
            raw = _Decompressed(guarded, file)
        with io.BufferedReader(raw, _BUFFER_BYTES) as stream:
            yield stream


class _GuardedFile(io.RawIOBase):
    """Stored bytes of a file; every read checks that the file is still the same one."""

    def __init__(self, file: SourceFile) -> None:
        super().__init__()
        self._file = file
        try:
            self._raw = io.FileIO(file.path)
        except OSError as error:
            self.close()
            raise SourceError(f"Can't read {file.name}: {error.strerror}.") from None
        self._stamp = _stamp(os.fstat(self._raw.fileno()))
        if file.modified_ns and self._stamp != (file.size_bytes, file.inode, file.modified_ns):
            self.close()
            raise _changed(file)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        try:
            count = self._raw.readinto(buffer)
        except OSError as error:
            raise SourceError(f"Can't read {self._file.name}: {error.strerror}.") from error
        if _stamp(os.fstat(self._raw.fileno())) != self._stamp:
            raise _changed(self._file)
        return count or 0

    def close(self) -> None:
        if not self.closed and hasattr(self, "_raw"):
            self._raw.close()
        super().close()


class _Decompressed(io.RawIOBase):
    """What the compressed bytes of another stream hold."""

    def __init__(self, stored: _GuardedFile, file: SourceFile) -> None:
        super().__init__()
        self._file = file
        buffered = io.BufferedReader(stored, _BUFFER_BYTES)
        self._decompressor: _Bz2Decompressor | pa.NativeFile
        if file.compression == "bz2":
            self._decompressor = _Bz2Decompressor(buffered)
        else:
            self._decompressor = pa.CompressedInputStream(
                pa.PythonFile(buffered, mode="r"), file.compression
            )

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        try:
            return int(self._decompressor.readinto(buffer))
        except (OSError, EOFError) as error:
            cut_off = isinstance(error, EOFError) or "Truncated" in str(error)
            raise SourceError(
                f"{self._file.name}: the {self._file.compression} data is "
                f"{'cut off' if cut_off else 'damaged'}.",
                hint="Copy the file again from where it comes.",
            ) from error

    def close(self) -> None:
        if not self.closed:
            self._decompressor.close()
        super().close()


class _Bz2Decompressor:
    """All streams of a bz2 file.

    Arrow fails on an empty stream between others, and `bz2.BZ2File` silently ends at the first
    stream that is damaged at its start.
    """

    def __init__(self, stored: BinaryIO) -> None:
        self._stored = stored
        self._stream = bz2.BZ2Decompressor()

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the buffer as far as it is easy; 0 at the end. Raises EOFError, OSError."""
        with memoryview(buffer) as view:
            while True:
                data = b""
                if self._stream.eof:
                    data = self._stream.unused_data or self._stored.read(_BUFFER_BYTES)
                    if not data:
                        return 0
                    self._stream = bz2.BZ2Decompressor()
                elif self._stream.needs_input:
                    data = self._stored.read(_BUFFER_BYTES)
                    if not data:
                        raise EOFError
                if found := self._stream.decompress(data, len(view)):
                    view[: len(found)] = found
                    return len(found)

    def close(self) -> None:
        """Close what it reads from."""
        self._stored.close()


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_ino, status.st_mtime_ns


def _changed(file: SourceFile) -> SourceChangedError:
    return SourceChangedError(
        f"{file.name} was changed while it was being read.",
        hint="Run again when the file is complete; what was loaded of it stays loaded.",
    )
