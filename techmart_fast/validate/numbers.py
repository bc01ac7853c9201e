"""Exact decimal numbers: read from text or decimals, checked and scaled to whole units."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.records import DECODED_NUMBER
from techmart_fast.validate.text import as_mask, repair_text
from techmart_fast.validate.verdicts import Mask

# Text that Arrow's cast reads exactly into DECODED_NUMBER; all other text goes through Decimal.
_PLAIN = r"^[0-9]{1,18}(\.[0-9]{1,9})?$"
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,18})?")
_SCALE = DECODED_NUMBER.scale

Units = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """A numeric column against its limits.

    `units` is value × 10^decimals where the row has none of the faults, otherwise 0.
    """

    units: Units
    missing: Mask
    not_a_number: Mask
    out_of_range: Mask
    too_precise: Mask
    repaired: int


def read_numbers(
    column: pa.Array,
    odd_numbers: Mapping[int, str],
    *,
    minimum: Decimal,
    maximum: Decimal,
    decimals: int,
) -> NumberColumn:
    """Read a column of `DECODED_NUMBER` or text exactly and compare it with its limits.

    `odd_numbers` are values of a column of `DECODED_NUMBER` that are in it as null, by row.
    `maximum` × 10^9 must fit 64 bits (it is at most 9,999,999,999.99 in a contract).
    """
    rows = len(column)
    if pa.types.is_decimal(column.type):
        text = repair_text(pa.array(list(odd_numbers.values()), pa.string()))
        spellings = zip(odd_numbers, text.values.to_pylist(), strict=True)
        odd = {row: spelling for row, spelling in spellings if spelling is not None}
        numbers, missing = column, as_mask(column.is_null()).copy()
        missing[list(odd)] = False
    else:
        text = repair_text(column)
        numbers, odd = _apart(text.values)
        missing = text.missing
    repaired = text.repaired
    low, high = _words(numbers)
    unit = 10 ** (_SCALE - decimals)
    filled = ~missing
    if odd:
        filled[list(odd)] = False
    out_of_range = filled & ((high != 0) | (low < _scaled(minimum)) | (low > _scaled(maximum)))
    too_precise = filled & ~out_of_range & (low % np.uint64(unit) != 0)
    units = np.where(
        filled & ~out_of_range & ~too_precise, low // np.uint64(unit), np.uint64(0)
    ).astype(np.int64)
    not_a_number = np.zeros(rows, dtype=np.bool_)
    for row, spelling in odd.items():
        if not _NUMBER.fullmatch(spelling):
            not_a_number[row] = True
            continue
        value = Decimal(spelling)
        if not minimum <= value <= maximum:
            out_of_range[row] = True
        elif value != round(value, decimals):
            too_precise[row] = True
        else:
            units[row] = int(value.scaleb(decimals))
    return NumberColumn(units, missing, not_a_number, out_of_range, too_precise, repaired)


def _apart(texts: pa.StringArray) -> tuple[pa.Array, dict[int, str]]:
    """Plain texts as `DECODED_NUMBER`, null elsewhere; and the others, by row."""
    strange = as_mask(pc.invert(pc.match_substring_regex(texts, _PLAIN)))
    if not strange.any():
        return texts.cast(DECODED_NUMBER), {}
    places = np.nonzero(strange)[0]
    # Only unusual spellings come here; each needs a look of its own.
    odd = dict(zip(places.tolist(), texts.take(pa.array(places)).to_pylist(), strict=True))
    plain = pc.if_else(pa.array(strange), pa.scalar(None, pa.string()), texts)
    return plain.cast(DECODED_NUMBER), odd


def money(units: Units, decimal_type: pa.Decimal128Type) -> pa.Decimal128Array:
    """Whole units (cents for scale 2) as a decimal column, without a detour through text."""
    words = np.empty((len(units), 2), dtype=np.int64)
    words[:, 0] = units
    words[:, 1] = units >> 63
    buffers: list[pa.Buffer | None] = [None, pa.py_buffer(words)]
    array = pa.Array.from_buffers(decimal_type, len(units), buffers)
    if not isinstance(array, pa.Decimal128Array):
        raise TypeError(f"{decimal_type} is not a 128-bit decimal")
    return array


def _scaled(value: Decimal) -> np.uint64:
    return np.uint64(int(value.scaleb(_SCALE)))


def _words(
    column: pa.Array,
) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """The low and high 64 bits of each 128-bit decimal."""
    buffer = column.buffers()[1]
    if buffer is None:
        zeros = np.zeros(len(column), dtype=np.int64)
        return zeros.astype(np.uint64), zeros
    pairs = np.frombuffer(buffer, dtype=np.int64)
    pairs = pairs[2 * column.offset : 2 * (column.offset + len(column))].reshape(-1, 2)
    return np.ascontiguousarray(pairs[:, 0]).view(np.uint64), pairs[:, 1]
