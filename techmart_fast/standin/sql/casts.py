"""CAST and SAFE_CAST.

https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_functions#cast
"""

from sqlglot import exp

from techmart_fast.standin.bqtypes import NUMBERS, BqType, Kind
from techmart_fast.standin.failure import not_implemented
from techmart_fast.standin.sql.coercion import can_become, rebuilt
from techmart_fast.standin.sql.kinds import (
    BIGNUMERIC,
    BYTES,
    FLOAT64,
    INT64,
    NULL,
    NUMERIC,
    STRING,
    call,
    cast,
    from_sqlglot,
    kind_of,
    shown,
)
from techmart_fast.standin.sql.rules import rule


def _cast_type(node: exp.Expr) -> BqType:
    found = kind_of_target(node.args["to"])
    if node.args.get("format"):
        raise not_implemented(f"CAST with FORMAT: {shown(node)}")
    return found


def kind_of_target(target: exp.DataType) -> BqType:
    """The type that a CAST or a column definition names."""
    found = from_sqlglot(target)
    if found is None:
        raise not_implemented(f"the type {target.sql(dialect='bigquery')}")
    return found


@rule(exp.Cast, exp.TryCast, type_of=_cast_type)
def _cast(node: exp.Expr) -> exp.Expr:
    if isinstance(node.this, exp.Parameter):
        return cast(node.this, kind_of(node))
    have, want = kind_of(node.this), kind_of(node)
    if can_become(node.this, want):
        made = rebuilt(node.this, want, what="CAST")
        if made is not None:
            return made
    safe = isinstance(node, exp.TryCast)
    if node.args["to"].expressions and want.kind in NUMBERS:
        raise not_implemented(f"a cast to a parameterized type: {shown(node)}")
    value = _converted(node.this, have, want)
    if value is None:
        if have != NULL and (have.kind, want.kind) not in _CASTS and have != want:
            raise not_implemented(f"a cast from {have} to {want}")
        value = cast(node.this, want)
    if safe and isinstance(value, exp.Cast):
        return exp.TryCast(this=value.this, to=value.args["to"])
    if safe:
        raise not_implemented(f"SAFE_CAST from {have} to {want}")
    return value


def _converted(value: exp.Expr, have: BqType, want: BqType) -> exp.Expr | None:
    """Casts for which DuckDB's own differs."""
    if want == STRING and have in _TEXT_OF:
        return call(_TEXT_OF[have], value)
    if want == INT64 and have == FLOAT64:
        # DuckDB rounds a half to the even neighbour; BigQuery away from zero.
        return cast(call("round", value), want)
    if want == INT64 and have == STRING:
        return cast(call("bq_whole_text", value), want)
    if want == BYTES and have == STRING:
        return call("encode", value)
    if want == STRING and have == BYTES:
        return call("decode", value)
    return None


_TEXT_OF = {
    FLOAT64: "bq_float_text",
    NUMERIC: "bq_numeric_text",
    BIGNUMERIC: "bq_numeric_text",
    BqType(Kind.TIMESTAMP): "bq_timestamp_text",
}
_CASTS = {
    *((one, other) for one in NUMBERS for other in NUMBERS),
    *((Kind.STRING, other) for other in Kind if other not in (Kind.ARRAY, Kind.STRUCT)),
    (Kind.INT64, Kind.STRING),
    (Kind.INT64, Kind.BOOL),
    (Kind.BOOL, Kind.INT64),
    (Kind.BOOL, Kind.STRING),
    (Kind.DATE, Kind.STRING),
    (Kind.DATE, Kind.TIMESTAMP),
    (Kind.DATE, Kind.DATETIME),
    (Kind.DATETIME, Kind.DATE),
    (Kind.DATETIME, Kind.STRING),
    (Kind.DATETIME, Kind.TIMESTAMP),
    (Kind.TIMESTAMP, Kind.DATE),
    (Kind.TIMESTAMP, Kind.DATETIME),
    (Kind.STRUCT, Kind.STRUCT),
    (Kind.ARRAY, Kind.ARRAY),
}
