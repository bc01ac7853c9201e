"""A model of how many bytes BigQuery would say that a table has, and that a query reads.

8 bytes for INT64, FLOAT64, DATE and TIMESTAMP, 16 for NUMERIC, 32 for BIGNUMERIC, 1 for BOOL, 2 and
the UTF-8 bytes for STRING, the fields for STRUCT, the elements for ARRAY, nothing for null
(https://cloud.google.com/bigquery/docs/estimate-costs#data_sizes). Here the size of texts and
arrays is the average of a sample of rows, and nulls count: a model, not what a bill would say.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import duckdb

from techmart_fast.standin.bqtypes import BqType, Kind, quoted
from techmart_fast.standin.refs import TableRef
from techmart_fast.standin.resources import Table
from techmart_fast.standin.work import physical

_FIXED: Mapping[Kind, int] = {
    Kind.INT64: 8,
    Kind.FLOAT64: 8,
    Kind.NUMERIC: 16,
    Kind.BIGNUMERIC: 32,
    Kind.BOOL: 1,
    Kind.DATE: 8,
    Kind.DATETIME: 8,
    Kind.TIME: 8,
    Kind.TIMESTAMP: 8,
}
_SAMPLE_ROWS = 1000
_MOST_KNOWN = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """Average logical bytes of each column, by lower-case name."""

    columns: Mapping[str, int]

    @property
    def per_row(self) -> int:
        """Bytes of these columns in a row."""
        return sum(self.columns.values())


_KNOWN: dict[TableRef, tuple[Table, dict[str, int]]] = {}
"""Sizes that were looked up, by column: they hold for as long as the table is as it was then."""


def table_bytes(
    cursor: duckdb.DuckDBPyConnection, table: Table, names: Collection[str] | None = None
) -> Volume:
    """Average bytes of columns of a table (all without `names`), from a sample of its rows.

    Names are in lower case. Only columns whose values differ in size are looked at.
    """
    described, known = _KNOWN.get(table.ref, (table, {}))
    if described is not table:
        # A change of a table, be it of its rows, makes another description of it.
        known = {}
    asked = [one for one in table.schema if names is None or one.name.lower() in names]
    sizes = {one.name.lower(): _FIXED.get(one.type.kind, 0) for one in asked}
    uneven = [one for one in asked if one.type.kind not in _FIXED]
    unknown = [one for one in uneven if one.name.lower() not in known]
    if unknown:
        texts = ", ".join(f"avg({_size(quoted(one.name), one.type, 0)})" for one in unknown)
        sample = f"SELECT * FROM {physical(table.ref)} LIMIT {_SAMPLE_ROWS}"
        (row,) = cursor.execute(f"SELECT {texts} FROM ({sample})").fetchall()
        found = zip(unknown, row, strict=True)
        known = known | {one.name.lower(): round(size or 0) for one, size in found}
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[table.ref] = (table, known)
    return Volume(columns=sizes | {one.name.lower(): known[one.name.lower()] for one in uneven})


def _size(value: str, kind: BqType, depth: int) -> str:
    if kind.kind is Kind.ARRAY:
        name = f"e{depth}"
        inner = _size(name, kind.item, depth + 1)
        return f"coalesce(list_sum(list_transform({value}, lambda {name}: {inner})), 0)"
    if kind.kind is Kind.STRUCT:
        parts = [
            _size(f"struct_extract_at({value}, {place})", inner, depth)
            for place, (_, inner) in enumerate(kind.fields, start=1)
        ]
        return f"({' + '.join(parts)})"
    if kind.kind in _FIXED:
        return str(_FIXED[kind.kind])
    if kind.kind is Kind.BYTES:
        return f"(2 + coalesce(octet_length({value}), 0))"
    return f"(2 + coalesce(strlen(CAST({value} AS VARCHAR)), 0))"
