"""The header of a CSV file: its column names, and whether they fit the contract."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from techmart_fast.contract import Contract
from techmart_fast.errors import DecodeError
from techmart_fast.records import FIELDS, KEY_FIELD, Feed

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
HEAD_BYTES = 256 << 10
"""How much of the start of a file is looked at; a header must fit into it."""

_LINE = re.compile(rb"[^\r\n]*+(?:\r\n|\r|\n|\Z)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvHeader:
    """Column names as they stand in the file. The records start at byte `end`."""

    names: tuple[str, ...]
    end: int


def read_header(head: bytes) -> CsvHeader | None:
    """The first record of `head` as Python's csv module reads it; None if there is none.

    `head` is the start of the decompressed file. A byte order mark and empty lines before the
    header are skipped.
    """
    end = len(BYTE_ORDER_MARK) if head.startswith(BYTE_ORDER_MARK) else 0

    def lines() -> Iterator[str]:
        nonlocal end
        for line in _LINE.finditer(head, end):
            end = line.end()
            yield line[0].decode()

    try:
        for row in csv.reader(lines()):
            if row:
                return CsvHeader(names=tuple(row), end=end)
    except (UnicodeDecodeError, csv.Error):
        return None
    return None


def column_places(names: Sequence[str], contract: Contract, feed: Feed) -> dict[str, int]:
    """Index of the column of each of the feed's fields that the header names.

    White space around a name is ignored.
    """
    columns = {name.strip(): place for place, name in enumerate(names)}
    wanted = {field: contract.rules(feed).source_name(field) for field in FIELDS[feed]}
    return {field: columns[name] for field, name in wanted.items() if name in columns}


def names_key(header: CsvHeader, contract: Contract, feed: Feed) -> bool:
    """Whether the header names the feed's key, which tells a header from a line of data."""
    return KEY_FIELD[feed] in column_places(header.names, contract, feed)


def check_header(names: Sequence[str], contract: Contract, feed: Feed, *, file: str) -> None:
    """See that every required field has its column, and no field has two.

    Raises:
        DecodeError: with the names of the columns that are missing or there twice.
    """
    rules = contract.rules(feed)
    columns = [name.strip() for name in names]
    required = [rules.source_name(field) for field in rules.required]
    if missing := [name for name in required if name not in columns]:
        raise DecodeError(
            f"{file}: the CSV header has no column {_listed(missing)}.",
            hint=f"If it has another name there, give that in [{feed}.fields] of the contract.",
        )
    known = [rules.source_name(field) for field in FIELDS[feed]]
    if twice := [name for name in known if columns.count(name) > 1]:
        raise DecodeError(
            f"{file}: the CSV header names the column {_listed(twice)} twice.",
            hint="Rename or remove one of the two.",
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
