"""The registry of expressions: for each kind of node, its BigQuery type and its DuckDB form.

A node that is in neither `RULES` nor `PLAIN` is refused, so nothing passes unseen.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlglot import exp

from techmart_fast.standin.bqtypes import BqType

Typer = Callable[[exp.Expr], BqType]
Renderer = Callable[[exp.Expr], exp.Expr]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a node means: `type_of` its annotated children, `render` after they were rendered."""

    type_of: Typer
    render: Renderer


RULES: dict[type[exp.Expr], Rule] = {}

PLAIN: frozenset[type[exp.Expr]] = frozenset(
    {
        exp.Alias,
        exp.CTE,
        exp.Column,
        exp.ColumnDef,
        exp.DataType,
        exp.DataTypeParam,
        exp.Dot,
        exp.Except,
        exp.From,
        exp.Group,
        exp.Identifier,
        exp.Intersect,
        exp.Join,
        exp.Limit,
        exp.Offset,
        exp.Order,
        exp.Ordered,
        exp.Paren,
        exp.Parameter,
        exp.Rollup,
        exp.Select,
        exp.Star,
        exp.Subquery,
        exp.Table,
        exp.TableAlias,
        exp.Union,
        exp.Unnest,
        exp.Var,
        exp.WindowSpec,
        exp.With,
    }
)
"""Nodes that mean the same in DuckDB, and whose type sqlglot tells rightly."""


def same(node: exp.Expr) -> exp.Expr:
    """A node that DuckDB understands as it is."""
    return node


def rule(*nodes: type[exp.Expr], type_of: Typer) -> Callable[[Renderer], Renderer]:
    """Register a renderer for some kinds of nodes."""

    def register(render: Renderer) -> Renderer:
        for one in nodes:
            RULES[one] = Rule(type_of, render)
        return render

    return register


def plain(*nodes: type[exp.Expr], type_of: Typer) -> None:
    """Register nodes that need a type and no rewriting."""
    for one in nodes:
        RULES[one] = Rule(type_of, same)


def always(kind: BqType) -> Typer:
    """The typer of a node that always has the same type."""
    return lambda _: kind
