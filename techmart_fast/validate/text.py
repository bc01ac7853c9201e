"""Checks and repairs of text columns: white space, ids, codes of a closed set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.validate.verdicts import Mask


@dataclass(frozen=True, slots=True)
class TextColumn:
    """A text column after repair. Empty text is null; `repaired` counts changed values."""

    values: pa.StringArray
    repaired: int

    @property
    def missing(self) -> Mask:
        """Rows without a value."""
        return as_mask(self.values.is_null())


@dataclass(frozen=True, slots=True)
class CodeColumn:
    """A column of codes after repair and mapping; `unknown` marks values outside the set."""

    values: pa.StringArray
    missing: Mask
    unknown: Mask
    repaired: int


def as_mask(values: pa.BooleanArray) -> Mask:
    """A Boolean column as a numpy mask; null is False."""
    if values.null_count:
        values = pc.fill_null(values, fill_value=False)
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.bool_)


def repair_text(column: pa.StringArray) -> TextColumn:
    """Trim white space around the values and turn empty text into null."""
    if not _may_need_trim(column):
        return TextColumn(column, 0)
    trimmed = pc.utf8_trim_whitespace(column)
    empty = pc.equal(pc.binary_length(trimmed), 0)
    changed = pc.and_not(pc.not_equal(trimmed, column), empty)
    repaired = int(pc.sum(changed).as_py() or 0)
    return TextColumn(pc.if_else(empty, pa.scalar(None, pa.string()), trimmed), repaired)


def longer_than(column: pa.StringArray, limit: int) -> Mask:
    """Rows whose text has more than `limit` characters."""
    # Bytes are never fewer than characters, so short columns are cleared without counting those.
    longest = pc.max(pc.binary_length(column)).as_py()
    if longest is None or longest <= limit:
        return np.zeros(len(column), dtype=np.bool_)
    return as_mask(pc.greater(pc.utf8_length(column), limit))


def repair_codes(
    column: pa.StringArray,
    *,
    canonical: Callable[[str], str],
    known: Callable[[str], bool],
    values: Mapping[str, str],
) -> CodeColumn:
    """Repair, map and check a column with few distinct values.

    `canonical` gives the case of a code, `values` maps the shop's own words (keys in lower case),
    `known` tells whether the outcome is in the set. Mapped words are not counted as repairs.
    """
    encoded = column.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    outcome: list[str | None] = []
    changed = np.zeros(len(distinct) + 1, dtype=np.bool_)
    unknown = np.zeros(len(distinct) + 1, dtype=np.bool_)
    missing = np.zeros(len(distinct) + 1, dtype=np.bool_)
    missing[-1] = True
    for place, text in enumerate(distinct):
        trimmed = text.strip()
        mapped = values.get(trimmed.lower())
        code = canonical(trimmed) if mapped is None else mapped
        outcome.append(code or None)
        changed[place] = bool(code) and mapped is None and code != text
        missing[place] = not code
        unknown[place] = bool(code) and not known(code)
    indices = encoded.indices
    if indices.null_count:
        indices = pc.fill_null(indices, len(distinct))
    places = indices.to_numpy()
    codes = pa.array([*outcome, None], pa.string())
    return CodeColumn(
        codes.take(pa.array(places)),
        missing[places],
        unknown[places],
        int(changed[places].sum()) if changed.any() else 0,
    )


def _may_need_trim(column: pa.StringArray) -> bool:
    """Whether any value is empty or starts or ends with a byte that could be white space.

    Looking at two bytes a value is many times cheaper than trimming all of them.
    """
    if not len(column):
        return False
    _, offsets_buffer, data_buffer = column.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)
    offsets = offsets[column.offset : column.offset + len(column) + 1]
    starts, ends = offsets[:-1], offsets[1:]
    filled = ends > starts
    if not filled.all():
        valid = (
            np.ones(len(column), np.bool_) if not column.null_count else ~as_mask(column.is_null())
        )
        if (valid & ~filled).any():
            return True
        starts, ends = starts[filled], ends[filled]
    if not len(starts):
        return False
    data = np.frombuffer(data_buffer, dtype=np.uint8)
    edges = np.concatenate((data[starts], data[ends - 1]))
    # White space is at most 0x20 in ASCII; anything from 0x80 on may be part of a wide space.
    return bool(((edges <= 0x20) | (edges >= 0x80)).any())
