"""Declared SQL types (`NUMERIC(12, 2)`, `ARRAY<STRUCT<…>>`) as Arrow types and as load schemas."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

import pyarrow as pa

from techmart_fast.warehouse.schema import Column

_NUMERIC = re.compile(r"NUMERIC\((\d+), (\d+)\)")
_FIELDS = re.compile(r",\s*(?![^()]*\))")
_PREFIX, _SUFFIX = "ARRAY<STRUCT<", ">>"

_ARROW: Mapping[str, pa.DataType] = MappingProxyType(
    {
        "STRING": pa.string(),
        "INT64": pa.int64(),
        "BOOL": pa.bool_(),
        "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    }
)


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The Arrow schema of declared columns; NUMERIC(p, s) is decimal128(p, s)."""
    return pa.schema([pa.field(column.name, arrow_type(column.type)) for column in columns])


@cache
def arrow_type(sql: str) -> pa.DataType:
    """The Arrow type of a declared type.

    Raises:
        ValueError: the schema file has a type that nothing here loads or reports.
    """
    if sql.startswith(_PREFIX) and sql.endswith(_SUFFIX):
        inner = sql.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        fields = (part.split(" ", 1) for part in _FIELDS.split(inner))
        return pa.list_(pa.struct([pa.field(name, arrow_type(kind)) for name, kind in fields]))
    if numeric := _NUMERIC.fullmatch(sql):
        return pa.decimal128(int(numeric[1]), int(numeric[2]))
    if sql not in _ARROW:
        raise ValueError(f"no Arrow type for the SQL type {sql}")
    return _ARROW[sql]


def load_field(column: Column) -> dict[str, str]:
    """A flat column as the API's `TableFieldSchema`, for load jobs and staging tables."""
    mode = "REQUIRED" if column.required else "NULLABLE"
    if numeric := _NUMERIC.fullmatch(column.type):
        size = {"precision": numeric[1], "scale": numeric[2]}
        return {"name": column.name, "type": "NUMERIC", "mode": mode, **size}
    return {"name": column.name, "type": column.type, "mode": mode}
