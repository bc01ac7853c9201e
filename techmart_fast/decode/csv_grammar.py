"""The records of a CSV file exactly as Python's csv module cuts them (its `excel` dialect).

A quote opens a quoted field only as the field's first character; inside, two quotes stand for
one; behind the closing quote the field goes on unquoted. Newline, carriage return and both
together end a record outside quotes.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

View = bytes | bytearray
Places = npt.NDArray[np.int64]

# No group stands in a repeated part: the re module loses its way with those (Python 3.11).
_QUOTED = rb'"(?:[^"]++|"")*+'
_FIELD = rb"(?:" + _QUOTED + rb'"[^,\r\n]*+|(?!")[^,\r\n]*+)'
_RECORD = re.compile(
    rb"(?P<content>(?:" + _FIELD + rb",)*+(?:" + _FIELD + rb"|(?P<open>" + _QUOTED + rb")))"
    rb"(?:\r\n|\n|\r|\Z)"
)
_FIELD_TEXT = re.compile(
    r'(?:\A|,)(?:"(?P<quoted>(?:[^"]++|"")*+)"?+(?P<rest>[^,]*+)|(?P<plain>[^,]*+))'
)
_QUOTE, _COMMA, _NEWLINE, _RETURN = b'",\n\r'


class CsvRecord(NamedTuple):
    """A record's bytes: `[start, content_end)` without, `[start, end)` with its line end."""

    start: int
    content_end: int
    end: int
    unterminated: bool


def record_at(view: View, start: int, stop: int) -> CsvRecord:
    """The record that begins at `start`, as if the file ended at `stop`."""
    match = _RECORD.match(view, start, stop)
    if match is None:
        raise AssertionError("every byte string begins with a CSV record")
    return CsvRecord(start, match.end("content"), match.end(), match["open"] is not None)


def records_in(view: View, start: int, stop: int) -> Iterator[CsvRecord]:
    """The records in `view[start:stop]`, without empty lines, which are none."""
    while start < stop:
        record = record_at(view, start, stop)
        if record.content_end > record.start:
            yield record
        start = record.end


def split_fields(text: str) -> list[str]:
    """The fields of one record without its line end."""
    if len(text) <= csv.field_size_limit():
        return next(csv.reader((text,)))
    # The csv module's limit belongs to the whole process, so it is not ours to raise.
    fields = []
    for match in _FIELD_TEXT.finditer(text):
        quoted, plain = match["quoted"], match["plain"]
        fields.append(plain if quoted is None else quoted.replace('""', '"') + match["rest"])
    return fields


def line_ends(view: View, start: int, stop: int) -> int:
    """How many lines end in `view[start:stop)`."""
    ends = view.count(b"\n", start, stop)
    if view.find(b"\r", start, stop) >= 0:
        ends += view.count(b"\r", start, stop) - view.count(b"\r\n", start, stop)
    return ends


@dataclass(frozen=True, slots=True)
class RegularRun:
    """Whole records with regular quoting in `[start, end)` of a view.

    `newlines` are the places of all newlines in it, relative to `start`; `closes` tells which of
    them end a record. `quoted`: there is some quote. `stopped`: something irregular follows.
    """

    end: int
    newlines: Places
    closes: npt.NDArray[np.bool_]
    quoted: bool
    stopped: bool


def regular_run(view: View, start: int, stop: int, *, final: bool) -> RegularRun | None:
    """The whole records at the start of `view[start:stop]` that can be told by parity, if any.

    Those are the records before the first opening quote that does not stand at the start of a
    field, closing quote that is not at the end of one, or carriage return without a newline.
    `final`: the file ends at `stop`.
    """
    size = stop - start
    symbols = np.frombuffer(view, dtype=np.uint8, count=size, offset=start)
    newlines = np.flatnonzero(symbols == _NEWLINE)
    closes = np.ones(len(newlines), dtype=np.bool_)
    regular = size
    open_at_end = False
    quoted = view.find(b'"', start, stop) >= 0
    if quoted:
        quotes = np.flatnonzero(symbols == _QUOTE)
        closes = np.searchsorted(quotes, newlines) % 2 == 0
        open_at_end = len(quotes) % 2 == 1
        regular = _first(quotes[~_regular_quotes(symbols, quotes, final=final)], regular)
    if view.find(b"\r", start, stop) >= 0:
        returns = np.flatnonzero(symbols == _RETURN)
        follows = symbols[np.minimum(returns + 1, size - 1)]
        regular = _first(returns[follows != _NEWLINE], regular)
    stopped = regular < size
    if stopped or open_at_end or not final:
        ends = newlines[closes & (newlines < regular)]
        size = int(ends[-1]) + 1 if len(ends) else 0
    inside = newlines < size
    if not size:
        return None
    return RegularRun(start + size, newlines[inside], closes[inside], quoted, stopped)


def _first(places: Places, otherwise: int) -> int:
    return min(int(places[0]), otherwise) if len(places) else otherwise


def _regular_quotes(
    symbols: npt.NDArray[np.uint8], quotes: Places, *, final: bool
) -> npt.NDArray[np.bool_]:
    """Which quotes stand where their turn wants them: they open and close in turns."""
    regular = np.empty(len(quotes), dtype=np.bool_)
    opening, closing = quotes[0::2], quotes[1::2]
    before = symbols[opening - 1]
    regular[0::2] = (before == _COMMA) | (before == _NEWLINE) | (opening == 0)
    last = len(symbols) - 1
    after = symbols[np.minimum(closing + 1, last)]
    regular[1::2] = (after == _COMMA) | (after == _NEWLINE) | (after == _RETURN)
    if final and len(closing) and closing[-1] == last:
        regular[2 * len(closing) - 1] = True
    # A closing quote with an opening one right behind it stands for a quote in the field.
    doubled = np.flatnonzero(opening[1:] == closing[: len(opening) - 1] + 1)
    regular[2 * doubled + 1] = True
    regular[2 * doubled + 2] = True
    return regular
