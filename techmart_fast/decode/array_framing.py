"""Framing of a JSON array: a record is an element, or a damaged stretch between two."""

import re

import orjson

from techmart_fast.decode.elements import (
    LOOK_BEHIND_BYTES,
    ElementGrammar,
    preamble_end,
    separators_end,
)
from techmart_fast.decode.json_text import STRING
from techmart_fast.decode.window import Window
from techmart_fast.sources.header import HEAD_BYTES

# White space behind an element that is looked through for what follows.
_LOOK_AHEAD_BYTES = 64 << 10
_SKIP_BYTES = 1 << 20
# With nested arrays a cut is proven by parsing; small runs waste little when one does not parse.
_PARSED_RUN_BYTES = 256 << 10
_MOST_CANDIDATES = 64

_BETWEEN_RECORDS = re.compile(rb"\}[ \t\r\n]*+,?+[ \t\r\n]*+\Z")
_SCALAR_ARRAY = re.compile(
    rb"\[[ \t\r\n]*+(?:(?:" + STRING + rb"|[-+.\w]++)[ \t\r\n]*+,?+[ \t\r\n]*+)*+\]", re.DOTALL
)
_KEY = re.compile(rb'\{[ \t\r\n]*+"\w')


class ArrayFraming:
    """Elements as `elements` defines them. A record includes the separators behind it."""

    def __init__(self, window: Window, grammar: ElementGrammar) -> None:
        self._window = window
        self._grammar = grammar

    def preamble(self) -> int:
        """Length of byte order mark, white space and the opening bracket."""
        stop = self._window.ensure(HEAD_BYTES + 1)
        return preamble_end(self._window.buffer, stop)

    def advance(self, start: int, limit: int) -> int:
        """The last boundary in reach that is proven.

        Where no `[` stands since `start`, or only arrays of scalars, an object behind `}` and a
        comma is not in an array inside an element; nor is it in a string, as its first key's
        quote would end that; and a damaged stretch ends at the latest at an object that looks
        like a record. So it is an element. Where there are other arrays, the elements before it
        must parse.
        """
        buffer, stop = self._window.buffer, self._window.ensure(start + limit)
        if stop < start + limit:
            return stop
        clear = _first_array_of_more(buffer, start, stop)
        boundary = self._candidate(start, clear, stop)
        if clear == stop or boundary - start >= _PARSED_RUN_BYTES:
            return boundary
        run = start + min(limit, _PARSED_RUN_BYTES)
        parsed = self._candidate(start, run, run)
        return parsed if parsed > boundary and self._parses(start, parsed) else boundary

    def step(self, start: int) -> int | None:
        """Behind the element or damage at `start`, and behind its separators."""
        window, grammar, longest = self._window, self._grammar, self._grammar.longest
        stop = window.ensure(start + longest + _LOOK_AHEAD_BYTES)
        element = separators_end(window.buffer, start, stop)
        if element > start:
            return element
        end = grammar.element_end(window.buffer, start, stop, open_end=True)
        if end:
            return separators_end(window.buffer, end, stop)
        asked = start + 2 * longest + _LOOK_AHEAD_BYTES
        stop = window.ensure(asked)
        end = grammar.next_element(window.buffer, start, stop, open_end=True)
        if end and end - start <= longest:
            return end
        return stop if not end and stop < asked and stop - start <= longest else None

    def skip(self) -> None:
        """Drop everything up to the next object that looks like a record."""
        window, kept = self._window, 0
        reserve = self._grammar.longest + _LOOK_AHEAD_BYTES
        while True:
            asked = kept + _SKIP_BYTES + reserve
            stop = window.ensure(asked)
            limit = stop if stop < asked else stop - reserve
            place = self._grammar.next_record(
                window.buffer, kept + 1, limit, stop, since=0, open_end=True
            )
            if place:
                window.drop(place)
                return
            if stop < asked:
                window.drop(stop)
                return
            window.drop(limit - LOOK_BEHIND_BYTES)
            # The last byte looked at is the one before the limit.
            kept = LOOK_BEHIND_BYTES - 1

    def _candidate(self, start: int, before: int, stop: int) -> int:
        """The last place before `before` that looks like a boundary, with a whole record behind."""
        buffer, place = self._window.buffer, before
        for _ in range(_MOST_CANDIDATES):
            place = buffer.rfind(b"{", start + 1, place)
            if place < 0:
                break
            if (
                _KEY.match(buffer, place, stop)
                and _BETWEEN_RECORDS.search(buffer, max(start, place - LOOK_BEHIND_BYTES), place)
                and self._grammar.is_record(buffer, place, stop, open_end=False)
            ):
                return place
        return start

    def _parses(self, start: int, end: int) -> bool:
        elements = bytes(self._window.buffer[start:end]).rstrip(b" \t\r\n,")
        try:
            orjson.loads(b"[" + elements + b"]")
        except orjson.JSONDecodeError:
            return False
        return True


def _first_array_of_more(view: bytearray, start: int, stop: int) -> int:
    """Where the first array begins that may hold more than scalars, or `stop`."""
    place = view.find(b"[", start, stop)
    while place >= 0:
        scalars = _SCALAR_ARRAY.match(view, place, stop)
        # A bracket in there: the match may have begun in a string.
        if not scalars or view.find(b"[", place + 1, scalars.end()) >= 0:
            return place
        place = view.find(b"[", scalars.end(), stop)
    return stop
