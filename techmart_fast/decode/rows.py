"""Collects decoded records and rejections of a block and puts them together in source order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.reasons import REASONS
from techmart_fast.records import (
    DECODED_NUMBER,
    FIELDS,
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


@dataclass(frozen=True, slots=True)
class Joined:
    """All records of a block; see `DecodedBatch` for `odd_numbers`."""

    records: pa.RecordBatch
    odd_numbers: Mapping[str, Mapping[int, str]]


def join(feed: Feed, parts: Sequence[Rows], first_byte: int) -> Joined:
    """The records of all parts in source order: the columns of `FIELDS[feed]`, `RECORD_PLACE`.

    A numeric column is `DECODED_NUMBER` if one of the parts has it so, else text.
    """
    parts = [part for part in parts if len(part.starts)] or [_no_rows(feed)]
    starts = np.concatenate([part.starts for part in parts])
    lengths = np.concatenate([part.lengths for part in parts])
    lines = np.concatenate([part.lines for part in parts])
    is_ordered = bool((starts[1:] > starts[:-1]).all())
    order = np.arange(len(starts)) if is_ordered else np.argsort(starts)
    columns: list[pa.Array] = []
    odd_numbers: dict[str, Mapping[int, str]] = {}
    for place, name in enumerate(FIELDS[feed]):
        arrays = [part.columns[place] for part in parts]
        if len({array.type for array in arrays}) > 1:
            told_apart = [_plain_and_odd(array) for array in arrays]
            texts = pa.concat_arrays([odd for _, odd in told_apart]).take(pa.array(order))
            rows = np.flatnonzero(texts.is_valid())
            spellings = texts.take(pa.array(rows)).to_pylist()
            odd_numbers[name] = dict(zip(rows.tolist(), spellings, strict=True))
            arrays = [plain for plain, _ in told_apart]
        columns.append(pa.concat_arrays(arrays) if len(arrays) > 1 else arrays[0])
    places = [starts + first_byte, lines, lengths.astype(np.int32)]
    fields = [
        pa.field(name, column.type) for name, column in zip(FIELDS[feed], columns, strict=True)
    ]
    records = pa.RecordBatch.from_arrays(
        [*columns, *map(pa.array, places)], schema=pa.schema([*fields, *RECORD_PLACE])
    )
    return Joined(records if is_ordered else records.take(pa.array(order)), odd_numbers)


def _plain_and_odd(numbers: pa.Array) -> tuple[pa.Array, pa.StringArray]:
    """The plain numbers as `DECODED_NUMBER`, and the texts that are none; null elsewhere.

    Of longer ones Arrow's cast would keep the value modulo 2^128.
    """
    nothing = pa.scalar(None, pa.string())
    if not pa.types.is_string(numbers.type):
        return numbers, pa.nulls(len(numbers), pa.string())
    is_plain = pc.match_substring_regex(numbers, _PLAIN_NUMBER)
    plain = pc.if_else(is_plain, numbers, nothing).cast(DECODED_NUMBER)
    return plain, pc.if_else(is_plain, nothing, numbers)


def _no_rows(feed: Feed) -> Rows:
    none = np.zeros(0, dtype=np.int64)
    columns = [pa.array([], pa.string()) for _ in FIELDS[feed]]
    return Rows(columns=columns, starts=none, lengths=none, lines=none)
