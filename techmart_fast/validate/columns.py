"""Builds a validated batch field by field; the three feeds differ in their rules only."""

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.contract import Contract
from techmart_fast.records import KEY_FIELD, DecodedBatch
from techmart_fast.validate.batch import VALIDATED, ValidatedBatch
from techmart_fast.validate.instants import InstantColumn, read_dates, read_instants
from techmart_fast.validate.numbers import Units, read_numbers
from techmart_fast.validate.text import as_mask, longer_than, repair_codes, repair_text
from techmart_fast.validate.verdicts import Mask, Verdicts

MAX_TEXT_LENGTH = 1_000


class FieldRules:
    """Applies rules to the decoded columns of one batch, in order, and collects the outcome."""

    def __init__(self, decoded: DecodedBatch, contract: Contract) -> None:
        self._decoded = decoded
        self._feed = decoded.block.source.feed
        self._rules = contract.rules(self._feed)
        self._rows = decoded.records.num_rows
        self._verdicts = Verdicts(self._rows)
        self._columns: dict[str, pa.Array] = {}
        self._repairs: dict[str, int] = {}
        self._completeness: dict[str, tuple[int, int]] = {}

    def identifier(self, field: str, *, default: str | None = None) -> None:
        """Text of at most `max_id_length` characters; `default` replaces an empty one."""
        self._text(field, self._rules.max_id_length, "id_too_long", default=default)

    def text(self, field: str, *, default: str | None = None) -> None:
        """Free text; `default` replaces an empty value of a field that is not required."""
        self._text(field, MAX_TEXT_LENGTH, "value_too_long", default=default)

    def matching(self, field: str, pattern: str, code: str) -> None:
        """Reject values of a column set before that do not match a regular expression."""
        values = self._columns[field]
        matches = pc.match_substring_regex(values, pattern)
        self._verdicts.reject(as_mask(pc.invert(matches)), code, field)

    def code(
        self,
        field: str,
        known: Collection[str],
        code: str,
        *,
        canonical: Callable[[str], str],
        default: str | None = None,
    ) -> None:
        """A value of a closed set, its case repaired and the shop's own words mapped."""
        column = repair_codes(
            self._source(field),
            canonical=canonical,
            known=known.__contains__,
            values=self._rules.values.get(field, {}),
        )
        self._missing(field, column.missing)
        self._verdicts.reject(column.unknown, code, field)
        self._repaired(field, column.repaired)
        values = column.values
        if default is not None and values.null_count:
            values = pc.fill_null(values, default)
        self._columns[field] = values

    def number(
        self, field: str, *, minimum: Decimal, maximum: Decimal, decimals: int, codes: Sequence[str]
    ) -> Units:
        """An exact number; `codes` are those for no number, out of range, too precise.

        Returns the value in units of 10^-decimals (0 where rejected or missing).
        """
        column = read_numbers(
            self._decoded.records.column(field),
            self._decoded.odd_numbers.get(field, {}),
            minimum=minimum,
            maximum=maximum,
            decimals=decimals,
        )
        self._missing(field, column.missing)
        for faulty, code in zip(
            (column.not_a_number, column.out_of_range, column.too_precise), codes, strict=True
        ):
            self._verdicts.reject(faulty, code, field)
        self._repaired(field, column.repaired)
        return column.units

    def instant(self, field: str, *, zone: str, earliest: int, latest: int) -> InstantColumn:
        """A timestamp between two UTC microseconds, both included."""
        column = read_instants(self._source(field), zone=zone)
        self._missing(field, column.missing)
        self._verdicts.reject(column.invalid, "invalid_timestamp", field)
        self._verdicts.reject(column.without_offset, "timestamp_without_offset", field)
        self._verdicts.reject(column.in_gap, "timestamp_in_gap", field)
        outside = column.readable & ((column.micros < earliest) | (column.micros > latest))
        self._verdicts.reject(outside, "timestamp_out_of_range", field)
        self._repaired(field, column.repaired)
        return column

    def day(self, field: str) -> None:
        """A calendar date."""
        column = read_dates(self._source(field))
        self._missing(field, column.missing)
        self._verdicts.reject(column.invalid, "invalid_date", field)
        self._repaired(field, column.repaired)
        self._columns[field] = column.values

    def put(self, field: str, values: pa.Array) -> None:
        """Set a column that was made from units."""
        self._columns[field] = values

    def outcome(self, dates: Callable[[], pa.Date32Array] | None = None) -> ValidatedBatch:
        """The validated batch; `dates` gives every row's reporting date, asked only if needed."""
        decoded, schema = self._decoded, VALIDATED[self._feed]
        accepted = self._verdicts.accepted
        clean = bool(accepted.all())
        rejections = decoded.rejections
        if not clean:
            own = self._verdicts.rejections(
                decoded.block,
                decoded.records,
                key=KEY_FIELD[self._feed],
                dates=dates() if dates else None,
            )
            rejections = _in_source_order(rejections, own)
        self._columns["source_offset"] = decoded.records.column("source_offset")
        records = pa.RecordBatch.from_arrays([self._columns[f.name] for f in schema], schema=schema)
        return ValidatedBatch(
            block=decoded.block,
            records=records if clean else records.filter(pa.array(accepted)),
            rejections=rejections,
            read=decoded.read,
            completeness=self._completeness,
            repairs=self._repairs,
            unknown_fields=decoded.unknown_fields,
        )

    def _source(self, field: str) -> pa.StringArray:
        return self._decoded.records.column(field)

    def _text(self, field: str, limit: int, code: str, *, default: str | None = None) -> None:
        values = self._rules.values.get(field)
        if values:
            column = repair_codes(
                self._source(field), canonical=str, known=lambda _: True, values=values
            )
            text, missing, repaired = column.values, column.missing, column.repaired
        else:
            trimmed = repair_text(self._source(field))
            text, missing, repaired = trimmed.values, trimmed.missing, trimmed.repaired
        self._missing(field, missing)
        self._verdicts.reject(longer_than(text, limit), code, field)
        self._repaired(field, repaired)
        if default is not None and text.null_count:
            text = pc.fill_null(text, default)
        self._columns[field] = text

    def _missing(self, field: str, missing: Mask) -> None:
        if field in self._rules.required:
            # A damaged record has none of its fields, so it counts among the expected.
            self._completeness[field] = (self._rows - int(missing.sum()), self._decoded.read)
            self._verdicts.reject(missing, "missing_field", field)

    def _repaired(self, field: str, count: int) -> None:
        if count:
            self._repairs[field] = count


def _in_source_order(first: pa.RecordBatch, second: pa.RecordBatch) -> pa.RecordBatch:
    if not first.num_rows:
        return second
    both = pa.Table.from_batches([first, second]).sort_by("source_offset").combine_chunks()
    return both.to_batches()[0]
