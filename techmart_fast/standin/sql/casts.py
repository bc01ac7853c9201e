"""CAST and SAFE_CAST.

https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_functions#cast
"""

from decimal import Decimal

from sqlglot import exp

from techmart_fast.standin.bqtypes import NUMBERS, BqType, Kind
from techmart_fast.standin.failure import not_implemented
from techmart_fast.standin.sql.coercion import can_become, check_text, rebuilt, refuse_binary
from techmart_fast.standin.sql.kinds import (
    FLOAT64,
    INT64,
    NULL,
    NUMERIC,
    call,
    cast,
    from_sqlglot,
    kind_of,
    literal_of,
    shown,
    text,
)
from techmart_fast.standin.sql.rules import rule
from techmart_fast.standin.sql.texts import first_md5_byte


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
    # Every NUMERIC is a BIGNUMERIC: only the stand-in can fail there, and null would be wrong.
    safe = isinstance(node, exp.TryCast) and (have.kind, want.kind) != _WIDENED
    if node.args["to"].expressions and want.kind in NUMBERS:
        raise not_implemented(f"a cast to a parameterized type: {shown(node)}")
    value = _converted(node.this, have, want)
    if value is None:
        if have != NULL and (have.kind, want.kind) not in _CASTS and have != want:
            raise not_implemented(f"a cast from {have} to {want}")
        value = cast(node.this, want)
    if safe and isinstance(value, exp.Anonymous) and value.name == "exact_numeric":
        return call("safe_exact_numeric", *value.expressions)
    if safe and isinstance(value, exp.Cast):
        return exp.TryCast(this=value.this, to=value.args["to"])
    if safe:
        raise not_implemented(f"SAFE_CAST from {have} to {want}")
    return value


def _converted(value: exp.Expr, have: BqType, want: BqType) -> exp.Expr | None:
    """Casts for which DuckDB's own differs."""
    if want.kind is Kind.STRING and have.kind in _TEXT_OF:
        return call(_TEXT_OF[have.kind], value)
    if have.kind is Kind.STRING and want.kind in _CHECKED:
        return (want == INT64 and first_md5_byte(value)) or _of_text(value, want)
    if (have, want) == (FLOAT64, INT64):
        # DuckDB rounds a half to the even neighbour; BigQuery away from zero.
        return cast(call("round", value), want)
    if (have, want) == (FLOAT64, NUMERIC):
        return _numeric_of_float(value)
    literal = literal_of(value)
    if have == FLOAT64 and literal is not None and want.kind is Kind.BIGNUMERIC:
        check_text(literal.name, want)
        return cast(text(literal.name), want)
    refuse_binary(have, want)
    return None


def _of_text(value: exp.Expr, want: BqType) -> exp.Expr:
    """A text as a value; of a literal it is known beforehand whether it can be one."""
    name, literal = _CHECKED[want.kind], literal_of(value)
    if want.kind is Kind.BYTES:
        return call(name, value)
    if literal is None or isinstance(value.parent, exp.TryCast):
        return cast(call(name, value), want)
    check_text(literal.name, want)
    return cast(value, want)


def _numeric_of_float(value: exp.Expr) -> exp.Expr:
    """A float as NUMERIC: a literal as it is written, others by their exact binary value."""
    literal = literal_of(value)
    if literal is not None and abs(Decimal(literal.name)) < _NUMERIC_LIMIT:
        return cast(text(literal.name), NUMERIC)
    return call("exact_numeric", value)


_NUMERIC_LIMIT = Decimal(10) ** 29
_WIDENED = (Kind.NUMERIC, Kind.BIGNUMERIC)
_CHECKED = {
    Kind.BIGNUMERIC: "held_text",
    Kind.BOOL: "bq_bool_text",
    Kind.BYTES: "encode",
    Kind.DATE: "bq_date_text",
    Kind.INT64: "bq_whole_text",
    Kind.TIMESTAMP: "bq_instant_text",
}
_TEXT_OF = {
    Kind.BIGNUMERIC: "bq_numeric_text",
    Kind.BYTES: "decode",
    Kind.FLOAT64: "bq_float_text",
    Kind.NUMERIC: "bq_numeric_text",
    Kind.TIMESTAMP: "bq_timestamp_text",
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
