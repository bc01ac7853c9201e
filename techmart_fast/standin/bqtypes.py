"""BigQuery's data types and schema fields, and the DuckDB types that hold them.

The mapping is one to one, so that a query's DuckDB types tell its BigQuery types. BIGNUMERIC holds
what DECIMAL(38, 18) can: 20 digits before the point and 18 behind it, not 39 and 38.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import cast

from techmart_fast.standin.failure import ServiceError, not_implemented


class Kind(StrEnum):
    """A type's name in SQL."""

    STRING = "STRING"
    BYTES = "BYTES"
    INT64 = "INT64"
    FLOAT64 = "FLOAT64"
    NUMERIC = "NUMERIC"
    BIGNUMERIC = "BIGNUMERIC"
    BOOL = "BOOL"
    TIMESTAMP = "TIMESTAMP"
    DATETIME = "DATETIME"
    DATE = "DATE"
    TIME = "TIME"
    JSON = "JSON"
    INTERVAL = "INTERVAL"
    NULL = "NULL"
    ARRAY = "ARRAY"
    STRUCT = "STRUCT"


NUMBERS = (Kind.INT64, Kind.NUMERIC, Kind.BIGNUMERIC, Kind.FLOAT64)

DUCKDB_NAME: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.STRING: "VARCHAR",
        Kind.BYTES: "BLOB",
        Kind.INT64: "BIGINT",
        Kind.FLOAT64: "DOUBLE",
        Kind.NUMERIC: "DECIMAL(38,9)",
        Kind.BIGNUMERIC: "DECIMAL(38,18)",
        Kind.BOOL: "BOOLEAN",
        Kind.TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
        Kind.DATETIME: "TIMESTAMP",
        Kind.DATE: "DATE",
        Kind.TIME: "TIME",
        Kind.JSON: "JSON",
        Kind.INTERVAL: "INTERVAL",
        Kind.NULL: "BIGINT",
    }
)

_API_NAME: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.INT64: "INTEGER",
        Kind.FLOAT64: "FLOAT",
        Kind.BOOL: "BOOLEAN",
        Kind.STRUCT: "RECORD",
    }
)
_FROM_API: Mapping[str, Kind] = MappingProxyType(
    {kind.value: kind for kind in Kind if kind not in (Kind.ARRAY, Kind.NULL)}
    | {name: kind for kind, name in _API_NAME.items()}
    | {"DECIMAL": Kind.NUMERIC, "BIGDECIMAL": Kind.BIGNUMERIC}
)
_KEPT = ("description", "precision", "scale", "maxLength", "roundingMode")
_MODES = ("NULLABLE", "REQUIRED", "REPEATED")


@dataclass(frozen=True, slots=True)
class BqType:
    """A type. `element` is an array's; `fields` (name, type) are a struct's."""

    kind: Kind
    element: "BqType | None" = None
    fields: "tuple[tuple[str, BqType], ...]" = ()

    def __str__(self) -> str:
        if self.kind is Kind.ARRAY:
            return f"ARRAY<{self.element}>"
        if self.kind is Kind.STRUCT:
            inner = ", ".join(f"{name} {kind}".strip() for name, kind in self.fields)
            return f"STRUCT<{inner}>"
        return self.kind.value

    @property
    def item(self) -> "BqType":
        """The type of an array's elements."""
        if self.element is None:
            raise TypeError(f"{self.kind} has no elements")
        return self.element

    @property
    def duckdb(self) -> str:
        """The DuckDB type, as DuckDB itself spells it."""
        if self.kind is Kind.ARRAY:
            return f"{self.item.duckdb}[]"
        if self.kind is Kind.STRUCT:
            inner = ", ".join(f"{quoted(name)} {kind.duckdb}" for name, kind in self.fields)
            return f"STRUCT({inner})"
        return DUCKDB_NAME[self.kind]


def quoted(name: str) -> str:
    """An identifier as DuckDB reads it, whatever its characters."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """A string literal as DuckDB reads it."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column or nested field of a schema, as the API describes it."""

    name: str
    kind: Kind
    mode: str = "NULLABLE"
    fields: "tuple[Field, ...]" = ()
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> BqType:
        """The SQL type; a repeated field is an array."""
        inner = tuple((one.name, one.type) for one in self.fields)
        single = BqType(self.kind, fields=inner)
        return BqType(Kind.ARRAY, element=single) if self.mode == "REPEATED" else single

    @property
    def limits(self) -> str:
        """`DECIMAL(p,s)` of a parameterized NUMERIC, or an empty string."""
        if self.kind is Kind.NUMERIC and "precision" in self.details:
            return f"DECIMAL({self.details['precision']},{self.details.get('scale', '0')})"
        return ""

    @property
    def limited_duckdb(self) -> str:
        """The DuckDB type that holds what the column may hold, parameters of NUMERIC included."""
        if self.kind is Kind.STRUCT:
            inner = ", ".join(f"{quoted(one.name)} {one.limited_duckdb}" for one in self.fields)
            single = f"STRUCT({inner})"
        else:
            single = self.limits or DUCKDB_NAME[self.kind]
        return f"{single}[]" if self.mode == "REPEATED" else single

    def to_api(self) -> dict[str, object]:
        """The API's `TableFieldSchema`."""
        body: dict[str, object] = {
            "name": self.name,
            "type": _API_NAME.get(self.kind, self.kind.value),
            "mode": self.mode,
        }
        if self.kind is Kind.STRUCT:
            body["fields"] = [one.to_api() for one in self.fields]
        return body | dict(self.details)


def field_from_api(body: Mapping[str, object]) -> Field:
    """A field from the API's `TableFieldSchema`.

    Raises:
        ServiceError: a type or mode is unknown, or a name is missing.
    """
    name = str(body.get("name") or "")
    if not name:
        raise ServiceError("invalid", "A schema field has no name.")
    word = str(body.get("type", "")).upper()
    if word not in _FROM_API:
        raise ServiceError("invalid", f"Field {name} has the unknown type {word or '(none)'}.")
    kind = _FROM_API[word]
    if kind is Kind.INTERVAL:
        raise not_implemented("columns of the type INTERVAL")
    mode = str(body.get("mode") or "NULLABLE").upper()
    if mode not in _MODES:
        raise ServiceError("invalid", f"Field {name} has the unknown mode {mode}.")
    if body.get("defaultValueExpression"):
        raise not_implemented("default values of columns")
    inner = cast("Sequence[Mapping[str, object]]", body.get("fields") or ())
    return Field(
        name=name,
        kind=kind,
        mode=mode,
        fields=tuple(field_from_api(one) for one in inner),
        details={key: str(body[key]) for key in _KEPT if body.get(key) is not None},
    )


def schema_from_api(body: object) -> tuple[Field, ...]:
    """The fields of the API's `TableSchema` (or nothing).

    Raises:
        ServiceError: a field is wrong, or two have the same name (case does not count).
    """
    fields = body.get("fields", ()) if isinstance(body, Mapping) else ()
    schema = tuple(field_from_api(one) for one in fields)
    check_names(schema)
    return schema


def check_names(schema: Sequence[Field]) -> None:
    """Refuse two columns of one name; case does not count."""
    names = [one.name.lower() for one in schema]
    for name in names:
        if names.count(name) > 1:
            raise ServiceError("invalid", f"Duplicate column name {name} in the schema.")


def field_of(name: str, kind: BqType) -> Field:
    """The nullable field that a query's output column of this type becomes."""
    if kind.kind is Kind.ARRAY:
        inner = field_of(name, kind.item)
        return Field(name=name, kind=inner.kind, mode="REPEATED", fields=inner.fields)
    fields = tuple(
        field_of(inner or f"_field_{number}", type_)
        for number, (inner, type_) in enumerate(kind.fields, start=1)
    )
    return Field(name=name, kind=kind.kind, fields=fields)
