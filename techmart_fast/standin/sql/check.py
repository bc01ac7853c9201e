"""What of BigQuery's SQL is known here; everything else is refused before anything is done."""

from sqlglot import exp

from techmart_fast.standin.failure import not_implemented
from techmart_fast.standin.sql.kinds import shown
from techmart_fast.standin.sql.rules import PLAIN, RULES


def check_nodes(statement: exp.Expr) -> None:
    """Refuse every kind of node that no rule knows, before anything is done."""
    for node in statement.walk():
        if type(node) not in RULES and type(node) not in PLAIN and type(node) not in CONSUMED:
            raise not_implemented(refused_name(node))
        if isinstance(node, exp.Select):
            _check_select(node)
        if isinstance(node, exp.Join) and (node.method or node.args.get("match_condition")):
            raise not_implemented(f"this join: {shown(node)}")


CONSUMED = (
    exp.Distinct,
    exp.Interval,
    exp.Placeholder,
    exp.WeekStart,
)
"""Nodes that are understood as a part of the node above them."""


def refused_name(node: exp.Expr) -> str:
    """A node for the message that refuses it."""
    if isinstance(node, exp.Anonymous):
        return f"the function {node.name.upper()}"
    if isinstance(node, exp.Func):
        return f"the function {node.sql_name()}: {shown(node)}"
    return f"{type(node).__name__}: {shown(node)}"


def _check_select(select: exp.Select) -> None:
    kind = select.args.get("kind")
    if kind not in (None, "STRUCT"):
        raise not_implemented(f"SELECT AS {kind}")
    for part in ("hint", "sample", "pivots", "laterals", "match", "connect", "into", "locks"):
        if select.args.get(part):
            raise not_implemented(f"this clause of SELECT: {part}")
    distinct = select.args.get("distinct")
    if distinct is not None and distinct.args.get("on"):
        raise not_implemented("DISTINCT ON")
