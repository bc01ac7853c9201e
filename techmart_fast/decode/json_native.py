"""The fast path: many JSON objects in one call of Arrow's reader, all or nothing."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from techmart_fast.decode.json_layout import Mask, Pieces, Symbols
from techmart_fast.decode.json_plan import JsonPlan
from techmart_fast.decode.json_text import MAX_DEPTH
from techmart_fast.decode.rows import Rows

# An object can be nested beyond the limit only if it has as many brackets, each of them twice.
_SHALLOW_BYTES = 2 * MAX_DEPTH
_BLOCK_MARGIN_BYTES = 64
_LONG_EXPONENT = r"[0-9.][eE]-[0-9]{5}"
_EXPONENT, _DASH = (np.uint8(symbol) for symbol in b"e-")
_LOWER = np.uint8(0x20)
# The upper half of 10^38, the first number of 39 digits. The largest ones of 38 share it, and get a
# closer look for that.
_LARGEST_HIGH_HALF = np.int64(10**38 >> 64)
# The upper half of each of eight bytes, and what it is in digits (and in : ; < = > ?).
_HIGH_HALVES, _DIGIT_HALVES = np.uint64(0xF0F0F0F0F0F0F0F0), np.uint64(0x3030303030303030)


class NativeJson:
    """Parses runs of pieces; says None whenever the exact path might see anything else.

    Arrow's reader and the exact path agree but for what is looked after here: Arrow takes NaN
    and infinities in fields that it ignores, has no limit of nesting, passes NUL on, does not mind
    two objects in one piece, and breaks on very long and very large numbers.
    """

    def __init__(self, pieces: Pieces, plan: JsonPlan, unknown: tuple[str, ...]) -> None:
        self._pieces = pieces
        self._plan = plan
        self._clean_object = plan.clean_object(unknown)
        self._unknown = unknown
        self._options = pyarrow.json.ParseOptions(
            explicit_schema=plan.schema,
            unexpected_field_behavior="ignore" if unknown else "error",
        )

    def over(self, pieces: Pieces) -> "NativeJson":
        """The same for the pieces of another block of the feed."""
        return NativeJson(pieces, self._plan, self._unknown)

    def parse(self, first: int, last: int) -> Rows | None:
        """The records of the pieces `[first, last)`, if all of them are clean."""
        if not self._pieces.sound[first:last].all():
            return None
        if self._may_overflow(first, last) or self._may_mislead(first, last):
            return None
        return self._read(self._pieces.text(first, last), np.arange(first, last))

    def parse_kept(self, first: int, last: int, keep: Mask) -> Rows | None:
        """The records of those pieces `[first, last)` that are kept: all of them `clean`."""
        text = self._pieces.blanked(first, last, keep)
        return self._read(text, np.flatnonzero(keep) + first)

    def clean(self, first: int, last: int) -> Mask:
        """Which of the pieces `[first, last)` are plain objects with fields of the right types."""
        start, stop = self._pieces.span(first, last)
        offsets = np.append(self._pieces.starts[first:last], stop) - start
        texts = pa.Array.from_buffers(
            pa.binary(),
            last - first,
            [
                None,
                pa.py_buffer(offsets.astype(np.int32)),
                self._pieces.text(first, last),
            ],
        )
        matches = pc.match_substring_regex(texts, self._clean_object)
        result: Mask = matches.to_numpy(zero_copy_only=False) & self._pieces.sound[first:last]
        return result

    def _may_overflow(self, first: int, last: int) -> bool:
        """Whether there may be a number that breaks Arrow's decimals instead of being refused.

        Seen with pyarrow 26: of 30 and more digits it keeps the value modulo 2^128, and an
        exponent of -9999999 ends the process.
        """
        data, (start, stop) = self._pieces.data, self._pieces.span(first, last)
        if _has_small_exponent(np.frombuffer(data, dtype=np.uint8)[start:stop]):
            text = pa.array([memoryview(data)[start:stop]], pa.binary())
            if pc.match_substring_regex(text, _LONG_EXPONENT)[0].as_py():
                return True
        # Eight bytes at a time: a run of 23 digits holds two such words of digits alone.
        words = np.frombuffer(data, dtype=np.uint64, count=len(data) // 8)
        words = words[start // 8 : -(-stop // 8)]
        digits = (words & _HIGH_HALVES) == _DIGIT_HALVES
        return bool((digits[1:] & digits[:-1]).any())

    def _may_mislead(self, first: int, last: int) -> bool:
        """Whether there may be something that Arrow's reader takes and the exact path does not."""
        text, (start, stop) = self._pieces.data, self._pieces.span(first, last)
        if not self._unknown:
            return False
        if text.find(b"NaN", start, stop) >= 0 or text.find(b"Inf", start, stop) >= 0:
            return True
        starts, ends = self._pieces.starts[first:last], self._pieces.ends[first:last]
        for piece in np.flatnonzero(ends - starts > _SHALLOW_BYTES).tolist():
            begin, end = int(starts[piece]), int(ends[piece])
            if text.count(b"[", begin, end) + text.count(b"{", begin, end) > MAX_DEPTH:
                return True
        return False

    def _read(
        self, text: pa.Buffer, pieces: np.ndarray[tuple[int], np.dtype[np.intp]]
    ) -> Rows | None:
        if not len(pieces):
            return None
        # One block, read by this thread: the blocks of a file are decoded side by side anyway.
        options = pyarrow.json.ReadOptions(
            use_threads=False, block_size=text.size + _BLOCK_MARGIN_BYTES
        )
        try:
            table = pyarrow.json.read_json(
                pa.BufferReader(text), read_options=options, parse_options=self._options
            )
        except pa.ArrowInvalid:
            return None
        if table.num_rows != len(pieces):
            return None
        columns = [table.column(name).combine_chunks() for name in self._plan.names.values()]
        if any(_holds_nul(column) or _holds_too_much(column) for column in columns):
            return None
        where = self._pieces
        return Rows(
            columns=columns,
            starts=where.starts[pieces],
            lengths=where.ends[pieces] - where.starts[pieces],
            lines=where.lines[pieces],
        )


def _has_small_exponent(symbols: Symbols) -> bool:
    """Whether `e-` or `E-` is anywhere. Four passes of numpy take a third of two searches."""
    dashes = symbols[1:] == _DASH
    dashes &= (symbols[:-1] | _LOWER) == _EXPONENT
    return bool(dashes.any())


def _holds_too_much(column: pa.Array) -> bool:
    """Whether a decimal may have more digits than its type: Arrow makes that of 1e29."""
    if not pa.types.is_decimal(column.type) or not len(column):
        return False
    high = np.frombuffer(column.buffers()[1], dtype=np.int64)[1::2]
    return bool(high.max() >= _LARGEST_HIGH_HALF or high.min() < -_LARGEST_HIGH_HALF)


def _holds_nul(column: pa.Array) -> bool:
    if not pa.types.is_string(column.type):
        return False
    data = column.buffers()[2]
    return data is not None and data.size > 0 and not np.frombuffer(data, dtype=np.uint8).min()
