"""Collects decoded records and rejections of a block and puts them together in source order."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.reasons import REASONS
from techmart_fast.records import (
    DECODED_NUMBER,
    FIELDS,
    NUMERIC_FIELDS,
    RECORD_PLACE,
    REJECTIONS,
    Feed,
)

Places = npt.NDArray[np.int64]

_PLAIN_NUMBER = r"\A[+-]?[0-9]{1,19}(?:\.[0-9]{1,9})?\z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some records of a block: one column per field of the feed, and where each record stands.

    `starts` and `lengths` are in bytes; `starts` is relative to the block. `lines` are 1-based.
    """

    columns: Sequence[pa.Array]
    starts: Places
    lengths: Places
    lines: Places


@dataclass(slots=True)
class Rejections:
    """Rejected records. Offsets are relative to the block until `batch` adds its first byte."""

    codes: list[str] = field(default_factory=list)
    fields: list[str | None] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    def add(
        self,
        code: str,
        *,
        start: int,
        line: int,
        raw: bytes,
        key: str | None = None,
        name: str | None = None,
    ) -> None:
        """Reject one record; `name` is the canonical name of the field to blame."""
        self.codes.append(code)
        self.fields.append(name)
        self.starts.append(start)
        self.lines.append(line)
        self.raw.append(raw)
        self.keys.append(key)

    def batch(self, first_byte: int) -> pa.RecordBatch:
        """All rejections as `REJECTIONS`, in source order."""
        order = sorted(range(len(self.starts)), key=self.starts.__getitem__)
        faults = [(self.codes[i], self.fields[i]) for i in order]
        columns: dict[str, list[object]] = {
            "code": [code for code, _ in faults],
            "field": [name for _, name in faults],
            "message": [REASONS[code].sentence(name) for code, name in faults],
            "source_offset": [first_byte + self.starts[i] for i in order],
            "source_line": [self.lines[i] for i in order],
            "raw": [self.raw[i] for i in order],
            "record_key": [self.keys[i] for i in order],
            "record_date": [None for _ in order],
        }
        return pa.RecordBatch.from_pydict(columns, schema=REJECTIONS)


def join(feed: Feed, parts: Sequence[Rows], first_byte: int) -> pa.RecordBatch:
    """The records of all parts in source order: the columns of `FIELDS[feed]`, `RECORD_PLACE`.

    A numeric column is `DECODED_NUMBER` if every part's values fit it exactly, else text.
    """
    parts = [part for part in parts if len(part.starts)] or [_no_rows(feed)]
    columns = []
    for place, name in enumerate(FIELDS[feed]):
        arrays = [part.columns[place] for part in parts]
        if name in NUMERIC_FIELDS[feed]:
            arrays = _of_one_type(arrays)
        columns.append(pa.concat_arrays(arrays) if len(arrays) > 1 else arrays[0])
    starts = np.concatenate([part.starts for part in parts])
    lengths = np.concatenate([part.lengths for part in parts])
    lines = np.concatenate([part.lines for part in parts])
    places = [starts + first_byte, lines, lengths.astype(np.int32)]
    fields = [
        pa.field(name, column.type) for name, column in zip(FIELDS[feed], columns, strict=True)
    ]
    batch = pa.RecordBatch.from_arrays(
        [*columns, *map(pa.array, places)], schema=pa.schema([*fields, *RECORD_PLACE])
    )
    if (starts[1:] > starts[:-1]).all():
        return batch
    return batch.take(pa.array(np.argsort(starts)))


def _of_one_type(arrays: list[pa.Array]) -> list[pa.Array]:
    if all(array.type == arrays[0].type for array in arrays):
        return arrays
    # Other texts than these break Arrow's cast: it keeps long ones modulo 2^128.
    if all(_is_plain(array) for array in arrays if pa.types.is_string(array.type)):
        return [array.cast(DECODED_NUMBER) for array in arrays]
    return [array.cast(pa.string()) for array in arrays]


def _is_plain(texts: pa.Array) -> bool:
    plain = pc.match_substring_regex(texts, _PLAIN_NUMBER)
    return pc.all(plain, skip_nulls=True).as_py() is not False


def _no_rows(feed: Feed) -> Rows:
    none = np.zeros(0, dtype=np.int64)
    columns = [pa.array([], pa.string()) for _ in FIELDS[feed]]
    return Rows(columns=columns, starts=none, lengths=none, lines=none)
