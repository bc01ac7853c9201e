"""Framing of CSV: a record is what Python's csv module takes for one."""

import re
from enum import Enum, auto

from techmart_fast.decode.csv_grammar import record_at, regular_run
from techmart_fast.decode.window import Window
from techmart_fast.errors import DecodeError
from techmart_fast.sources.header import HEAD_BYTES, CsvHeader, read_header

_SKIP_BYTES = 1 << 20
_LONGEST_LINE_END = 2
_LEAST_REACH_BYTES = 64 << 10
_UNQUOTED_END = re.compile(rb"[,\r\n]")


class CsvFraming:
    """Records behind the header. A record includes its line end."""

    def __init__(self, window: Window, max_record_bytes: int, *, file: str) -> None:
        self._window = window
        self._longest = max_record_bytes
        self._file = file
        self._reach = max_record_bytes

    def header(self) -> CsvHeader:
        """The column names, while the window is at the start of the file."""
        stop = self._window.ensure(HEAD_BYTES)
        header = read_header(bytes(self._window.buffer[:stop]))
        if header is None:
            raise DecodeError(
                f"{self._file}: can't read the CSV header.",
                hint=f"It must be UTF-8 text of at most {HEAD_BYTES:,} bytes.",
            )
        return header

    def preamble(self) -> int:
        """Length of byte order mark and header."""
        return self.header().end

    def advance(self, start: int, limit: int) -> int:
        """The last boundary in reach, if the quoting up to there is regular."""
        size = min(limit, self._reach)
        stop = self._window.ensure(start + size)
        if stop == start:
            return start
        final = stop < start + size
        if self._window.buffer.find(b'"', start, stop) < 0:
            self._reach = limit
            newline = self._window.buffer.rfind(b"\n", start, stop)
            return stop if final else max(start, newline + 1)
        run = regular_run(self._window.buffer, start, stop, final=final)
        end = run.end if run else start
        # Where odd quotes are frequent, looking far ahead for them again and again is wasted.
        ahead = max(_LEAST_REACH_BYTES, 2 * (end - start))
        self._reach = limit if run and not run.stopped else ahead
        return end

    def step(self, start: int) -> int | None:
        """Behind the record at `start`."""
        stop = self._window.ensure(start + self._longest + _LONGEST_LINE_END + 1)
        record = record_at(self._window.buffer, start, stop)
        return record.end if record.content_end - start <= self._longest else None

    def skip(self) -> None:
        """Drop a record of any length."""
        state = _State.FIELD_START
        while stop := self._window.ensure(_SKIP_BYTES):
            end, state = _scan(self._window.buffer, stop, state)
            returned = end and self._window.buffer[end - 1 : end] == b"\r"
            self._window.drop(end)
            if state is _State.RECORD_END:
                if returned and self._window.ensure(1) and self._window.buffer[0] == 0x0A:
                    self._window.drop(1)
                return


class _State(Enum):
    FIELD_START = auto()
    UNQUOTED = auto()
    QUOTED = auto()
    QUOTE_IN_QUOTED = auto()
    RECORD_END = auto()


def _scan(view: bytearray, stop: int, state: _State) -> tuple[int, _State]:
    """Go on in a record from byte 0; returns how far, and the state there."""
    place = 0
    while place < stop and state is not _State.RECORD_END:
        match state:
            case _State.QUOTED:
                quote = view.find(b'"', place, stop)
                if quote < 0:
                    return stop, state
                place, state = quote + 1, _State.QUOTE_IN_QUOTED
            case _State.UNQUOTED:
                found = _UNQUOTED_END.search(view, place, stop)
                if not found:
                    return stop, state
                place, state = found.end(), _after(found[0])
            case _:
                symbol = bytes(view[place : place + 1])
                state = _State.QUOTED if symbol == b'"' else _after(symbol)
                place += 1
    return place, state


def _after(symbol: bytes) -> _State:
    if symbol == b",":
        return _State.FIELD_START
    return _State.RECORD_END if symbol in b"\r\n" else _State.UNQUOTED
