"""What the elements of a JSON array are, also when some of them are damaged.

An array is read as JSON values one after another. Commas, white space and closing brackets
between them belong to none: a missing or doubled comma costs no record, and an array that
follows another one is read on. A value that does not parse, or is followed by neither a comma,
nor a bracket, nor another object, is damaged. The damage ends where the next element begins:
behind balanced brackets, or at the next object that has at least half of the feed's required
fields filled (nested objects rarely have) and is not plainly inside another object.
"""

import re
from collections import deque
from dataclasses import dataclass

import orjson

from techmart_fast.contract import Contract
from techmart_fast.decode.json_text import MAX_DEPTH, STRING, parse_json
from techmart_fast.records import Feed
from techmart_fast.sources.header import BYTE_ORDER_MARK

View = bytes | bytearray

LOOK_BEHIND_BYTES = 64

_BLANK = rb"[ \t\r\n]*+"
_VALUE = rb"(?:" + STRING + rb"|[-+.\w]++)"
# Both stop at the first thing that JSON does not allow, so that damage is noticed where it is and
# not after a long search for a bracket.
_FLAT_OBJECT = re.compile(
    rb"\{%(_)s(?:%(string)s%(_)s:%(_)s%(value)s%(_)s,?+%(_)s)*+\}"
    % {b"_": _BLANK, b"string": STRING, b"value": _VALUE},
    re.DOTALL,
)
_UP_TO_BRACKET = re.compile(
    rb"%(_)s(?:,%(_)s)?+(?:%(value)s%(_)s(?:[:,]%(_)s|(?=[\]}])))*+"
    % {b"_": _BLANK, b"value": _VALUE},
    re.DOTALL,
)
_STRING = re.compile(STRING, re.DOTALL)
_STRING_OR_BRACKET = re.compile(STRING + rb'|["{}\[\]]', re.DOTALL)
_SCALAR = re.compile(rb'[^ \t\r\n,:"{}\[\]]++')
_SEPARATORS = re.compile(rb"(?:[ \t\r\n,]++|\][ \t\r\n,]*+\[?+)*+")
_PREAMBLE = re.compile(rb"(?:%s)?+[ \t\r\n]*+\[?+" % BYTE_ORDER_MARK)
_FOLLOWED = re.compile(rb"[ \t\r\n]*+(?:[,\]{]|(?P<end>\Z))")
_OBJECT_OPENS = re.compile(rb"\{(?=[ \t\r\n]*+" + STRING + rb"[ \t\r\n]*+:)", re.DOTALL)
# What is read in vain at most for objects that never close, in longest elements: behind that only
# flat objects count.
_MOST_WASTE = 32


def preamble_end(view: View, stop: int) -> int:
    """End of what stands before the first element of a file: byte order mark and bracket."""
    match = _PREAMBLE.match(view, 0, stop)
    return match.end() if match else 0


def separators_end(view: View, start: int, stop: int) -> int:
    """Where the next element begins at the earliest."""
    match = _SEPARATORS.match(view, start, stop)
    return match.end() if match else start


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementGrammar:
    """The elements of a feed's array. An element longer than `longest` bytes counts as damaged.

    All methods look at `view[start:stop]`. `open_end` says that an element may be followed by
    the end of the view.
    """

    required: frozenset[str]
    longest: int

    @classmethod
    def of(cls, contract: Contract, feed: Feed, *, longest: int) -> "ElementGrammar":
        """The grammar for a feed under a contract."""
        rules = contract.rules(feed)
        names = frozenset(rules.source_name(field) for field in rules.required)
        return cls(required=names, longest=longest)

    def element_end(self, view: View, start: int, stop: int, *, open_end: bool) -> int:
        """End of the good element at `start`, or 0."""
        end = self._balanced_end(view, start, stop)
        if not end or not _is_followed(view, end, stop, open_end=open_end):
            return 0
        return 0 if isinstance(parse_json(bytes(view[start:end])), str) else end

    def is_record(self, view: View, start: int, stop: int, *, open_end: bool) -> bool:
        """Whether a good element at `start` is an object that looks like a record of the feed."""
        end = self._balanced_end(view, start, stop)
        return bool(end) and self._holds_record(view, start, end, stop, open_end=open_end)

    def _holds_record(self, view: View, start: int, end: int, stop: int, *, open_end: bool) -> bool:
        if not _is_followed(view, end, stop, open_end=open_end) or not self._names(
            view, start, end
        ):
            return False
        parsed = parse_json(bytes(view[start:end]))
        if isinstance(parsed, str) or not isinstance(parsed.value, dict):
            return False
        filled = sum(parsed.value.get(name) is not None for name in self.required)
        return 2 * filled >= len(self.required)

    def _names(self, view: View, start: int, end: int) -> bool:
        """Whether enough required fields may be there. To find none is quicker than to parse."""
        if view.find(b"\\", start, end) >= 0:
            return True
        named = sum(view.find(orjson.dumps(name), start, end) >= 0 for name in self.required)
        return 2 * named >= len(self.required)

    def next_element(self, view: View, start: int, stop: int, *, open_end: bool) -> int:
        """Where the damage at `start` ends: the start of the next element, or 0 if it never does.

        Looks at most `longest` bytes far.
        """
        limit = min(stop, start + self.longest + 1)
        record = self.next_record(view, start + 1, limit, stop, since=start, open_end=open_end)
        behind = self._element_behind(view, start, record or limit, stop, open_end=open_end)
        return behind or record

    def next_record(
        self, view: View, start: int, limit: int, stop: int, *, since: int, open_end: bool
    ) -> int:
        """Where the first object in `[start, limit)` that looks like a record begins, or 0.

        `since` is in the damage: what stands before it is not looked at.
        """
        seen = _Nesting(view, start, start)
        wasted = 0
        for opening in _OBJECT_OPENS.finditer(view, start, stop):
            place = opening.start()
            if place >= limit:
                break
            if not _may_begin(view, place, since):
                continue
            furthest = min(stop, place + self.longest)
            flat = _FLAT_OBJECT.match(view, place, furthest)
            end = flat.end() if flat else 0
            # Most nested ones were met on the way through one before: no need to begin anew.
            if not flat and seen.knows(place):
                end = seen.end_of(place, furthest)
            elif not flat and wasted < _MOST_WASTE * self.longest:
                nesting = _Nesting(view, place, min(stop, limit + self.longest))
                end = nesting.end_of(place, furthest)
                wasted += 0 if end else nesting.place - place
                seen = max(seen, nesting, key=_how_far)
            if end and self._holds_record(view, place, end, stop, open_end=open_end):
                return place
        return 0

    def _element_behind(
        self, view: View, start: int, limit: int, stop: int, *, open_end: bool
    ) -> int:
        """The next good element before `limit` that lies behind balanced brackets, or 0."""
        place = start
        while end := _roughly_balanced_end(view, place, limit):
            followed = _is_followed(view, end, stop, open_end=open_end)
            place = separators_end(view, end, stop)
            if place >= limit:
                break
            if followed and self.element_end(view, place, stop, open_end=open_end):
                return place
        return 0

    def _balanced_end(self, view: View, start: int, stop: int) -> int:
        """End of what may be a JSON value at `start`; 0 if it is none or too long."""
        stop = min(stop, start + self.longest)
        match view[start : start + 1]:
            case b"{" | b"[":
                flat = _FLAT_OBJECT.match(view, start, stop)
                return flat.end() if flat else _Nesting(view, start, stop).end_of(start, stop)
            case _:
                return _roughly_balanced_end(view, start, stop)


class _Nesting:
    """Reads on from the bracket at `start` as long as it looks like JSON, at most to `stop`.

    What may follow a bracket depends on no bracket before it. So one way through the outermost
    value tells the ends of all that are in it, and what breaks it breaks all that are open.
    """

    __slots__ = ("_awaited", "_broken", "_closed", "_openings", "_stop", "_view", "place")

    def __init__(self, view: View, start: int, stop: int) -> None:
        self._view = view
        self._stop = stop
        self._broken = False
        self._awaited = bytearray()
        self._openings: deque[int] = deque()
        self._closed: dict[int, int] = {}
        self.place = start

    def knows(self, opening: int) -> bool:
        """Whether the bracket at `opening` was met on the way."""
        return opening in self._closed or opening in self._openings

    def end_of(self, opening: int, limit: int) -> int:
        """End of the value that opens at `start`, or at a bracket that is known.

        0 if it has none up to `limit`, or is nested too deeply.
        """
        while opening not in self._closed and not self._broken and self.place < limit:
            self._step()
            if self._openings and opening < self._openings[0]:
                return 0
        end = self._closed.get(opening, 0)
        return end if end <= limit else 0

    def _step(self) -> None:
        """Read on behind the next bracket, or find that there is none that may stand there."""
        run = _UP_TO_BRACKET.match(self._view, self.place, self._stop)
        before, self.place = self.place, run.end() if run else self._stop
        bracket = bytes(self._view[self.place : self.place + 1])
        if self.place >= self._stop:
            self._broken = True
        elif bracket in (b"{", b"["):
            self._open(bracket, before)
        elif self._awaited.endswith(bracket):
            self._awaited.pop()
            self.place += 1
            self._closed[self._openings.pop()] = self.place
        else:
            self._broken = True

    def _open(self, bracket: bytes, before: int) -> None:
        if self._awaited.endswith(b"}") and not _may_be_member(self._view, before, self.place):
            self._broken = True
            return
        if len(self._awaited) == MAX_DEPTH:
            # Too deep for the outermost one, which says nothing of the others.
            del self._awaited[0]
            self._openings.popleft()
        self._awaited += b"}" if bracket == b"{" else b"]"
        self._openings.append(self.place)
        self.place += 1


def _how_far(nesting: _Nesting) -> int:
    return nesting.place


def _may_be_member(view: View, start: int, stop: int) -> bool:
    """Whether a bracket at `stop` has a colon before it, as it must in an object."""
    before = _before(view, start, stop)
    # All blank: the colon is out of sight.
    return not before or before.endswith(b":")


def _roughly_balanced_end(view: View, start: int, stop: int) -> int:
    """End of what begins at `start`, by quotes and brackets alone; 0 if it has none."""
    symbol = view[start : start + 1]
    if symbol not in (b"{", b"["):
        found = (_STRING if symbol == b'"' else _SCALAR).match(view, start, stop)
        return found.end() if found else 0
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(view, start, stop):
        match token[0]:
            case b"{" | b"[":
                depth += 1
            case b"}" | b"]":
                depth -= 1
                if not depth:
                    return token.end()
            case b'"':
                return 0
    return 0


def _is_followed(view: View, end: int, stop: int, *, open_end: bool) -> bool:
    match = _FOLLOWED.match(view, end, stop)
    return match is not None and (open_end or match["end"] is None)


def _may_begin(view: View, place: int, start: int) -> bool:
    """Whether an element may begin at `place`, by what stands before it and not before `start`.

    What follows another opening brace or a colon is inside an object.
    """
    return not _before(view, start, place).endswith((b"{", b":"))


def _before(view: View, start: int, place: int) -> bytes:
    return bytes(view[max(start, place - LOOK_BEHIND_BYTES) : place]).rstrip(b" \t\r\n")
