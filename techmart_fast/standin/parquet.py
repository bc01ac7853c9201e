"""What a Parquet file holds, in BigQuery's types.

https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#parquet_conversions
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from techmart_fast.standin.bqtypes import Field, Kind
from techmart_fast.standin.failure import ServiceError, not_implemented


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
