"""The exact text of the records in a JSON answer: every value is scanned, none is rewritten.

The standard library's scanner says where each value ends, so a record's text is a slice of the
answer. Numbers never become binary floats: they are kept as text (`NumberText`), also for looking
at them. orjson would refuse what overflows a double (`1e400`) and can't tell where a value stands.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

_BLANK = re.compile(r"[ \t\r\n]*+")
_LINE_ENDS = str.maketrans("\r\n", "  ")


class NumberText(str):
    """A JSON number, letter by letter."""

    __slots__ = ()


class NotJsonError(ValueError):
    """A text is not JSON: `place` counts characters from 0, where it is known."""

    def __init__(self, reason: str, place: int | None) -> None:
        # The scanner's own words end in "at" now and then.
        where = f" at character {place:,}" if place is not None else ""
        super().__init__(f"{reason.removesuffix(' at')}{where}")


class NoListError(ValueError):
    """There is no list where the records should be; `answer` is all that is there."""

    def __init__(self, answer: object) -> None:
        super().__init__("no list")
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A list within an answer.

    Attributes:
        texts: the exact text of each element, on one line.
        around: the rest of the answer; the list itself is an empty one there.
    """

    texts: Sequence[str]
    around: object


Note = Callable[[object], None]
"""Takes note of the value of one element; its numbers are `NumberText`."""


def read_list(text: str, path: Sequence[str], begin: Callable[[], Note]) -> Listed:
    """The elements of the list at `path` (member names) of a JSON text; no name: it is the list.

    `begin` is called where the list begins; what it returns gets each element's value, so that
    never more than one is in memory. Of a member that stands twice in an object, the last counts.

    Raises:
        NotJsonError: the text is not JSON, or is nested too deep.
        NoListError: it is, but there is no list at the path.
    """
    try:
        reader = _Reader(text, begin)
        around, end = reader.descend(reader.skip(0), path)
        reader.end(end)
    except RecursionError:
        raise NotJsonError("nested too deep", None) from None
    except json.JSONDecodeError as error:
        raise NotJsonError(error.msg[:1].lower() + error.msg[1:], error.pos) from None
    if reader.found is None:
        raise NoListError(around)
    return Listed(texts=reader.found, around=around)


def member(value: object, path: str) -> object:
    """What is at a dotted path within a value; None if there is nothing, or no path."""
    if not path:
        return None
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def has_member(value: object, path: str) -> bool:
    """Whether there is something at a dotted path, be it null."""
    above, _, name = path.rpartition(".")
    inside = member(value, above) if above else value
    return isinstance(inside, Mapping) and name in inside


def _refuse(name: str) -> NoReturn:
    raise NotJsonError(f"{name} is not a JSON number", None)


_DECODER = json.JSONDecoder(
    parse_float=NumberText, parse_int=NumberText, parse_constant=_refuse, strict=True
)


class _Reader:
    """Walks down to the list; every other value is scanned in one go."""

    def __init__(self, text: str, begin: Callable[[], Note]) -> None:
        self._text = text
        self._begin = begin
        self.found: list[str] | None = None

    def skip(self, place: int) -> int:
        blank = _BLANK.match(self._text, place)
        return blank.end() if blank else place

    def end(self, place: int) -> None:
        if self.skip(place) != len(self._text):
            raise json.JSONDecodeError("something follows the value", self._text, place)

    def descend(self, place: int, path: Sequence[str]) -> tuple[object, int]:
        """The value at `place` with the list taken out, and its end."""
        opening = self._text[place : place + 1]
        if not path and opening == "[":
            return [], self._elements(place)
        if path and opening == "{":
            return self._members(place, path)
        return self._scan(place)

    def _scan(self, place: int) -> tuple[object, int]:
        return _DECODER.raw_decode(self._text, place)

    def _elements(self, place: int) -> int:
        texts: list[str] = []
        note = self._begin()
        text, scan, blank = self._text, _DECODER.raw_decode, _BLANK.match
        place = self.skip(place + 1)
        if text[place : place + 1] == "]":
            self.found = texts
            return place + 1
        while True:
            value, end = scan(text, place)
            texts.append(text[place:end].translate(_LINE_ENDS))
            note(value)
            gap = blank(text, end)
            place = gap.end() if gap else end
            symbol = text[place : place + 1]
            if symbol == "]":
                self.found = texts
                return place + 1
            if symbol != ",":
                raise json.JSONDecodeError("a comma or bracket is missing", text, place)
            place = self.skip(place + 1)

    def _members(self, place: int, path: Sequence[str]) -> tuple[dict[str, object], int]:
        members: dict[str, object] = {}
        text = self._text
        place = self.skip(place + 1)
        if text[place : place + 1] == "}":
            return members, place + 1
        while True:
            if text[place : place + 1] != '"':
                raise json.JSONDecodeError("a member's name is missing", text, place)
            name, end = self._scan(place)
            place = self.skip(end)
            if text[place : place + 1] != ":":
                raise json.JSONDecodeError("a colon is missing", text, place)
            place = self.skip(place + 1)
            if name == path[0]:
                self.found = None
                members[str(name)], end = self.descend(place, path[1:])
            else:
                members[str(name)], end = self._scan(place)
            place = self.skip(end)
            symbol = text[place : place + 1]
            if symbol == "}":
                return members, place + 1
            if symbol != ",":
                raise json.JSONDecodeError("a comma or brace is missing", text, place)
            place = self.skip(place + 1)
