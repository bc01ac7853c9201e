"""Feed files to records: every record is a mapping of the feed's names, or a reason code."""

import bz2
import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

MAX_DEPTH = 1024


class Number(str):
    """A JSON number, letter by letter."""

    __slots__ = ()


Raw = Mapping[str, object]


def _refuse(word: str) -> object:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(parse_float=Number, parse_int=Number, parse_constant=_refuse)
_WHITE = " \t\r\n"
_WINDOWS = (1 << 11, 1 << 21)
"""Characters in which an element must end: a few, then more than any record may have."""


def read_bytes(path: Path) -> bytes:
    """The file's content, decompressed (gzip and bz2; there is no zstd in plain Python 3.11)."""
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"BZh"):
        return bz2.decompress(data)
    return data


def records(data: bytes) -> Iterator[Raw | str]:
    """All records in order: the parsed object or CSV row, or the code of why there is none."""
    # Bytes that are not UTF-8 become surrogates, which no UTF-8 text can hold.
    text = data.decode("utf-8-sig", "surrogateescape")
    first = text.lstrip(_WHITE)[:1]
    if first == "[":
        return _array(text)
    if first == "{":
        return _lines(text)
    return _rows(text)


def _lines(text: str) -> Iterator[Raw | str]:
    for line in io.StringIO(text, newline="\n"):
        if line.strip(_WHITE):
            yield parsed(line.strip(_WHITE))


def _array(text: str) -> Iterator[Raw | str]:
    place = _skip(text, text.index("[") + 1)
    if text[place : place + 1] == "]":
        return
    while place < len(text):
        element = _element(text, place)
        if element is not None:
            value, end = element
            yield _checked(value, text[place:end])
        else:
            end = _next_sound(text, place)
            yield _why_not(text[place:end])
        end = _skip(text, end)
        if text[end : end + 1] != ",":
            return
        place = _skip(text, end + 1)


def _element(text: str, place: int) -> tuple[object, int] | None:
    """Element at `place` and its end, if it parses and a comma or the end of the array follows."""
    for window in _WINDOWS:
        # The parser counts the lines before an error: in the whole text that would take for ever.
        part = text[place : place + window]
        try:
            value, length = _DECODER.raw_decode(part)
        except (ValueError, RecursionError):
            continue
        after = _skip(text, place + length)
        if text[after : after + 1] in {",", "]"}:
            return value, place + length
    return None


def _next_sound(text: str, place: int) -> int:
    """The comma before the next object that parses, or the end of the array."""
    comma = text.find(",", place)
    while comma >= 0:
        start = _skip(text, comma + 1)
        if text[start : start + 1] == "{" and _element(text, start) is not None:
            return comma
        comma = text.find(",", comma + 1)
    return max(place, text.rfind("]"))


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in _WHITE:
        place += 1
    return place


def parsed(raw: str) -> Raw | str:
    """One JSON record, or the code of why there is none."""
    try:
        value = _DECODER.decode(raw)
    except (ValueError, RecursionError):
        return _why_not(raw)
    return _checked(value, raw)


def _checked(value: object, raw: str) -> Raw | str:
    if not raw.isascii() and _has_surrogate(raw):
        return "invalid_utf8"
    if "\\u" in raw and _has_surrogate(json.dumps(value, ensure_ascii=False)):
        return "invalid_json"
    return value if isinstance(value, dict) else "not_an_object"


def _why_not(raw: str) -> str:
    if _has_surrogate(raw):
        return "invalid_utf8"
    depth = deepest = 0
    for mark in raw:
        depth += (mark in "[{") - (mark in "]}")
        deepest = max(deepest, depth)
    return "too_deep" if deepest > MAX_DEPTH else "invalid_json"


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _rows(text: str) -> Iterator[Raw | str]:
    rows = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip() for name in next(rows, [])]
    for row in rows:
        if not row:
            continue
        if _has_surrogate("".join(row)):
            yield "invalid_utf8"
        elif len(row) != len(header):
            yield "invalid_csv"
        else:
            yield dict(zip(header, row, strict=True))
