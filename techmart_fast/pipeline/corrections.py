"""Corrected records for a replay: JSON lines, each with the number of a rejected record."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from techmart_fast.errors import ConfigError
from techmart_fast.sources.sniff import NDJSON

_LIKE = (
    'Each line is like {"number": 7, "raw": "the record as it would stand in its file"}, or '
    '{"number": 7, "record": {"transaction_id": …}}; quarantine export writes such lines.'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What takes a rejected record's place: its bytes, in the format of its file or another one.

    `format` is `ndjson` for a JSON object whatever the file was, empty for that of the file.
    """

    raw: bytes
    format: str = ""


def read_corrections(path: Path) -> Mapping[int, Correction]:
    """The corrections of a file by the number of their record.

    A line has `raw` (text, or base64 where `raw_encoding` says so) or `record` (an object with the
    feed's field names); other names are ignored.

    Raises:
        ConfigError: the file can't be read, or a line is not like that. No content is quoted.
    """
    try:
        lines = path.read_bytes().split(b"\n")
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
    try:
        given = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ConfigError(f"{where}: this is no JSON.", hint=_LIKE) from None
    if not isinstance(given, dict) or type(given.get("number")) is not int:
        raise ConfigError(f"{where}: there is no number of a record.", hint=_LIKE)
    raw, record = given.get("raw"), given.get("record")
    if isinstance(record, dict) and raw is None:
        return given["number"], Correction(raw=orjson.dumps(record), format=NDJSON)
    if isinstance(raw, str) and record is None:
        return given["number"], Correction(raw=_bytes(raw, given.get("raw_encoding"), where))
    raise ConfigError(f"{where}: it needs either 'raw' or 'record'.", hint=_LIKE)


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
