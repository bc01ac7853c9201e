"""The part of a stream that framing looks at: bytes up to where it asked, and nothing is kept."""

from typing import BinaryIO

import numpy as np

_READ_BYTES = 1 << 20
_NEWLINE = ord("\n")


class Window:
    """A sliding view of a stream that knows its byte offset and line.

    Positions are relative to the first byte that was not yet taken. Whoever looks into `buffer`
    must look no further than `ensure` said: how much more there is depends on chance.
    """

    __slots__ = ("_after_return", "_ended", "_returns", "_stream", "buffer", "line", "offset")

    def __init__(self, stream: BinaryIO, *, returns: bool = False) -> None:
        """`returns`: a carriage return alone ends a line too, as in CSV."""
        self._stream = stream
        self._returns = returns
        self._after_return = False
        self._ended = False
        self.buffer = bytearray()
        self.offset = 0
        self.line = 1

    def ensure(self, size: int) -> int:
        """Have `size` bytes in view, or all that there are: less than `size` means the end."""
        while len(self.buffer) < size and not self._ended:
            chunk = self._stream.read(_READ_BYTES)
            self.buffer += chunk
            self._ended = not chunk
        return min(size, len(self.buffer))

    def take(self, size: int) -> bytes:
        """Remove the first `size` bytes from the view and return them."""
        data = bytes(memoryview(self.buffer)[:size])
        self.drop(size)
        return data

    def drop(self, size: int) -> None:
        """Remove the first `size` bytes from the view."""
        buffer = self.buffer
        # Three times as fast as `bytearray.count`.
        newlines = np.frombuffer(buffer, dtype=np.uint8, count=size) == _NEWLINE
        self.line += int(np.count_nonzero(newlines))
        if self._returns and size:
            if buffer.find(b"\r", 0, size) >= 0:
                self.line += buffer.count(b"\r", 0, size) - buffer.count(b"\r\n", 0, size)
            if self._after_return and buffer[0] == 0x0A:
                self.line -= 1
            self._after_return = buffer[size - 1] == 0x0D
        del buffer[:size]
        self.offset += size
