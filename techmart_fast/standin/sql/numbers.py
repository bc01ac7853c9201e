"""Numbers: literals, arithmetic, rounding, casts.

https://cloud.google.com/bigquery/docs/reference/standard-sql/mathematical_functions
https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#arithmetic_operators
"""

from sqlglot import exp

from techmart_fast.standin.bqtypes import NUMBERS, BqType
from techmart_fast.standin.failure import invalid_query, not_implemented
from techmart_fast.standin.sql.coercion import coerced, common_type
from techmart_fast.standin.sql.kinds import (
    BIGNUMERIC,
    BOOL,
    DATE,
    FLOAT64,
    INT64,
    NULL,
    NUMERIC,
    STRING,
    call,
    cast,
    cast_to,
    is_float_literal,
    kind_of,
    literal_of,
    number,
    shown,
    text,
)
from techmart_fast.standin.sql.rules import always, plain, rule
from techmart_fast.standin.sql.trees import copied


def _literal_type(node: exp.Expr) -> BqType:
    if node.is_string:
        return STRING
    return INT64 if node.is_int else FLOAT64


@rule(exp.Literal, type_of=_literal_type)
def _literal(node: exp.Expr) -> exp.Expr:
    if node.is_string:
        return node
    if node.is_int and not -(1 << 63) <= int(node.name) < 1 << 63:
        raise invalid_query(f"Invalid integer literal: {node.name}")
    result = cast(copied(node) if node.is_int else text(node.name), kind_of(node))
    result.meta["written"] = node
    return result


plain(exp.Null, type_of=always(NULL))
plain(exp.Boolean, type_of=always(BOOL))


@rule(exp.HexString, type_of=always(INT64))
def _hexadecimal(node: exp.Expr) -> exp.Expr:
    return cast(number(int(node.name, 16)), INT64)


def numeric_type(*nodes: exp.Expr, what: str) -> BqType:
    """The common type of numbers; anything else is refused."""
    kind = common_type(nodes, what=what)
    if kind == NULL:
        return INT64
    if kind.kind not in NUMBERS:
        listed = ", ".join(str(kind_of(one)) for one in nodes)
        raise invalid_query(f"No matching signature for {what} for argument types: {listed}.")
    return kind


_WHOLE = "whole"

_WORD: dict[type[exp.Expr], str] = {
    exp.Add: "operator +",
    exp.Sub: "operator -",
    exp.Mul: "operator *",
    exp.Div: "operator /",
}


def _arithmetic_type(node: exp.Expr) -> BqType:
    left, right = node.this, node.expression
    if DATE in (kind_of(left), kind_of(right)) or isinstance(right, exp.Interval):
        return _date_arithmetic_type(node)
    return numeric_type(left, right, what=_WORD[type(node)])


def _date_arithmetic_type(node: exp.Expr) -> BqType:
    left, right = kind_of(node.this), kind_of(node.expression)
    if left == DATE and right == INT64 and isinstance(node, (exp.Add, exp.Sub)):
        return DATE
    if left == INT64 and right == DATE and isinstance(node, exp.Add):
        return DATE
    raise not_implemented(f"arithmetic with dates and intervals: {shown(node)}")


@rule(exp.Add, exp.Sub, type_of=_arithmetic_type)
def _add(node: exp.Expr) -> exp.Expr:
    kind = kind_of(node)
    if kind == DATE:
        for side in ("this", "expression"):
            if kind_of(node.args[side]) == INT64:
                node.set(side, exp.Cast(this=node.args[side], to=exp.DataType.build("INT")))
        return cast(call("bq_existing_date", cast(exp.Paren(this=copied(node)), DATE)), DATE)
    return _finite(_coerced_sides(node, kind), kind)


@rule(exp.Mul, type_of=_arithmetic_type)
def _multiply(node: exp.Expr) -> exp.Expr:
    kind = kind_of(node)
    if kind == NUMERIC:
        for one, other in ((node.this, node.expression), (node.expression, node.this)):
            whole = _whole(one)
            if whole is not None:
                # A whole number has no decimals to round, so DuckDB's own product is exact.
                numeric = coerced(other, NUMERIC, what="operator *")
                return cast(exp.Paren(this=exp.Mul(this=numeric, expression=whole)), NUMERIC)
        return call("bq_multiply_numeric", *_sides(node, kind))
    _refuse_bignumeric(node, kind)
    return _finite(_coerced_sides(node, kind), kind)


def _whole(node: exp.Expr) -> exp.Expr | None:
    """A whole number as a DECIMAL without decimals; None for one that may have some."""
    while isinstance(node, exp.Paren):
        node = node.this
    if kind_of(node) == INT64:
        return cast_to(node, "DECIMAL(19,0)")
    return cast_to(node.this, "DECIMAL(29,0)") if node.meta.get(_WHOLE) else None


def _finite(node: exp.Expr, kind: BqType) -> exp.Expr:
    """A float operation as an error where it overflows; other numbers see to it themselves."""
    if kind != FLOAT64:
        return node
    return call("bq_finite", copied(node), copied(node.this), copied(node.expression))


def _quotient_type(node: exp.Expr) -> BqType:
    what = _WORD.get(type(node), "SAFE_DIVIDE")
    kind = numeric_type(node.this, node.expression, what=what)
    return FLOAT64 if kind == INT64 else kind


@rule(exp.Div, exp.SafeDivide, type_of=_quotient_type)
def _divide(node: exp.Expr) -> exp.Expr:
    kind = kind_of(node)
    _refuse_bignumeric(node, kind)
    safe = "safe_" if isinstance(node, exp.SafeDivide) else ""
    name = "numeric" if kind == NUMERIC else "float"
    return call(f"bq_{safe}divide_{name}", *_sides(node, kind))


def _whole_type(node: exp.Expr) -> BqType:
    kind = numeric_type(node.this, node.expression, what="DIV or MOD")
    if kind == FLOAT64:
        raise invalid_query(f"DIV and MOD do not take FLOAT64: {shown(node)}")
    return kind


@rule(exp.IntDiv, type_of=_whole_type)
def _div(node: exp.Expr) -> exp.Expr:
    if kind_of(node) != INT64:
        raise not_implemented(f"DIV of {kind_of(node)}")
    return call("bq_div", *_sides(node, INT64))


@rule(exp.Mod, type_of=_whole_type)
def _mod(node: exp.Expr) -> exp.Expr:
    return cast(call("bq_mod", *_sides(node, kind_of(node))), kind_of(node))


def _same_number(node: exp.Expr) -> BqType:
    return numeric_type(node.this, what=node.key.upper())


@rule(exp.Neg, type_of=_same_number)
def _negated(node: exp.Expr) -> exp.Expr:
    written = literal_of(node.this)
    if written is not None and written.name == str(-(1 << 63)):
        # DuckDB would widen the constant.
        raise invalid_query(f"int64 overflow: {shown(node)}")
    return node


@rule(exp.Abs, exp.Sign, type_of=_same_number)
def _absolute(node: exp.Expr) -> exp.Expr:
    return cast(copied(node), kind_of(node))


def _rounded_type(node: exp.Expr) -> BqType:
    kind = _same_number(node)
    return FLOAT64 if kind == INT64 else kind


@rule(exp.Round, exp.Trunc, exp.Ceil, exp.Floor, type_of=_rounded_type)
def _rounded(node: exp.Expr) -> exp.Expr:
    kind = kind_of(node)
    _refuse_bignumeric(node, kind)
    if node.args.get("truncate") or node.args.get("to"):
        raise not_implemented(f"a rounding mode: {shown(node)}")
    name = node.key
    value = coerced(node.this, kind, what=name.upper())
    places = node.args.get("decimals")
    if places is None:
        result = cast(call(name, value), kind)
        # Of a DECIMAL, DuckDB makes one without decimals.
        result.meta[_WHOLE] = kind == NUMERIC
        return result
    digits = _whole_literal(places)
    if kind == NUMERIC and digits is not None and -29 < digits < 9:
        return cast(call(name, value, number(digits)), kind)
    if kind == NUMERIC and digits is not None and digits >= 9:
        return value
    if kind == NUMERIC:
        raise not_implemented(f"{name.upper()} of NUMERIC to a number of places that varies")
    if name in ("ceil", "floor"):
        raise not_implemented(f"{name.upper()} with a number of places")
    return call(f"exact_{name}", value, coerced(places, INT64, what=name.upper()))


def _whole_literal(node: exp.Expr) -> int | None:
    negative = isinstance(node, exp.Neg)
    written = literal_of(node.this if isinstance(node, exp.Neg) else node)
    if written is None or not written.is_int:
        return None
    return -int(written.name) if negative else int(written.name)


def _float_type(node: exp.Expr) -> BqType:
    kind = _same_number(node)
    if kind in (NUMERIC, BIGNUMERIC) and not is_float_literal(node.this):
        raise not_implemented(f"{node.key.upper()} of {kind}: cast to FLOAT64")
    return FLOAT64


@rule(exp.Sqrt, exp.Exp, exp.Ln, type_of=_float_type)
def _of_float(node: exp.Expr) -> exp.Expr:
    return call(f"bq_{node.key}", coerced(node.this, FLOAT64, what=node.key.upper()))


def _power_type(node: exp.Expr) -> BqType:
    kind = numeric_type(node.this, node.expression, what="POW")
    if kind in (NUMERIC, BIGNUMERIC):
        raise not_implemented("POW of NUMERIC: cast to FLOAT64")
    return FLOAT64


@rule(exp.Pow, type_of=_power_type)
def _power(node: exp.Expr) -> exp.Expr:
    base, exponent = _sides(node, FLOAT64)
    return call("bq_finite", call("pow", base, exponent), copied(base), copied(exponent))


@rule(exp.IsNan, exp.IsInf, type_of=always(BOOL))
def _special(node: exp.Expr) -> exp.Expr:
    name = "isnan" if isinstance(node, exp.IsNan) else "isinf"
    return call(name, coerced(node.this, FLOAT64, what=name.upper()))


plain(exp.Rand, type_of=always(FLOAT64))


def _whole_sides(node: exp.Expr) -> BqType:
    kind = numeric_type(node.this, node.expression, what="a bitwise operator")
    if kind != INT64:
        raise not_implemented(f"bitwise operators on {kind}")
    return INT64


@rule(exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, type_of=_whole_sides)
def _bitwise(node: exp.Expr) -> exp.Expr:
    return _coerced_sides(node, INT64)


def _sides(node: exp.Expr, kind: BqType) -> tuple[exp.Expr, exp.Expr]:
    what = _WORD.get(type(node), node.key.upper())
    return coerced(node.this, kind, what=what), coerced(node.expression, kind, what=what)


def _coerced_sides(node: exp.Expr, kind: BqType) -> exp.Expr:
    left, right = _sides(node, kind)
    node.set("this", left)
    node.set("expression", right)
    return node


def _refuse_bignumeric(node: exp.Expr, kind: BqType) -> None:
    if kind == BIGNUMERIC:
        raise not_implemented(f"this arithmetic on BIGNUMERIC: {shown(node)}")
