"""Window functions, and OVER.

https://cloud.google.com/bigquery/docs/reference/standard-sql/window-functions
"""

from sqlglot import exp

from techmart_fast.standin.bqtypes import BqType
from techmart_fast.standin.failure import invalid_query, not_implemented
from techmart_fast.standin.sql.aggregates import MARK, marked
from techmart_fast.standin.sql.coercion import coerced, common_type
from techmart_fast.standin.sql.kinds import FLOAT64, INT64, kind_of, noted, shown
from techmart_fast.standin.sql.rules import always, rule
from techmart_fast.standin.sql.trees import copied


def _ranking(node: exp.Expr) -> exp.Expr:
    return marked(node)


rule(exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile, type_of=always(INT64))(_ranking)
rule(exp.PercentRank, exp.CumeDist, type_of=always(FLOAT64))(_ranking)


def _neighbour_type(node: exp.Expr) -> BqType:
    default = node.args.get("default")
    return common_type([node.this, *([] if default is None else [default])], what=node.key.upper())


@rule(exp.Lag, exp.Lead, type_of=_neighbour_type)
def _neighbour(node: exp.Expr) -> exp.Expr:
    kind = kind_of(node)
    for part in ("this", "default"):
        if node.args.get(part) is not None:
            node.set(part, coerced(node.args[part], kind, what=node.key.upper()))
    return marked(node)


@rule(exp.FirstValue, exp.LastValue, exp.NthValue, type_of=lambda node: kind_of(node.this))
def _edge_value(node: exp.Expr) -> exp.Expr:
    return marked(node)


@rule(exp.IgnoreNulls, type_of=lambda node: kind_of(node.this))
def _ignoring_nulls(node: exp.Expr) -> exp.Expr:
    if isinstance(node.this, (exp.FirstValue, exp.LastValue, exp.NthValue)):
        node.this.meta.pop(MARK, None)
        return marked(node)
    if any(one.meta.get(MARK) and isinstance(one, exp.Filter) for one in node.this.walk()):
        inner: exp.Expr = node.this
        return inner
    raise not_implemented(f"IGNORE NULLS here: {shown(node)}")


@rule(exp.RespectNulls, type_of=lambda node: kind_of(node.this))
def _respecting_nulls(node: exp.Expr) -> exp.Expr:
    inner: exp.Expr = node.this
    return inner


@rule(exp.Window, type_of=lambda node: kind_of(node.this))
def _window(node: exp.Expr) -> exp.Expr:
    """Hand the OVER clause down to every marked aggregate of the rewritten function."""
    if node.this is None or not isinstance(node.this, exp.Expr):
        return node
    if node.arg_key == "windows":
        return node
    inner = exp.Paren(this=node.this)
    found = [one for one in inner.walk() if one.meta.get(MARK)]
    if not found:
        raise invalid_query(f"Only an aggregate or window function takes OVER: {shown(node)}")
    for one in found:
        window = copied(node)
        bare = copied(one)
        bare.meta.pop(MARK, None)
        window.set("this", bare)
        one.replace(window)
    result: exp.Expr = inner.this
    return noted(result, kind_of(node))
