"""Tells compression and format of a file by its content."""

import json
import re
from collections.abc import Mapping

import orjson

from techmart_fast.contract import Contract
from techmart_fast.errors import DecodeError
from techmart_fast.records import KEY_FIELD, Feed
from techmart_fast.sources.header import (
    BYTE_ORDER_MARK,
    check_header,
    names_key,
    read_header,
)
from techmart_fast.sources.stream import PLAIN

NDJSON, JSON_ARRAY, CSV, EMPTY = "ndjson", "json_array", "csv", "empty"

_WHITE_SPACE = b" \t\r\n"
_COMPRESSIONS: Mapping[str, re.Pattern[bytes]] = {
    "gzip": re.compile(rb"\x1f\x8b"),
    # A zstd file may start with a skippable frame.
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    # A block, or the end of a stream that holds nothing.
    "bz2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)"),
}
_SIGNATURES: Mapping[str, re.Pattern[bytes]] = {
    "a Parquet file": re.compile(rb"PAR1"),
    "an Arrow file": re.compile(rb"ARROW1"),
    "an Avro file": re.compile(rb"Obj\x01"),
    "an ORC file": re.compile(rb"ORC"),
    "a ZIP archive or Excel workbook": re.compile(rb"PK\x03\x04"),
    "an old Excel or Word file": re.compile(rb"\xd0\xcf\x11\xe0"),
    "a tar archive": re.compile(rb"(?s).{257}ustar"),
    "compressed with xz": re.compile(rb"\xfd7zXZ\x00"),
    "compressed with lz4": re.compile(rb"\x04\x22\x4d\x18"),
    "compressed with compress": re.compile(rb"\x1f[\x9d\xa0]"),
    "a 7z archive": re.compile(rb"7z\xbc\xaf\x27\x1c"),
    "an SQLite database": re.compile(rb"SQLite format 3\x00"),
    "a PDF document": re.compile(rb"%PDF"),
    "a PNG image": re.compile(rb"\x89PNG"),
    "a JPEG image": re.compile(rb"\xff\xd8\xff"),
    "a program": re.compile(rb"\x7fELF"),
    "HTML or XML": re.compile(rb"\s*<"),
}
_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_LINES_LOOKED_AT = 20
_UTF16_SAMPLE_BYTES = 512


def sniff_compression(stored: bytes) -> str:
    """`plain`, `gzip`, `zstd` or `bz2`, from the first bytes of a file."""
    for name, pattern in _COMPRESSIONS.items():
        if pattern.match(stored):
            return name
    return PLAIN


def sniff_format(
    head: bytes, *, complete: bool, feed: Feed, contract: Contract, file: str, compressed: bool
) -> str:
    """`ndjson`, `json_array`, `csv` or `empty`, from the start of the decompressed bytes.

    `json_array` stands for JSON values one after another, whatever separates them: also for
    pretty-printed objects without a bracket around them. `complete`: `head` is the whole file.

    Raises:
        DecodeError: it is none of these, or a CSV without the columns that the contract requires.
    """
    if _is_utf16(head):
        raise DecodeError(f"{file} is UTF-16 text.", hint="Convert it to UTF-8.")
    body = head.removeprefix(BYTE_ORDER_MARK).lstrip(_WHITE_SPACE)
    if not body:
        if complete:
            return EMPTY
        raise DecodeError(f"{file} starts with {len(head):,} bytes of white space.")
    if body.startswith(b"["):
        return NDJSON if _array_is_one_line(body, complete=complete) else JSON_ARRAY
    if body.startswith(b"{"):
        return JSON_ARRAY if _object_spans_lines(body, complete=complete) else NDJSON
    header = read_header(head)
    if header is not None and names_key(header, contract, feed):
        check_header(header.names, contract, feed, file=file)
        return CSV
    if any(_is_object(line) for line in _lines(body, complete=complete)):
        return NDJSON
    raise _not_recognised(head, feed, contract, file, compressed=compressed)


def _lines(body: bytes, *, complete: bool) -> list[bytes]:
    """The first lines that are not blank, without one that `body` may have cut off."""
    lines = body.split(b"\n", 4 * _LINES_LOOKED_AT)
    if not complete or len(lines) > 4 * _LINES_LOOKED_AT:
        lines.pop()
    filled = [line.strip(_WHITE_SPACE) for line in lines]
    return [line for line in filled if line][:_LINES_LOOKED_AT]


def _parsed(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _is_object(line: bytes) -> bool:
    return line.startswith(b"{") and isinstance(_parsed(line), dict)


def _array_is_one_line(body: bytes, *, complete: bool) -> bool:
    """Whether the array is only the damaged first line of a file of lines."""
    lines = _lines(body, complete=complete)
    return len(lines) > 1 and lines[1].startswith(b"{") and isinstance(_parsed(lines[0]), list)


def _object_spans_lines(body: bytes, *, complete: bool) -> bool:
    """Whether objects are not one a line: pretty-printed, or several on one line."""
    if any(_is_object(line) for line in _lines(body, complete=complete)):
        return False
    text = body.decode("utf-8", "replace")
    try:
        first, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    follows = text[end : end + 1_000].lstrip(" \t\r")[:1]
    return isinstance(first, dict) and ("\n" in text[:end] or follows in {"{", ","})


def _is_utf16(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")):
        return True
    # Without a mark: ASCII as UTF-16 has a zero in every second byte, on one side only.
    sample = head[:_UTF16_SAMPLE_BYTES]
    pairs = len(sample) // 2
    zeros = sorted((sample[0::2].count(0), sample[1::2].count(0)))
    return pairs > 0 and zeros[0] == 0 and zeros[1] > pairs * 0.4


def _not_recognised(
    head: bytes, feed: Feed, contract: Contract, file: str, *, compressed: bool
) -> DecodeError:
    if compressed and sniff_compression(head) != PLAIN:
        return DecodeError(f"{file} is compressed twice.", hint="Decompress it once.")
    for what, pattern in _SIGNATURES.items():
        if pattern.match(head.removeprefix(BYTE_ORDER_MARK)):
            return DecodeError(f"{file} is {what}.", hint="Export it as JSON or CSV.")
    key = contract.rules(feed).source_name(KEY_FIELD[feed])
    first_line = head.lstrip(_WHITE_SPACE).split(b"\n", 1)[0].decode("utf-8", "replace")
    for delimiter, plural in _OTHER_DELIMITERS.items():
        if key in [name.strip(' "\r') for name in first_line.split(delimiter)[:1000]]:
            return DecodeError(
                f"{file}: its columns are separated by {plural}.", hint="Export it with commas."
            )
    return DecodeError(
        f"{file} is neither JSON nor a CSV file whose first line names the column '{key}'.",
        hint=f"Is it the {feed} file? A column's other name goes into [{feed}.fields] of the"
        " contract.",
    )
