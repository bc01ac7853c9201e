"""Aggregate and window functions.

https://cloud.google.com/bigquery/docs/reference/standard-sql/aggregate_functions
https://cloud.google.com/bigquery/docs/reference/standard-sql/window-functions

A rewritten aggregate may be an expression around DuckDB's (a cast, a quotient of two). The parts
that are aggregates are marked, and an OVER clause is handed down to them.
"""

from dataclasses import dataclass

from sqlglot import exp

from techmart_fast.standin.bqtypes import NUMBERS, BqType, Kind
from techmart_fast.standin.failure import invalid_query, not_implemented
from techmart_fast.standin.sql.coercion import coerced
from techmart_fast.standin.sql.kinds import (
    BIGNUMERIC,
    BOOL,
    FLOAT64,
    INT64,
    NUMERIC,
    STRING,
    call,
    cast,
    kind_of,
    literal_of,
    number,
    shown,
    text,
)
from techmart_fast.standin.sql.rules import always, plain, rule
from techmart_fast.standin.sql.trees import copied

MARK = "aggregate"


def marked(node: exp.Expr) -> exp.Expr:
    """A (rewritten) aggregate or window function, marked as what an OVER clause belongs to."""
    node.meta[MARK] = True
    return node


@dataclass(frozen=True, slots=True)
class _Inside:
    """What stands between the parentheses of an aggregate."""

    value: exp.Expr
    distinct: bool
    order: exp.Order | None
    limit: int | None


def _inside(node: exp.Expr) -> _Inside:
    inner = node.this
    limit: int | None = None
    order: exp.Order | None = None
    if isinstance(inner, exp.Limit):
        written = literal_of(inner.expression)
        if written is None or not written.is_int:
            raise not_implemented(f"a LIMIT that is not a literal: {shown(node)}")
        limit, inner = int(written.name), inner.this
    if isinstance(inner, exp.Order):
        order = exp.Order(expressions=[copied(one) for one in inner.expressions])
        inner = inner.this
    distinct = isinstance(inner, exp.Distinct)
    if isinstance(inner, exp.Distinct):
        if len(inner.expressions) != 1:
            raise invalid_query(f"DISTINCT takes one argument here: {shown(node)}")
        inner = inner.expressions[0]
    if isinstance(inner, exp.HavingMax):
        raise not_implemented(f"HAVING MAX in {node.key.upper()}")
    return _Inside(inner, distinct, order, limit)


def _value_type(node: exp.Expr) -> BqType:
    return kind_of(_inside(node).value)


def _argument(parts: _Inside, value: exp.Expr | None = None) -> exp.Expr:
    """The inside of a DuckDB aggregate: `DISTINCT value ORDER BY …`."""
    result = parts.value if value is None else value
    if parts.distinct:
        result = exp.Distinct(expressions=[result])
    if parts.order is not None:
        result = exp.Order(this=result, expressions=parts.order.expressions)
    return result


def _bare(node: exp.Expr) -> _Inside:
    parts = _inside(node)
    if parts.order is not None or parts.limit is not None:
        raise not_implemented(f"ORDER BY or LIMIT in {node.key.upper()}: {shown(node)}")
    return parts


def _sum_type(node: exp.Expr) -> BqType:
    kind = _value_type(node)
    if kind.kind is Kind.NULL:
        return INT64
    if kind.kind not in NUMBERS:
        raise invalid_query(f"No matching signature for {node.key.upper()} of {kind}.")
    return kind


@rule(exp.Sum, type_of=_sum_type)
def _sum(node: exp.Expr) -> exp.Expr:
    # DuckDB adds whole numbers into 128 bits; the cast fails where BigQuery's sum overflows.
    return cast(marked(call("sum", _argument(_bare(node)))), kind_of(node))


def _average_type(node: exp.Expr) -> BqType:
    kind = _sum_type(node)
    return FLOAT64 if kind == INT64 else kind


@rule(exp.Avg, type_of=_average_type)
def _average(node: exp.Expr) -> exp.Expr:
    kind, parts = kind_of(node), _bare(node)
    if kind == BIGNUMERIC:
        raise not_implemented("AVG of BIGNUMERIC")
    if kind == FLOAT64:
        return marked(call("avg", _argument(parts)))
    # An average of no rows is null, not a division by zero.
    total = marked(call("sum", _argument(parts)))
    count = marked(call("count", copied(_argument(parts))))
    return call("bq_safe_divide_numeric", total, cast(count, NUMERIC))


def _extreme_type(node: exp.Expr) -> BqType:
    kind = _value_type(node)
    if kind.kind in (Kind.ARRAY, Kind.STRUCT, Kind.JSON):
        raise invalid_query(f"{node.key.upper()} is not defined for {kind}.")
    return kind


@rule(exp.Min, exp.Max, type_of=_extreme_type)
def _extreme(node: exp.Expr) -> exp.Expr:
    return marked(call(node.key, _argument(_bare(node))))


@rule(exp.Count, type_of=always(INT64))
def _count(node: exp.Expr) -> exp.Expr:
    if node.expressions:
        raise invalid_query(f"COUNT takes one argument: {shown(node)}")
    return marked(call("count", _argument(_bare(node))))


@rule(exp.ApproxDistinct, type_of=always(INT64))
def _count_distinct(node: exp.Expr) -> exp.Expr:
    # The exact number is within any promise of an approximate one.
    return marked(call("count", exp.Distinct(expressions=[node.this])))


@rule(exp.CountIf, type_of=always(INT64))
def _count_if(node: exp.Expr) -> exp.Expr:
    condition = coerced(_bare(node).value, BOOL, what="COUNTIF")
    return marked(call("count", call("bq_one_if", condition)))


@rule(exp.LogicalOr, exp.LogicalAnd, type_of=always(BOOL))
def _logical(node: exp.Expr) -> exp.Expr:
    name = "bool_or" if isinstance(node, exp.LogicalOr) else "bool_and"
    return marked(call(name, coerced(_bare(node).value, BOOL, what=name)))


def _any_type(node: exp.Expr) -> BqType:
    inner = node.this
    return kind_of(inner.this if isinstance(inner, exp.HavingMax) else inner)


@rule(exp.AnyValue, type_of=_any_type)
def _any_value(node: exp.Expr) -> exp.Expr:
    inner = node.this
    if isinstance(inner, exp.HavingMax):
        name = "arg_max_null" if inner.args.get("max") else "arg_min_null"
        return marked(call(name, inner.this, inner.expression))
    return marked(call("any_value", inner))


plain(exp.HavingMax, type_of=lambda node: kind_of(node.this))


@rule(exp.ArgMax, exp.ArgMin, type_of=lambda node: kind_of(node.this))
def _at_extreme(node: exp.Expr) -> exp.Expr:
    name = "arg_max_null" if isinstance(node, exp.ArgMax) else "arg_min_null"
    return marked(call(name, node.this, node.expression))


def _array_type(node: exp.Expr) -> BqType:
    kind = _value_type(node)
    if kind.kind is Kind.ARRAY:
        raise invalid_query("ARRAY_AGG of arrays: an array can't hold arrays.")
    return BqType(Kind.ARRAY, element=kind)


@rule(exp.ArrayAgg, type_of=_array_type)
def _array_agg(node: exp.Expr) -> exp.Expr:
    parts = _inside(node)
    values = call("list", _argument(parts))
    if isinstance(node.parent, exp.IgnoreNulls):
        values = _without_nulls(values, parts.value)
    return _first(marked(values), parts.limit)


def _without_nulls(aggregate: exp.Expr, value: exp.Expr) -> exp.Expr:
    present = exp.Not(this=exp.Is(this=copied(value), expression=exp.Null()))
    return exp.Filter(this=aggregate, expression=exp.Where(this=present))


def _first(values: exp.Expr, limit: int | None) -> exp.Expr:
    return values if limit is None else call("list_slice", values, number(1), number(limit))


@rule(exp.GroupConcat, type_of=always(STRING))
def _string_agg(node: exp.Expr) -> exp.Expr:
    if _value_type(node).kind not in (Kind.STRING, Kind.NULL):
        raise not_implemented(f"STRING_AGG of {_value_type(node)}")
    parts = _inside(node)
    values = _without_nulls(call("list", _argument(parts)), parts.value)
    separator = node.args.get("separator") or text(",")
    return call("array_to_string", _first(marked(values), parts.limit), separator)


_SPREAD: dict[type[exp.Expr], str] = {
    exp.Stddev: "stddev_samp",
    exp.StddevSamp: "stddev_samp",
    exp.StddevPop: "stddev_pop",
    exp.Variance: "var_samp",
    exp.VariancePop: "var_pop",
}


@rule(*_SPREAD, type_of=always(FLOAT64))
def _spread(node: exp.Expr) -> exp.Expr:
    value = coerced(_bare(node).value, FLOAT64, what=node.key.upper())
    return marked(call(_SPREAD[type(node)], value))


@rule(exp.BitwiseXorAgg, exp.BitwiseAndAgg, exp.BitwiseOrAgg, type_of=always(INT64))
def _bitwise(node: exp.Expr) -> exp.Expr:
    name = {"bitwisexoragg": "bit_xor", "bitwiseandagg": "bit_and"}.get(node.key, "bit_or")
    value = coerced(_bare(node).value, INT64, what=name.upper())
    return marked(call(name, value))
