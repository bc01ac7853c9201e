"""Finds, without parsing, where the records of a JSON block probably stand."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from techmart_fast.decode.elements import preamble_end, separators_end
from techmart_fast.decode.encoding import is_utf8
from techmart_fast.sources.header import BYTE_ORDER_MARK

Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Symbols = npt.NDArray[np.uint8]

_WHITE_SPACE = b" \t\r\n"
NEWLINE, _COMMA, _OPEN, _CLOSE = b"\n,{}"
_SCANNED_BYTES = 1 << 18
_IS_BLANK = np.zeros(256, dtype=np.bool_)
_IS_BLANK[list(_WHITE_SPACE)] = True
# Wider indentation is left to the exact path, as every step costs a pass over all records.
_WIDEST_BLANK = 64


@dataclass(frozen=True, slots=True)
class Pieces:
    """Stretches of a block, in order, each of which is a record if all goes well.

    A piece is `[starts, ends)` of `data`, without white space around it. `commas` are the places
    of those between pieces; there is nothing else but white space. `sound`: it begins and ends
    with a brace and is valid UTF-8. Between two sound pieces a parser that sees one object behind
    another must see the boundary: `}` and `{` with only white space in between can stand neither
    in an object nor in a string.
    """

    data: bytes
    starts: Places
    ends: Places
    lines: Places
    commas: Places
    sound: Mask

    def objects(self, first: int, last: int) -> bytearray:
        """A copy of the pieces `[first, last)` with newlines for commas: no two in one line."""
        start, stop = self.span(first, last)
        text = bytearray(memoryview(self.data)[start:stop])
        begin, end = np.searchsorted(self.commas, (start, stop))
        np.frombuffer(text, dtype=np.uint8)[self.commas[begin:end] - start] = NEWLINE
        return text

    def text(self, first: int, last: int) -> pa.Buffer:
        """The same, not to be changed: without a copy, if there are no commas."""
        if len(self.commas):
            return pa.py_buffer(self.objects(first, last))
        start, stop = self.span(first, last)
        return pa.py_buffer(self.data).slice(start, stop - start)

    def blanked(self, first: int, last: int, keep: Mask) -> pa.Buffer:
        """The same with blanks for those pieces `[first, last)` that are not kept."""
        text, (start, _) = self.objects(first, last), self.span(first, last)
        for piece in (np.flatnonzero(~keep) + first).tolist():
            begin, end = self.starts[piece] - start, self.ends[piece] - start
            text[begin:end] = b" " * int(end - begin)
        return pa.py_buffer(text)

    def apart(self, chosen: Places) -> "Pieces":
        """Copies of some pieces, one a line, as the pieces of a block of their own."""
        texts = [
            self.data[start:end]
            for start, end in zip(
                self.starts[chosen].tolist(), self.ends[chosen].tolist(), strict=True
            )
        ]
        ends = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64) - 1
        starts = np.concatenate([[0], ends[:-1] + 1])
        return Pieces(
            b"\n".join(texts),
            starts,
            ends,
            self.lines[chosen],
            self.commas[:0],
            self.sound[chosen],
        )

    def span(self, first: int, last: int) -> tuple[int, int]:
        """From the start of piece `first` to that of piece `last`, or to the end of the last."""
        stop = self.starts[last] if last < len(self.starts) else self.ends[last - 1]
        return int(self.starts[first]), int(stop)


def line_pieces(data: bytes, *, first_line: int, at_start: bool) -> Pieces:
    """The lines of newline-delimited JSON that are not blank."""
    begin = len(BYTE_ORDER_MARK) if at_start and data.startswith(BYTE_ORDER_MARK) else 0
    symbols = np.frombuffer(data, dtype=np.uint8)
    newlines = _places(symbols, NEWLINE, begin)
    starts = np.concatenate([[begin], newlines + 1])
    ends = np.concatenate([newlines, [len(data)]])
    lines = np.arange(first_line, first_line + len(starts), dtype=np.int64)
    rough = np.flatnonzero(~_between_braces(symbols, starts, ends))
    if len(rough):
        starts[rough], ends[rough] = _trimmed(symbols, starts[rough], ends[rough])
        filled = ends > starts
        starts, ends, lines = starts[filled], ends[filled], lines[filled]
    return _pieces(data, starts, ends, lines, commas=starts[:0])


def element_pieces(data: bytes, *, first_line: int, at_start: bool) -> Pieces:
    """The elements of a JSON array of objects, if no array is nested in them."""
    begin = preamble_end(data, len(data)) if at_start else 0
    begin = separators_end(data, begin, len(data))
    symbols = np.frombuffer(data, dtype=np.uint8)
    braces = _places(symbols, _OPEN, begin + 1)
    commas = _before_blanks(symbols, braces - 1)
    is_comma = symbols[commas] == _COMMA
    closes = commas.copy()
    closes[is_comma] = _before_blanks(symbols, commas[is_comma] - 1)
    separates = (closes > begin) & (symbols[closes] == _CLOSE)
    last = len(data.rstrip(_WHITE_SPACE + b",]"))
    empty = begin >= last
    starts = np.concatenate([[begin], braces[separates]])
    ends = np.concatenate([closes[separates] + 1, [last]])
    if empty:
        starts, ends = starts[:0], ends[:0]
    lines = first_line + np.searchsorted(_places(symbols, NEWLINE), starts)
    return _pieces(data, starts, ends, lines, commas=commas[separates & is_comma])


def _places(symbols: Symbols, symbol: int, begin: int = 0) -> Places:
    """Where `symbol` stands, from `begin` on."""
    # By pieces: the mask of a whole block would be as large as the block.
    found = [
        np.flatnonzero(symbols[start : start + _SCANNED_BYTES] == symbol) + start
        for start in range(begin, len(symbols), _SCANNED_BYTES)
    ]
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def _pieces(data: bytes, starts: Places, ends: Places, lines: Places, *, commas: Places) -> Pieces:
    symbols = np.frombuffer(data, dtype=np.uint8)
    sound = _between_braces(symbols, starts, ends)
    if len(starts) and not data.isascii() and not is_utf8(data, 0, len(data)):
        special = np.flatnonzero(symbols >= 0x80)
        owners = np.unique(np.searchsorted(starts, special, side="right") - 1)
        for piece in owners[owners >= 0].tolist():
            sound[piece] &= is_utf8(data, int(starts[piece]), int(ends[piece]))
    return Pieces(data, starts, ends, lines, commas, sound)


def _between_braces(symbols: Symbols, starts: Places, ends: Places) -> Mask:
    # A start may lie behind the data, when a newline ends it: that line is empty.
    filled = ends > starts
    result = np.zeros(len(starts), dtype=np.bool_)
    result[filled] = (symbols[starts[filled]] == _OPEN) & (symbols[ends[filled] - 1] == _CLOSE)
    return result


def _trimmed(symbols: Symbols, starts: Places, ends: Places) -> tuple[Places, Places]:
    starts, ends = starts.copy(), ends.copy()
    for _ in range(_WIDEST_BLANK):
        blank = np.flatnonzero(ends > starts)
        blank = blank[_IS_BLANK[symbols[starts[blank]]]]
        if not len(blank):
            break
        starts[blank] += 1
    for _ in range(_WIDEST_BLANK):
        blank = np.flatnonzero(ends > starts)
        blank = blank[_IS_BLANK[symbols[ends[blank] - 1]]]
        if not len(blank):
            break
        ends[blank] -= 1
    return starts, ends


def _before_blanks(symbols: Symbols, places: Places) -> Places:
    """For each place, the nearest one at or before it that is not blank, if it is near."""
    places = places.copy()
    blank = np.flatnonzero(_IS_BLANK[symbols[places]])
    for _ in range(_WIDEST_BLANK):
        if not len(blank):
            break
        places[blank] -= 1
        np.maximum(places, 0, out=places)
        blank = blank[_IS_BLANK[symbols[places[blank]]]]
    return places
