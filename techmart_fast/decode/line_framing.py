"""Framing of newline-delimited JSON: a record is a line."""

from techmart_fast.decode.window import Window
from techmart_fast.sources.header import BYTE_ORDER_MARK

_SKIP_BYTES = 1 << 20


class LineFraming:
    """Lines end with a newline; the last one may lack it."""

    def __init__(self, window: Window, max_record_bytes: int) -> None:
        self._window = window
        self._longest = max_record_bytes

    def preamble(self) -> int:
        """Length of the byte order mark."""
        size = len(BYTE_ORDER_MARK)
        self._window.ensure(size)
        return size if self._window.buffer.startswith(BYTE_ORDER_MARK) else 0

    def advance(self, start: int, limit: int) -> int:
        """Behind the last newline in reach, or the end of the stream."""
        stop = self._window.ensure(start + limit)
        if stop < start + limit:
            return stop
        return max(start, self._window.buffer.rfind(b"\n", start, stop) + 1)

    def step(self, start: int) -> int | None:
        """Behind the next newline."""
        asked = start + self._longest + 1
        stop = self._window.ensure(asked)
        newline = self._window.buffer.find(b"\n", start, stop)
        if newline >= 0:
            return newline + 1
        return stop if stop < asked else None

    def skip(self) -> None:
        """Drop a line of any length."""
        while stop := self._window.ensure(_SKIP_BYTES):
            newline = self._window.buffer.find(b"\n", 0, stop)
            self._window.drop(newline + 1 if newline >= 0 else stop)
            if newline >= 0:
                return
