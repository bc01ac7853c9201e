"""The records of a CSV file exactly as Python's csv module cuts them (its `excel` dialect).

A quote opens a quoted field only as the field's first character; inside, two quotes stand for
one; behind the closing quote the field goes on unquoted. Newline, carriage return and both
together end a record outside quotes.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

View = bytes | bytearray
Places = npt.NDArray[np.int64]

_FIELD = (
    rb'(?:"(?:[^"]++|"")*+(?:"[^,\r\n]*+|(?P<open>\Z))'  # quoted, perhaps never closed
    rb'|(?!")[^,\r\n]*+)'
)
_RECORD = re.compile(
    rb"(?P<content>" + _FIELD + rb"(?:," + _FIELD.replace(b"?P<open>", b"?P<open_later>") + rb")*+)"
    rb"(?:\r\n|\n|\r|\Z)"
)
_FIELD_TEXT = re.compile(
    r'(?:\A|,)(?:"(?P<quoted>(?:[^"]++|"")*+)"?+(?P<rest>[^,]*+)|(?P<plain>[^,]*+))'
)
_QUOTE, _COMMA, _NEWLINE, _RETURN = b'",\n\r'


@dataclass(frozen=True, slots=True)
class CsvRecord:
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
    open_quote = match["open"] is not None or match["open_later"] is not None
    return CsvRecord(start, match.end("content"), match.end(), open_quote)


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
    them end a record. `quoted`: there is some quote.
    """

    end: int
    newlines: Places
    closes: npt.NDArray[np.bool_]
    quoted: bool


def regular_end(view: View, start: int, stop: int, *, final: bool) -> int:
    """Where the last whole record of `view[start:stop]` ends if that is easy to prove, or 0."""
    if view.find(b'"', start, stop) < 0:
        return stop if final else view.rfind(b"\n", start, stop) + 1
    run = regular_run(view, start, stop, final=final)
    return run.end if run else 0


def regular_run(view: View, start: int, stop: int, *, final: bool) -> RegularRun | None:
    """The whole records at the start of `view[start:stop]`, if they can be told by parity.

    That is so if every opening quote stands at the start of a field, every closing one at the
    end of one, and every carriage return before a newline. `final`: the file ends at `stop`.
    """
    symbols = np.frombuffer(view, dtype=np.uint8, count=stop - start, offset=start)
    newlines = np.flatnonzero(symbols == _NEWLINE)
    quoted = view.find(b'"', start, stop) >= 0
    if quoted:
        quotes = np.flatnonzero(symbols == _QUOTE)
        closes = np.searchsorted(quotes, newlines) % 2 == 0
    else:
        quotes = newlines[:0]
        closes = np.ones(len(newlines), dtype=np.bool_)
    ends = newlines[closes]
    size = stop - start if final else (int(ends[-1]) + 1 if len(ends) else 0)
    if not size or not _returns_are_regular(symbols, size, view, start):
        return None
    if quoted and not _quotes_are_regular(symbols, quotes[quotes < size], size):
        return None
    inside = newlines < size
    return RegularRun(start + size, newlines[inside], closes[inside], quoted)


def _returns_are_regular(symbols: npt.NDArray[np.uint8], size: int, view: View, start: int) -> bool:
    if view.find(b"\r", start, start + size) < 0:
        return True
    returns = np.flatnonzero(symbols[:size] == _RETURN)
    return bool(returns[-1] + 1 < size and (symbols[returns + 1] == _NEWLINE).all())


def _quotes_are_regular(symbols: npt.NDArray[np.uint8], quotes: Places, size: int) -> bool:
    if len(quotes) % 2:
        return False
    opening, closing = quotes[0::2], quotes[1::2]
    doubled = opening[1:] == closing[:-1] + 1
    before = symbols[opening[1:] - 1]
    starts_field = (before == _COMMA) | (before == _NEWLINE)
    first = not len(opening) or opening[0] == 0 or symbols[opening[0] - 1] in (_COMMA, _NEWLINE)
    after = symbols[np.minimum(closing + 1, size - 1)]
    ends_field = (after == _COMMA) | (after == _NEWLINE) | (after == _RETURN)
    ends_field[:-1] |= doubled
    if len(closing) and closing[-1] == size - 1:
        ends_field[-1] = True
    return bool(first and (doubled | starts_field).all() and ends_field.all())
