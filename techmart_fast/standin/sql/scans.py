"""What a query reads of each table: columns, and the partitions that its filters leave."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

from techmart_fast.standin.refs import TableRef
from techmart_fast.standin.resources import Table
from techmart_fast.standin.sql.names import ref_of
from techmart_fast.standin.work import ATTACHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A use of a table in one FROM clause.

    Attributes:
        columns: lower-case names of the columns that are used.
        filters: (rewritten) conditions on the partition column alone, with constants; all hold.
    """

    table: Table
    alias: str
    columns: frozenset[str]
    filters: tuple[exp.Expr, ...]


def scans_of(tree: exp.Expr, tables: Mapping[TableRef, Table]) -> Iterator[Scan]:
    """Every use of a base table in a rewritten tree."""
    for node in tree.find_all(exp.Table):
        if node.catalog != ATTACHED:
            continue
        table = tables[ref_of(node)]
        select = node.find_ancestor(exp.Select)
        if select is None:
            continue
        alias = node.alias_or_name
        used = {one.name.lower() for one in select.find_all(exp.Column) if one.table == alias}
        yield Scan(
            table=table,
            alias=alias,
            columns=frozenset(used),
            filters=tuple(partition_filters(select, table, alias)),
        )


def partition_filters(select: exp.Select, table: Table, alias: str) -> Iterator[exp.Expr]:
    """The conditions of a WHERE (or inner join) that name the partition column and constants."""
    if table.partitioning is None:
        return
    conditions = [select.args.get("where")]
    conditions += [one.args.get("on") for one in select.args.get("joins") or () if not one.side]
    for condition in conditions:
        if condition is None:
            continue
        inner = condition.this if isinstance(condition, exp.Where) else condition
        for part in conjuncts(inner):
            if is_partition_filter(part, table.partitioning.column, alias):
                yield part


def conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    """The parts of a condition that must all hold."""
    condition = condition.unnest()
    if isinstance(condition, exp.And):
        yield from conjuncts(condition.this)
        yield from conjuncts(condition.expression)
    else:
        yield condition


def is_partition_filter(part: exp.Expr, column: str, alias: str) -> bool:
    """Whether a condition is on the partition column alone, and holds no subquery."""
    columns = list(part.find_all(exp.Column))
    if not columns or part.find(exp.Query):
        return False
    wanted = (column.lower(), alias.lower())
    return all((one.name.lower(), one.table.lower()) == wanted for one in columns)
