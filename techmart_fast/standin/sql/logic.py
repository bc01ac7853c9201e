"""Comparisons, conditions and conditional expressions.

https://cloud.google.com/bigquery/docs/reference/standard-sql/operators
https://cloud.google.com/bigquery/docs/reference/standard-sql/conditional_expressions
"""

from collections.abc import Sequence

from sqlglot import exp

from techmart_fast.standin.bqtypes import BqType, Kind
from techmart_fast.standin.failure import invalid_query, not_implemented
from techmart_fast.standin.sql.coercion import coerced, common_type
from techmart_fast.standin.sql.kinds import BOOL, FLOAT64, STRING, call, kind_of, noted, shown
from techmart_fast.standin.sql.rules import always, plain, rule
from techmart_fast.standin.sql.trees import copied


def _check_condition(node: exp.Expr) -> None:
    if kind_of(node).kind not in (Kind.BOOL, Kind.NULL):
        raise invalid_query(f"A condition must be BOOL, not {kind_of(node)}: {shown(node)}")


def _condition(node: exp.Expr) -> BqType:
    for side in (node.this, node.args.get("expression")):
        if isinstance(side, exp.Expr):
            _check_condition(side)
    return BOOL


plain(exp.And, exp.Or, exp.Not, exp.Where, exp.Having, exp.Qualify, type_of=_condition)
plain(exp.Exists, type_of=always(BOOL))


def _unified(nodes: Sequence[exp.Expr], *, what: str) -> list[exp.Expr]:
    kind = common_type(nodes, what=what)
    return [coerced(one, kind, what=what) for one in nodes]


@rule(
    exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ,
    type_of=always(BOOL),
)  # fmt: skip
def _comparison(node: exp.Expr) -> exp.Expr:
    sides = [node.this, node.expression]
    if any(kind_of(one).kind is Kind.STRUCT for one in sides):
        return _struct_comparison(node)
    if any(kind_of(one).kind in (Kind.ARRAY, Kind.JSON) for one in sides):
        raise invalid_query(f"Equality and order are not defined for {kind_of(sides[0])}.")
    left, right = _unified(sides, what=f"operator {node.key}")
    node.set("this", left)
    node.set("expression", right)
    return node


def _struct_comparison(node: exp.Expr) -> exp.Expr:
    """Structs are equal field by field, and null where a field decides nothing."""
    if not isinstance(node, (exp.EQ, exp.NEQ)):
        raise not_implemented(f"this comparison of structs: {shown(node)}")
    same = _same_fields(node.this, node.expression)
    return noted(exp.Not(this=same), BOOL) if isinstance(node, exp.NEQ) else same


def _same_fields(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    if not isinstance(left, exp.Struct) or not isinstance(right, exp.Struct):
        raise not_implemented("comparing structs that are not written out")
    if len(left.expressions) != len(right.expressions):
        raise invalid_query("Structs of different numbers of fields can't be compared.")
    pairs = zip(left.expressions, right.expressions, strict=True)
    parts = []
    for one, other in pairs:
        first, second = _unified([one.expression, other.expression], what="operator =")
        parts.append(exp.EQ(this=copied(first), expression=copied(second)))
    return noted(exp.Paren(this=exp.and_(*parts, copy=False)), BOOL)


@rule(exp.Between, type_of=always(BOOL))
def _between(node: exp.Expr) -> exp.Expr:
    parts = ("this", "low", "high")
    unified = _unified([node.args[part] for part in parts], what="operator BETWEEN")
    for part, value in zip(parts, unified, strict=True):
        node.set(part, value)
    return node


@rule(exp.In, type_of=always(BOOL))
def _in(node: exp.Expr) -> exp.Expr:
    if node.args.get("unnest"):
        return _in_array(node)
    if kind_of(node.this).kind is Kind.STRUCT:
        if node.args.get("query"):
            raise not_implemented(f"IN with structs and a subquery: {shown(node)}")
        same = [_same_fields(node.this, one) for one in node.expressions]
        return noted(exp.Paren(this=exp.or_(*same, copy=False)), BOOL)
    if node.args.get("query"):
        return node
    value, *listed = _unified([node.this, *node.expressions], what="operator IN")
    node.set("this", value)
    node.set("expressions", listed)
    return node


def _in_array(node: exp.Expr) -> exp.Expr:
    source = node.args["unnest"]
    array = source.expressions[0] if isinstance(source, exp.Unnest) else source
    kind = kind_of(array)
    if kind.element is None:
        raise invalid_query(f"IN UNNEST expects an array, not {kind}.")
    value = coerced(node.this, kind.element, what="operator IN UNNEST")
    return call("bq_in_array", value, array)


@rule(exp.Is, type_of=always(BOOL))
def _is(node: exp.Expr) -> exp.Expr:
    if not isinstance(node.expression, (exp.Null, exp.Boolean)):
        raise not_implemented(f"this use of IS: {shown(node)}")
    return node


@rule(exp.Like, type_of=always(BOOL))
def _like(node: exp.Expr) -> exp.Expr:
    for side in ("this", "expression"):
        node.set(side, coerced(node.args[side], STRING, what="operator LIKE"))
    # BigQuery's backslash escapes; DuckDB has no escape character unless it is named.
    like = exp.Escape(this=copied(node), expression=exp.Literal.string("\\"))
    return noted(like, BOOL)


def _branches(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.If):
        given = [node.args["true"], node.args.get("false")]
    else:
        given = [*(one.args["true"] for one in node.args["ifs"]), node.args.get("default")]
    return [one for one in given if one is not None]


def _is_case_arm(node: exp.Expr) -> bool:
    return isinstance(node.parent, exp.Case) and node.arg_key == "ifs"


def _conditional_type(node: exp.Expr) -> BqType:
    if _is_case_arm(node):
        return kind_of(node.args["true"])
    if isinstance(node, exp.If):
        _check_condition(node.this)
    elif node.this is None:
        for arm in node.args["ifs"]:
            _check_condition(arm.this)
    return common_type(_branches(node), what="IF" if isinstance(node, exp.If) else "CASE")


@rule(exp.If, type_of=_conditional_type)
def _if(node: exp.Expr) -> exp.Expr:
    if _is_case_arm(node):
        return node
    kind = kind_of(node)
    for part in ("true", "false"):
        if node.args.get(part) is not None:
            node.set(part, coerced(node.args[part], kind, what="IF"))
    arm = exp.If(this=node.this, true=node.args["true"])
    return exp.Case(ifs=[arm], default=node.args.get("false"))


@rule(exp.Case, type_of=_conditional_type)
def _case(node: exp.Expr) -> exp.Expr:
    kind = kind_of(node)
    subject = node.this
    if subject is not None:
        wanted = [arm.this for arm in node.args["ifs"]]
        subject, *wanted = _unified([subject, *wanted], what="CASE")
        node.set("this", subject)
        for arm, value in zip(node.args["ifs"], wanted, strict=True):
            arm.set("this", value)
    for arm in node.args["ifs"]:
        arm.set("true", coerced(arm.args["true"], kind, what="CASE"))
    if node.args.get("default") is not None:
        node.set("default", coerced(node.args["default"], kind, what="CASE"))
    return node


def _all(node: exp.Expr) -> list[exp.Expr]:
    return [node.this, *node.expressions]


@rule(exp.Coalesce, type_of=lambda node: common_type(_all(node), what="COALESCE"))
def _coalesce(node: exp.Expr) -> exp.Expr:
    return call("coalesce", *_unified(_all(node), what="COALESCE"))


@rule(exp.Nullif, type_of=lambda node: common_type([node.this, node.expression], what="NULLIF"))
def _nullif(node: exp.Expr) -> exp.Expr:
    return call("nullif", *_unified([node.this, node.expression], what="NULLIF"))


@rule(exp.Greatest, exp.Least, type_of=lambda node: common_type(_all(node), what=node.key.upper()))
def _extreme(node: exp.Expr) -> exp.Expr:
    """Null if any argument is null (and NaN if any is), unlike DuckDB's functions."""
    values = _unified(_all(node), what=node.key.upper())
    null = exp.or_(*(exp.Is(this=copied(one), expression=exp.Null()) for one in values), copy=False)
    arms = [exp.If(this=null, true=exp.Null())]
    if kind_of(node) == FLOAT64:
        nan = exp.or_(*(call("isnan", copied(one)) for one in values), copy=False)
        arms.append(exp.If(this=nan, true=call("bq_nan")))
    return exp.Case(ifs=arms, default=call(node.key, *values))
