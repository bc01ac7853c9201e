"""Corrected records for a replay: JSON lines, each with the number of a rejected record."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from techmart_fast.errors import ConfigError
from techmart_fast.postgres import WaitingRecord
from techmart_fast.reasons import LARGEST_NUMBER
from techmart_fast.sources.header import BYTE_ORDER_MARK
from techmart_fast.sources.sniff import NDJSON

_LIKE = (
    'Each line is like {"number": 7, "raw": "the record as it would stand in its file"}, or '
    '{"number": 7, "record": {"transaction_id": …}}; quarantine export writes such lines.'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What takes a rejected record's place: its bytes, in the format of its file or another one.

    `format` is `ndjson` for a JSON object whatever the file was, empty for that of the file.
    `place` is where the record is said to stand, as far as it is said.
    """

    raw: bytes
    format: str = ""
    place: Mapping[str, object] = field(default_factory=dict)

    def is_of(self, record: WaitingRecord) -> bool:
        """Whether the record stands where this correction says; numbers differ by database."""
        there = {
            "feed": record.source.feed.value,
            "source_name": record.source.name,
            "source_offset": record.source_offset,
        }
        return all(there[name] == said for name, said in self.place.items())


class _Number(str):
    """A JSON number, letter by letter: it never becomes a binary float."""

    __slots__ = ()


def read_corrections(path: Path) -> Mapping[int, Correction]:
    """The corrections of a file by the number of their record.

    A line has `raw` (text, or base64 where `raw_encoding` says so) or `record` (an object with the
    feed's field names). Where it has `feed`, `source_name` or `source_offset`, they are those of
    the record; other names are ignored.

    Raises:
        ConfigError: the file can't be read, or a line is not like that. No content is quoted.
    """
    try:
        lines = path.read_bytes().removeprefix(BYTE_ORDER_MARK).split(b"\n")
    except OSError as error:
        raise ConfigError(f"Can't read {path}: {error.strerror}.") from None
    found: dict[int, Correction] = {}
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        number, correction = _parsed(line, f"{path}, line {place}")
        if number in found:
            raise ConfigError(f"{path}, line {place}: record {number} is there twice.")
        found[number] = correction
    if not found:
        raise ConfigError(f"{path} holds no corrections.", hint=_LIKE)
    return found


def _parsed(line: bytes, where: str) -> tuple[int, Correction]:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ConfigError(f"{where}: a name stands twice in an object.", hint=_LIKE)
        return found

    try:
        given = json.loads(
            line,
            parse_float=_Number,
            parse_int=_Number,
            parse_constant=_no_constant,
            object_pairs_hook=once,
        )
    except (ValueError, RecursionError):
        raise ConfigError(f"{where}: this is no JSON.", hint=_LIKE) from None
    number = given.get("number") if isinstance(given, dict) else None
    if not isinstance(number, _Number) or not number.isdecimal():
        raise ConfigError(f"{where}: there is no number of a record.", hint=_LIKE)
    if int(number) > LARGEST_NUMBER:
        raise ConfigError(f"{where}: no record has so large a number.", hint=_LIKE)
    place = {name: given[name] for name in ("feed", "source_name") if name in given}
    if "source_offset" in given:
        offset = given["source_offset"]
        place["source_offset"] = int(offset) if isinstance(offset, _Number) else offset
    raw, record = given.get("raw"), given.get("record")
    if isinstance(record, dict) and raw is None:
        text = _text(record).encode("utf-8", "surrogatepass")
        return int(number), Correction(raw=text, format=NDJSON, place=place)
    if type(raw) is str and record is None:
        encoded = _bytes(raw, given.get("raw_encoding"), where)
        return int(number), Correction(raw=encoded, place=place)
    raise ConfigError(f"{where}: it needs either 'raw' or 'record'.", hint=_LIKE)


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("no JSON")


def _text(value: object) -> str:
    """The JSON text of a value, its numbers letter by letter."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}: {_text(one)}" for name, one in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _bytes(raw: str, encoding: object, where: str) -> bytes:
    if encoding in (None, "utf-8"):
        try:
            return raw.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{where}: 'raw' is not valid Unicode.", hint=_LIKE) from None
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error:
        raise ConfigError(f"{where}: 'raw' is not in base64.", hint=_LIKE) from None
