"""The fastest path: records of one shape, cut at their quotation marks by Arrow's CSV reader.

Cut there, a record without escapes is a row of a table in which every second column is a key or a
text. That takes a third of the time that Arrow's JSON reader takes. Put together again by the
shape, the values must give the record, byte by byte: then it is JSON, and they are its values. What
does not fit is left to the caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from techmart_fast.decode.json_layout import NEWLINE, Mask, Pieces, Places, Symbols
from techmart_fast.decode.json_plan import JsonPlan
from techmart_fast.decode.json_shape import Shape

_MOST_ODD = 1 / 16
"""Of a slice; with more than that, the shape is not that of the feed any more."""

_BLANK, _BACKSLASH = b" \\"
_BLOCK_MARGIN_BYTES = 64


@dataclass(frozen=True, slots=True)
class Shaped:
    """What was found in some pieces.

    `fits` tells which of them have the shape; `columns` are those of the plan's fields, with a row
    for each piece that fits.
    """

    fits: Mask
    columns: Sequence[pa.Array]


@dataclass(frozen=True, slots=True)
class _Cut:
    """A slice of the block as a table: the texts of the values, and the row of each piece, or -1.

    `symbols` is the slice, in which the pieces stand at `starts` and `ends`.
    """

    symbols: Symbols
    starts: Places
    ends: Places
    row_of_piece: Places
    texts: Sequence[pa.StringArray]


class ShapedJson:
    """Reads runs of pieces that have a shape."""

    def __init__(self, pieces: Pieces, plan: JsonPlan, shape: Shape) -> None:
        self._pieces = pieces
        self._plan = plan
        self._shape = shape
        self._names = [f"{number}" for number in range(shape.columns)]
        self._wanted = [f"{value.column}" for value in shape.values]

    def look(self, first: int, last: int) -> Shaped | None:
        """The pieces `[first, last)`; None if too many of them have another shape."""
        cut = self._cut(first, last)
        if cut is None:
            return None
        fits = self._pieces.sound[first:last] & (cut.row_of_piece >= 0)
        _drop_unfit(fits, cut)
        (chosen,) = np.nonzero(fits)
        columns = [_taken(texts, cut.row_of_piece[chosen]) for texts in cut.texts]
        good = self._is_rebuilt(columns, _texts(cut, chosen))
        if len(fits) - np.count_nonzero(good) > max(1, _MOST_ODD * len(fits)):
            return None
        if not good.all():
            fits[chosen[~good]] = False
            columns = [column.filter(pa.array(good)) for column in columns]
        return Shaped(fits, self._by_field(columns))

    def _cut(self, first: int, last: int) -> _Cut | None:
        pieces, (start, stop) = self._pieces, self._pieces.span(first, last)
        if pieces.data.find(b"\r", start, stop) >= 0 and (
            pieces.data.count(b"\r", start, stop) != pieces.data.count(b"\r\n", start, stop)
        ):
            return None  # to a CSV reader each of them ends a line, and none here
        sound = pieces.sound[first:last]
        # Not that Arrow is shown a row that is no UTF-8: it can't tell of it.
        text = pieces.text(first, last) if sound.all() else pieces.blanked(first, last, sound)
        symbols = np.frombuffer(text, dtype=np.uint8)
        newlines = np.flatnonzero(symbols == NEWLINE)
        bad: list[int] = []

        def note(row: pyarrow.csv.InvalidRow) -> str:
            bad.append(row.number - 1)
            return "skip"

        table = self._read(text, note)
        lines = len(newlines) + int(symbols[-1] != NEWLINE)
        if table is None or table.num_rows != lines - len(bad):
            return None
        row_of_line = np.full(lines, -1, dtype=np.int64)
        row_of_line[np.delete(np.arange(lines), bad)] = np.arange(table.num_rows)
        starts = pieces.starts[first:last] - start
        return _Cut(
            symbols=symbols,
            starts=starts,
            ends=pieces.ends[first:last] - start,
            row_of_piece=row_of_line[np.searchsorted(newlines, starts)],
            texts=[table.column(name).combine_chunks() for name in self._wanted],
        )

    def _read(self, text: pa.Buffer, note: object) -> pa.Table | None:
        try:
            return pyarrow.csv.read_csv(
                pa.BufferReader(text),
                read_options=pyarrow.csv.ReadOptions(
                    use_threads=False,
                    block_size=text.size + _BLOCK_MARGIN_BYTES,
                    column_names=self._names,
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter='"',
                    quote_char=False,
                    double_quote=False,
                    escape_char=False,
                    newlines_in_values=False,
                    ignore_empty_lines=False,
                    invalid_row_handler=note,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(self._wanted, pa.string()),
                    include_columns=self._wanted,
                    strings_can_be_null=False,
                    null_values=[],
                    check_utf8=False,  # of the pieces only those are taken that are sound
                ),
            )
        except pa.ArrowInvalid:
            return None

    def _is_rebuilt(self, columns: Sequence[pa.StringArray], records: pa.StringArray) -> Mask:
        """Which records are what the values give between the shape's literals."""
        parts: list[pa.Array | pa.Scalar] = []
        for literal, column in zip(self._shape.literals, columns, strict=False):
            parts += [pa.scalar(literal), column]
        rebuilt = pc.binary_join_element_wise(*parts, pa.scalar(self._shape.literals[-1]), "")
        good: Mask = np.asarray(pc.equal(rebuilt, records))
        for value, column in zip(self._shape.values, columns, strict=True):
            if value.number is not None:
                good &= np.asarray(pc.match_substring_regex(column, value.number))
        return good

    def _by_field(self, columns: Sequence[pa.StringArray]) -> list[pa.Array]:
        shape, plan = self._shape, self._plan
        found = {
            value.name: (value, column) for value, column in zip(shape.values, columns, strict=True)
        }
        result = []
        for name, kind in zip(plan.names.values(), plan.schema.types, strict=True):
            if name not in found:
                result.append(pa.nulls(len(columns[0]), kind))
                continue
            value, column = found[name]
            if value.number is not None:
                column = pc.utf8_slice_codeunits(column, value.before, stop=-value.after)
            result.append(column.cast(kind))
        return result


def _drop_unfit(fits: Mask, cut: _Cut) -> None:
    """Pieces with an escape, behind which a quotation mark ends no text, or a control character."""
    unfit = cut.symbols == _BACKSLASH
    unfit |= cut.symbols < _BLANK
    places = np.flatnonzero(unfit)
    owners = np.searchsorted(cut.starts, places, side="right") - 1
    fits[owners[(owners >= 0) & (places < cut.ends[owners])]] = False


def _texts(cut: _Cut, pieces: Places) -> pa.StringArray:
    """Some of the pieces as they are, in ascending order."""
    bounds = np.column_stack([cut.starts[pieces], cut.ends[pieces]]).astype(np.int32).ravel()
    buffers = [None, pa.py_buffer(bounds), pa.py_buffer(cut.symbols)]
    with_gaps = pa.Array.from_buffers(pa.string(), max(0, len(bounds) - 1), buffers)
    return with_gaps.take(pa.array(np.arange(0, len(bounds), 2)))


def _taken(texts: pa.StringArray, rows: Places) -> pa.StringArray:
    """Texts of rows; as they are if these are as many.

    Then they are all rows in order, unless two pieces are in one line: what is put together again
    is no record of theirs.
    """
    return texts if len(rows) == len(texts) else texts.take(pa.array(rows))
