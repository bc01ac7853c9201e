"""One row for each key: a window over all rows, where few keys are repeated, is too much work.

`SELECT … FROM t QUALIFY ROW_NUMBER() OVER (PARTITION BY key ORDER BY …) = 1` keeps one row for each
key, and DuckDB carries every column of every row through the window. Counting the keys first tells
which are repeated; the rows of all others pass as they are, a quarter of the work.
"""

from collections.abc import Mapping

from sqlglot import exp

from techmart_fast.standin.refs import TableRef
from techmart_fast.standin.resources import Table
from techmart_fast.standin.sql.kinds import call, number
from techmart_fast.standin.sql.names import ref_of
from techmart_fast.standin.sql.trees import copied
from techmart_fast.standin.work import ATTACHED

_REPEATED = "repeated keys"
_PARTS = frozenset({"kind", "expressions", "from_", "where", "qualify"})


def folded(tree: exp.Query, tables: Mapping[TableRef, Table]) -> exp.Query:
    """A (rewritten) query, in place, whose inner queries of this form window repeated keys only."""
    for select in list(tree.find_all(exp.Select)):
        key = _key(select, tables)
        if key is not None:
            select.replace(_split(select, key))
    return tree


def _key(select: exp.Select, tables: Mapping[TableRef, Table]) -> exp.Column | None:
    """The key of an inner query that keeps one row for each; it must not be null anywhere."""
    used = {name for name, value in select.args.items() if value}
    if not isinstance(select.parent, exp.Subquery) or used - _PARTS:
        return None
    where, qualify = select.args.get("where"), select.args.get("qualify")
    if qualify is None or (where is not None and where.this != exp.true()):
        return None
    source = select.args["from_"].this
    if not isinstance(source, exp.Table) or source.catalog != ATTACHED:
        return None
    key = _partition_of_first(qualify.this)
    column = None if key is None else tables[ref_of(source)].column(key.name)
    return key if column is not None and column.mode == "REQUIRED" else None


def _partition_of_first(condition: exp.Expr) -> exp.Column | None:
    """The one column that `ROW_NUMBER() OVER (PARTITION BY column …) = 1` numbers the rows of."""
    window = condition.this if isinstance(condition, exp.EQ) else None
    if not isinstance(window, exp.Window) or not isinstance(window.this, exp.RowNumber):
        return None
    one = condition.expression
    if isinstance(one, exp.Cast):
        one = one.this
    keys: list[exp.Expr] = window.args.get("partition_by") or []
    if one != number(1) or len(keys) != 1 or not isinstance(keys[0], exp.Column):
        return None
    return keys[0]


def _split(select: exp.Select, key: exp.Column) -> exp.Expr:
    source = select.args["from_"]
    repeated = exp.Select(
        expressions=[copied(key).as_("key", quoted=True, copy=False)], from_=copied(source)
    )
    repeated = repeated.group_by(copied(key), copy=False)
    count = call("count", exp.Star())
    repeated = repeated.having(exp.GT(this=count, expression=number(1)), copy=False)
    name = exp.to_identifier(_REPEATED, quoted=True)
    keys = exp.Select(expressions=[exp.column("key", quoted=True)]).from_(exp.Table(this=name))
    among = exp.In(this=copied(key), query=keys.subquery())
    single, others = copied(select), copied(select)
    single.set("qualify", None)
    single.set("where", exp.Where(this=exp.Not(this=copied(among))))
    others.set("where", exp.Where(this=among))
    union = exp.Union(this=single, expression=others, distinct=False)
    listed = exp.CTE(this=repeated, alias=exp.TableAlias(this=copied(name)), materialized=True)
    union.set("with_", exp.With(expressions=[listed]))
    return union
