"""DuckDB's types, as a result describes them, back into BigQuery's."""

from collections.abc import Mapping

from duckdb.sqltypes import DuckDBPyType

from techmart_fast.standin.bqtypes import DUCKDB_NAME, BqType, Kind
from techmart_fast.standin.failure import ServiceError

_KINDS: Mapping[str, Kind] = {
    name: kind for kind, name in DUCKDB_NAME.items() if kind is not Kind.NULL
}


def result_type(kind: DuckDBPyType, spelling: Mapping[str, str]) -> BqType:
    """The BigQuery type of a result's column. `spelling` restores the case of field names.

    Raises:
        ServiceError: `internalError`, the engine computed a type that BigQuery does not have: the
            translation of this query is wrong, and so may be the values.
    """
    if kind.id == "list":
        ((_, element),) = _children(kind)
        return BqType(Kind.ARRAY, element=result_type(element, spelling))
    if kind.id == "struct":
        fields = [
            (spelling.get(name, name), result_type(inner, spelling))
            for name, inner in _children(kind)
        ]
        return BqType(Kind.STRUCT, fields=tuple(fields))
    name = str(kind)
    if name in ('"NULL"', "NULL"):
        return BqType(Kind.INT64)
    if name not in _KINDS:
        raise ServiceError(
            "internalError",
            f"The stand-in's engine computed a {name}, which BigQuery does not have.",
        )
    return BqType(_KINDS[name])


def _children(kind: DuckDBPyType) -> list[tuple[str, DuckDBPyType]]:
    """Names and types of what a list or struct holds."""
    children = ((name, inner) for name, inner in kind.children)
    return [(name, inner) for name, inner in children if isinstance(inner, DuckDBPyType)]


def same_shape(one: BqType, other: BqType) -> bool:
    """Whether two types are equal but for the case of names (an untyped null fits INT64)."""
    if one.kind is not other.kind:
        return Kind.NULL in (one.kind, other.kind)
    if one.element is not None and other.element is not None:
        return same_shape(one.element, other.element)
    if len(one.fields) != len(other.fields):
        return False
    pairs = zip(one.fields, other.fields, strict=True)
    return all(a[0].lower() == b[0].lower() and same_shape(a[1], b[1]) for a, b in pairs)
