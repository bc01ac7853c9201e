"""Joins Parquet files into one: their row groups as they are, byte by byte, and a new footer.

Of a file's bytes only its footer says where in the file something is. So the row groups of many
files can stand one behind the other in one file, if a footer says of each by how far it moved.
Footers are read and written by a description of theirs, `parquet_footer.thrift`.
"""

import io
import struct
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from types import ModuleType
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import thriftpy2
from thriftpy2.protocol.compact import TCompactProtocol
from thriftpy2.thrift import TException

from techmart_fast.errors import SpoolError

MOST_ROW_GROUPS = 1 << 15
"""The number that a row group may bear has 16 bits, one of them for the sign."""

_MAGIC = b"PAR1"
_TAIL = struct.Struct("<I4s")
"""The end of a file: the length of its footer in bytes, and the word that it also begins with."""

_OFFSETS = ("data_page_offset", "index_page_offset", "dictionary_page_offset")

_Footer = Any
"""A `FileMetaData` of `parquet_footer.thrift`, whose classes are made when it is read."""


class _StrangeError(Exception):
    """A file is not of the kind that can be joined."""


class _Strict(TCompactProtocol):
    """Where the protocol would leave out what the description does not name, this one ends."""

    def skip(self, ttype: int) -> None:
        raise _StrangeError(f"a field of type {ttype} that is not described")


def joined(parquet: Iterable[bytes], schema: pa.Schema, *, rows: int, into: IO[bytes]) -> bool:
    """Write one file with the row groups of all of `parquet`, in their order, if they fit.

    They fit if they have the columns of `schema`, and footers that differ in nothing but the row
    groups: the same version of the same library wrote them. Compression and encoding are each row
    group's own. One file after the other is asked for; `rows` is what all hold together. `into` is
    an empty file that can be read, too. Where they don't fit, something may be in it.

    Raises:
        SpoolError: what came out does not have the rows and row groups that went in.
        OSError: it can't be written.
    """
    joiner = _Joiner(schema, into)
    try:
        for data in parquet:
            joiner.add(data)
        joiner.finish(rows)
    except _StrangeError:
        return False
    return True


class _Joiner:
    def __init__(self, schema: pa.Schema, whole: IO[bytes]) -> None:
        self._schema = schema
        self._whole = whole
        self._whole.write(_MAGIC)
        self._first: _Footer = None
        self._row_groups: list[Any] = []
        self._bodies: list[range] = []

    def add(self, data: bytes) -> None:
        """Append a file's row groups.

        Raises:
            _StrangeError: it does not fit to those before.
        """
        end, encoded = _cut(data)
        footer = _read(encoded)
        if self._first is None:
            if not pq.read_schema(pa.BufferReader(data)).equals(self._schema):
                raise _StrangeError("other columns")
            # Once a file is enough: the others come from the same library, by `_common`.
            if _written(footer) != encoded:
                raise _StrangeError("a footer that would not be written as it was read")
            self._first = footer
        elif _common(footer) != _common(self._first):
            raise _StrangeError("a footer of another kind")
        begin = self._whole.tell()
        by, body = begin - len(_MAGIC), range(begin, begin + end - len(_MAGIC))
        for row_group in footer.row_groups:
            _move(row_group, by, number=len(self._row_groups))
            self._row_groups.append(row_group)
            self._bodies.append(body)
        self._whole.write(memoryview(data)[len(_MAGIC) : end])

    def finish(self, rows: int) -> None:
        """Write the footer.

        Raises:
            _StrangeError: there are more row groups than can be numbered, or there was no file.
            SpoolError: see `joined`.
        """
        count = len(self._row_groups)
        if self._first is None or count > MOST_ROW_GROUPS:
            raise _StrangeError(f"{count} row groups")
        footer = self._first
        footer.row_groups = self._row_groups
        footer.rows = sum(row_group.rows for row_group in self._row_groups)
        encoded = _written(footer)
        self._whole.write(encoded)
        self._whole.write(_TAIL.pack(len(encoded), _MAGIC))
        # A full disk is no fault of what was joined.
        self._whole.flush()
        _check(self._whole, rows, self._bodies)


def _cut(data: bytes) -> tuple[int, bytes]:
    """Where a file's row groups end, and its footer."""
    last = len(data) - _TAIL.size
    if last < len(_MAGIC) or not data.startswith(_MAGIC):
        raise _StrangeError("no Parquet")
    length, magic = _TAIL.unpack_from(data, last)
    if magic != _MAGIC or length > last - len(_MAGIC):
        raise _StrangeError("no Parquet, or an encrypted footer")
    return last - length, data[last - length : last]


@cache
def _description() -> ModuleType:
    # Takes as long as a footer or twenty, so only who joins files waits for it.
    name = "parquet_footer"
    text = files(__package__).joinpath(f"{name}.thrift").read_text(encoding="utf-8")
    return thriftpy2.load_fp(io.StringIO(text), f"{__package__}.{name}_thrift")


def _read(encoded: bytes) -> _Footer:
    footer = _description().FileMetaData()
    source = io.BytesIO(encoded)
    try:
        footer.read(_Strict(source))
    except (TException, LookupError, TypeError, ValueError, struct.error) as error:
        raise _StrangeError("a footer that can't be read") from error
    if source.tell() != len(encoded):
        raise _StrangeError("a footer that ends before its end")
    return footer


def _written(footer: _Footer) -> bytes:
    target = io.BytesIO()
    footer.write(TCompactProtocol(target))
    return target.getvalue()


def _common(footer: _Footer) -> dict[str, Any]:
    """What a footer says of the whole file, whatever its rows."""
    return {
        name: value for name, value in vars(footer).items() if name not in ("rows", "row_groups")
    }


def _move(row_group: Any, by: int, *, number: int) -> None:
    """Let a row group begin `by` bytes later. An offset that is 0 says that there is none."""
    if row_group.file_offset:
        row_group.file_offset += by
    if row_group.ordinal is not None:
        row_group.ordinal = number
    for column in row_group.columns:
        if column.file_path is not None or column.meta_data is None:
            raise _StrangeError("a column that is elsewhere")
        if column.file_offset:
            column.file_offset += by
        for name in _OFFSETS:
            if offset := getattr(column.meta_data, name):
                setattr(column.meta_data, name, offset + by)


def _check(whole: IO[bytes], rows: int, bodies: Sequence[range]) -> None:
    """Make sure, by another reader, that each row group says it is where its own bytes are.

    `bodies` are the places of the bytes that each row group came with.

    Raises:
        SpoolError: it is not so, or rows are missing.
    """
    try:
        found = pq.read_metadata(whole)
        groups = [found.row_group(number) for number in range(found.num_row_groups)]
        told = sum(group.num_rows for group in groups)
        strays = sum(
            begin != end and not (begin in body and end - 1 in body)
            for group, body in zip(groups, bodies, strict=False)
            for begin, end in map(_place, map(group.column, range(group.num_columns)))
        )
        what = f"{told} rows in {len(groups)} row groups, {strays} columns elsewhere"
    except (OSError, pa.ArrowException) as error:
        what = f"what can't be read ({type(error).__name__})"
    else:
        if told == found.num_rows == rows and len(groups) == len(bodies) and not strays:
            return
    raise SpoolError(
        f"Spool files of {rows} rows in {len(bodies)} row groups, joined for a load job, gave "
        f"{what}.",
        hint="Nothing was sent. The rows are in PostgreSQL and in the spool; please report this.",
    )


def _place(column: pq.ColumnChunkMetaData) -> tuple[int, int]:
    """Where a column's bytes begin and end. Without rows it may have no page of data, or none."""
    dictionary = column.dictionary_page_offset if column.has_dictionary_page else 0
    begin = min((offset for offset in (dictionary, column.data_page_offset) if offset), default=0)
    return begin, begin + column.total_compressed_size
