"""Decodes a block of CSV: natively where its quoting is regular, record by record elsewhere."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv

from techmart_fast.contract import Contract
from techmart_fast.decode.csv_grammar import (
    CsvRecord,
    RegularRun,
    line_ends,
    record_at,
    records_in,
    regular_run,
    split_fields,
)
from techmart_fast.decode.encoding import is_utf8
from techmart_fast.decode.rows import Rejections, Rows, join
from techmart_fast.records import FIELDS, KEY_FIELD, Block, DecodedBatch
from techmart_fast.sources.header import column_places, read_header

_SLICE_BYTES = 2 << 20
_LEAST_REACH_BYTES = 64 << 10
# Below this a call of Arrow's reader costs more than the exact path.
_LEAST_RUN_BYTES = 32 << 10
# What goes at most through the exact path before the fast one is tried again.
_MOST_PATIENCE_BYTES = 64 << 10
_BLOCK_MARGIN_BYTES = 64
_MOST_NAMES = 100
_RETURN = ord("\r")


def decode_csv(block: Block, contract: Contract) -> DecodedBatch:
    """Decode a block of CSV records. All columns are text; an empty value is null."""
    return _decode(block, contract, exact_only=False)


def decode_csv_exactly(block: Block, contract: Contract) -> DecodedBatch:
    """The same records without the fast path: what `decode_csv` must agree with."""
    return _decode(block, contract, exact_only=True)


def _decode(block: Block, contract: Contract, *, exact_only: bool) -> DecodedBatch:
    decoder = CsvRecords(block, contract)
    data, start = block.data, decoder.begin
    parts = []
    reach, patience = _SLICE_BYTES, 1
    while start < len(data):
        stop = min(start + reach, len(data))
        run = None if exact_only else regular_run(data, start, stop, final=stop == len(data))
        worth_it = run and not (run.stopped and run.end - start < _LEAST_RUN_BYTES)
        rows = decoder.parse(start, run) if run and worth_it else None
        if run and rows:
            end, patience = run.end, 1
        elif run:
            end = run.end
            rows = decoder.parse_exactly(start, end)
        else:
            end = decoder.exact_end(start, patience)
            rows = decoder.parse_exactly(start, end)
            patience = min(2 * patience, _MOST_PATIENCE_BYTES)
        # Where odd quotes are frequent, looking far ahead for them again and again is wasted.
        wide = run and not run.stopped
        reach = _SLICE_BYTES if wide else max(_LEAST_REACH_BYTES, 2 * (end - start))
        parts.append(rows)
        start = end
    records = join(block.source.feed, parts, block.first_byte).records
    return DecodedBatch(
        block=block,
        records=records,
        rejections=decoder.rejections.batch(block.first_byte),
        unknown_fields=decoder.unknown_fields(records.num_rows),
    )


class CsvRecords:
    """Both ways through the records of one block. Runs must be handed over in order."""

    def __init__(self, block: Block, contract: Contract) -> None:
        feed = block.source.feed
        self._data = block.data
        self._header = block.header
        self._fields = FIELDS[feed]
        self._places = column_places(block.header, contract, feed)
        self._key_place = self._places[KEY_FIELD[feed]]
        self._lines = _LineCounter(block.data, block.first_line)
        self.rejections = Rejections()
        header = read_header(block.data) if block.first_byte == 0 else None
        self.begin = header.end if header else 0

    def unknown_fields(self, rows: int) -> Mapping[str, int]:
        """Extra columns: every record has them."""
        known = set(self._places.values())
        extra = [name for place, name in enumerate(self._header) if place not in known]
        return dict.fromkeys(extra[:_MOST_NAMES], rows) if rows else {}

    def record_end(self, start: int) -> int:
        """Behind the record that begins at `start`, its line end included."""
        return record_at(self._data, start, len(self._data)).end

    def exact_end(self, start: int, size: int) -> int:
        """The end of the records that begin in the next `size` bytes."""
        end = start
        while end < min(start + size, len(self._data)):
            end = self.record_end(end)
        return end

    def parse(self, start: int, run: RegularRun) -> Rows | None:
        """The records of a regular run, or None if the exact path must see them."""
        data, end = self._data, run.end
        if data.find(b"\0", start, end) >= 0 or not is_utf8(data, start, end):
            return None
        starts, ends, before = _records(data, start, run)
        bad: dict[int, int] = {}
        table = self._read(start, run, bad)
        if table is None or table.num_rows + len(bad) != len(starts):
            return None
        lines = self._lines.at(start) + before
        self._lines.go_on(end, len(run.newlines))
        good = np.ones(len(starts), dtype=np.bool_)
        for record in sorted(bad):
            good[record] = False
            content = data[int(starts[record]) : int(ends[record])]
            self._reject("invalid_csv", content, int(starts[record]), int(lines[record]))
        return Rows(
            columns=[self._column(table, name) for name in self._fields],
            starts=starts[good],
            lengths=(ends - starts)[good],
            lines=lines[good],
        )

    def parse_exactly(self, start: int, end: int) -> Rows:
        """The records in `[start, end)`, each by Python's csv module."""
        rows: list[list[str]] = []
        places: list[tuple[int, int, int]] = []
        for record in records_in(self._data, start, end):
            line = self._lines.at(record.start)
            fields = self._exact_fields(record, line)
            if fields is not None:
                rows.append(fields)
                places.append((record.start, record.content_end - record.start, line))
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(self._header)
        where = np.array(places, dtype=np.int64).reshape(-1, 3)
        return Rows(
            columns=[self._exact_column(columns, name, len(rows)) for name in self._fields],
            starts=where[:, 0],
            lengths=where[:, 1],
            lines=where[:, 2],
        )

    def _exact_column(self, columns: Sequence[Sequence[str]], name: str, rows: int) -> pa.Array:
        place = self._places.get(name)
        if place is None:
            return pa.nulls(rows, pa.string())
        return pa.array([text or None for text in columns[place]], pa.string())

    def _exact_fields(self, record: CsvRecord, line: int) -> list[str] | None:
        raw = self._data[record.start : record.content_end]
        try:
            fields = split_fields(raw.decode())
        except UnicodeDecodeError:
            self.rejections.add("invalid_utf8", start=record.start, line=line, raw=raw)
            return None
        if record.unterminated or len(fields) != len(self._header):
            self._reject("invalid_csv", raw, record.start, line)
            return None
        if b"\0" in raw:
            for name, place in self._places.items():
                if "\0" in fields[place]:
                    self._reject("nul_character", raw, record.start, line, name=name)
                    return None
        return fields

    def _reject(
        self, code: str, raw: bytes, start: int, line: int, *, name: str | None = None
    ) -> None:
        fields = split_fields(raw.decode())
        key = fields[self._key_place] if self._key_place < len(fields) else ""
        known = key if key and "\0" not in key else None
        self.rejections.add(code, start=start, line=line, raw=raw, key=known, name=name)

    def _read(self, start: int, run: RegularRun, bad: dict[int, int]) -> pa.Table | None:
        """A table of the known columns; `bad` gets the numbers of records with other columns."""
        names = [f"column_{place}" for place in range(len(self._header))]
        wanted = [names[place] for place in self._places.values()]
        size = run.end - start
        try:
            return pyarrow.csv.read_csv(
                pa.BufferReader(pa.py_buffer(self._data).slice(start, size)),
                read_options=pyarrow.csv.ReadOptions(
                    use_threads=False,
                    block_size=size + _BLOCK_MARGIN_BYTES,
                    column_names=names,
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    newlines_in_values=run.quoted,
                    ignore_empty_lines=True,
                    invalid_row_handler=_noting(bad),
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(wanted, pa.string()),
                    include_columns=wanted,
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=True,
                    null_values=[""],
                ),
            )
        except pa.ArrowInvalid:
            return None

    def _column(self, table: pa.Table, name: str) -> pa.Array:
        place = self._places.get(name)
        if place is None:
            return pa.nulls(table.num_rows, pa.string())
        return table.column(f"column_{place}").combine_chunks()


def _noting(bad: dict[int, int]) -> Callable[[pyarrow.csv.InvalidRow], str]:
    def note(row: pyarrow.csv.InvalidRow) -> str:
        bad[row.number - 1] = row.actual_columns
        return "skip"

    return note


class _LineCounter:
    """The line at a place; places must not go back."""

    def __init__(self, data: bytes, first_line: int) -> None:
        self._data = data
        self._line = first_line
        self._place = 0

    def at(self, place: int) -> int:
        self.go_on(place, line_ends(self._data, self._place, place))
        return self._line

    def go_on(self, place: int, lines: int) -> None:
        """Go on to a place behind so many more lines."""
        self._line += lines
        self._place = place


Places = np.ndarray[tuple[int], np.dtype[np.int64]]


def _records(data: bytes, start: int, run: RegularRun) -> tuple[Places, Places, Places]:
    """Start, end and number of lines before each record of a run; empty lines are none."""
    closing = run.newlines[run.closes]
    if not len(closing) or closing[-1] != run.end - start - 1:
        closing = np.append(closing, run.end - start)
    starts = np.concatenate([[0], closing[:-1] + 1])
    symbols = np.frombuffer(data, dtype=np.uint8, count=run.end - start, offset=start)
    returned = (closing > starts) & (symbols[closing - 1] == _RETURN)
    ends = closing - returned
    before = np.searchsorted(run.newlines, starts)
    filled = ends > starts
    return starts[filled] + start, ends[filled] + start, before[filled]
