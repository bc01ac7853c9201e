"""What a Parquet file holds, in BigQuery's types, and whether a table can take it.

https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#parquet_conversions
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from techmart_fast.standin.bignumeric import WHOLE_DIGITS
from techmart_fast.standin.bqtypes import Field, Kind, quoted
from techmart_fast.standin.failure import ServiceError, not_implemented
from techmart_fast.standin.resources import Table


def parquet_fields(path: Path, *, list_inference: bool) -> tuple[Field, ...]:
    """The columns of a Parquet file as schema fields.

    Raises:
        ServiceError: the file is not Parquet, or a column is of a type that is not supported.
    """
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError):
        raise ServiceError(
            "invalid",
            "Error while reading data, error message: Input file is not in Parquet format.",
        ) from None
    return tuple(_field(one, list_inference=list_inference) for one in schema)


def _field(one: "pa.Field[pa.DataType]", *, list_inference: bool) -> Field:
    kind = one.type
    mode = "NULLABLE" if one.nullable else "REQUIRED"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        if not list_inference:
            raise not_implemented(
                f"the column {one.name}, a Parquet list without parquetOptions.enableListInference,"
            )
        mode, kind = "REPEATED", kind.value_type
    if pa.types.is_struct(kind):
        inner = tuple(
            _field(kind.field(place), list_inference=list_inference)
            for place in range(kind.num_fields)
        )
        return Field(name=one.name, kind=Kind.STRUCT, mode=mode, fields=inner)
    details = {}
    if pa.types.is_decimal(kind):
        details = {"precision": str(kind.precision), "scale": str(kind.scale)}
    return Field(name=one.name, kind=_scalar(one.name, kind), mode=mode, details=details)


def _scalar(name: str, kind: pa.DataType) -> Kind:
    if pa.types.is_decimal(kind):
        return _decimal(name, kind.precision, kind.scale)
    if pa.types.is_timestamp(kind):
        if kind.unit == "ns":
            raise ServiceError("invalid", f"Column {name}: timestamps in nanoseconds.")
        return Kind.TIMESTAMP if kind.tz else Kind.DATETIME
    if pa.types.is_dictionary(kind):
        return _scalar(name, kind.value_type)
    for test, found in _PLAIN:
        if test(kind):
            return found
    raise not_implemented(f"the type {kind} of the column {name}")


_PLAIN = (
    (pa.types.is_string, Kind.STRING),
    (pa.types.is_large_string, Kind.STRING),
    (pa.types.is_string_view, Kind.STRING),
    (pa.types.is_binary, Kind.BYTES),
    (pa.types.is_large_binary, Kind.BYTES),
    (pa.types.is_signed_integer, Kind.INT64),
    (pa.types.is_floating, Kind.FLOAT64),
    (pa.types.is_boolean, Kind.BOOL),
    (pa.types.is_date32, Kind.DATE),
)


def _decimal(name: str, precision: int, scale: int) -> Kind:
    """The narrowest of NUMERIC and BIGNUMERIC that holds every value of the type."""
    if scale <= 9 and precision - scale <= 29:
        return Kind.NUMERIC
    if scale <= 18 and precision - scale <= 20:
        return Kind.BIGNUMERIC
    raise not_implemented(f"DECIMAL({precision},{scale}) of the column {name}")


_WIDER = {
    (Kind.INT64, Kind.NUMERIC),
    (Kind.INT64, Kind.BIGNUMERIC),
    (Kind.INT64, Kind.FLOAT64),
    (Kind.NUMERIC, Kind.BIGNUMERIC),
    (Kind.STRING, Kind.JSON),
}


def converted(table: Table, given: Field, column: Field) -> str:
    """The file's column as the table's type, in DuckDB's SQL.

    Raises:
        ServiceError: the types do not fit.
    """
    fits = given.type == column.type or (
        (given.kind, column.kind) in _WIDER
        and (given.mode == "REPEATED") == (column.mode == "REPEATED")
    )
    if not fits:
        text = f"Field {column.name} has changed type from {column.type} to {given.type}"
        raise mismatch(table, text)
    value = f"CAST({quoted(given.name)} AS {column.type.duckdb})"
    if column.mode == "REPEATED":
        value = f"coalesce({value}, [])"
    if not is_within(given, column):
        return f"CAST(CAST({value} AS {column.limited_duckdb}) AS {column.type.duckdb})"
    return value


def is_within(given: Field, column: Field) -> bool:
    """Whether every number of a file's column fits the NUMERIC(p, s) of the table's as it is."""
    if column.kind is Kind.STRUCT:
        inner = {one.name.lower(): one for one in given.fields}
        return all(is_within(inner[one.name.lower()], one) for one in column.fields)
    if column.kind is Kind.BIGNUMERIC and "precision" in given.details:
        digits = int(given.details["precision"]) - int(given.details.get("scale", "0"))
        return digits <= WHOLE_DIGITS
    if not column.limits:
        return True
    if "precision" not in given.details:
        return False
    sizes = [
        (int(one.details["precision"]), int(one.details.get("scale", "0")))
        for one in (given, column)
    ]
    (precision, scale), (most, places) = sizes
    return scale <= places and precision - scale <= most - places


def mismatch(table: Table, text: str) -> ServiceError:
    """The service's complaint about a schema that does not fit."""
    return ServiceError("invalid", f"Provided Schema does not match Table {table.ref}. {text}")
