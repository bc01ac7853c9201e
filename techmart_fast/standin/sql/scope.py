"""Expressions of DML in the scope of their tables: analysed as the columns of one made-up query."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlglot import exp

from techmart_fast.standin.bqtypes import quoted
from techmart_fast.standin.failure import not_implemented
from techmart_fast.standin.resources import Table
from techmart_fast.standin.sql.analyse import Analysed, analyse_query, duckdb_sql
from techmart_fast.standin.sql.context import Context
from techmart_fast.standin.sql.scans import Scan, conjuncts, is_partition_filter
from techmart_fast.standin.sql.trees import copied
from techmart_fast.standin.work import physical


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoped:
    """Rewritten parts of a DML statement.

    Attributes:
        target, target_alias: the DuckDB text of the table that is written, with its alias.
        source: the rewritten other table or query, None without one.
        where: the rewritten condition.
        values: the rewritten expressions, in the order in which they were given.
        analysed: the whole, for what it reads and binds.
    """

    target_alias: str
    source: exp.Expr | None
    where: exp.Expr
    values: tuple[exp.Expr, ...]
    analysed: Analysed

    @property
    def source_sql(self) -> str:
        """The DuckDB text of the source."""
        return duckdb_sql(self.source) if self.source is not None else ""

    @property
    def where_sql(self) -> str:
        """The DuckDB text of the condition."""
        return duckdb_sql(self.where)


def scoped(
    context: Context,
    target: exp.Table,
    *,
    source: exp.Expr | None,
    where: exp.Expr,
    values: Sequence[exp.Expr],
) -> Scoped:
    """Analyse a condition and expressions over a target table and, perhaps, a source."""
    alias = target.alias or target.name
    select = exp.Select(
        expressions=[named_value(one, f"value {place}") for place, one in enumerate(values)]
        or [named_value(exp.Null(), "value")]
    )
    named = copied(target)
    named.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    select = select.from_(named, copy=False).where(copied(where), copy=False)
    if source is not None:
        select = select.join(_wrapped(source), join_type="CROSS", copy=False)
    analysed = analyse_query(select, context.names, context.parameters)
    tree = analysed.tree
    joins = tree.args.get("joins") or ()
    return Scoped(
        target_alias=alias.lower(),
        source=joins[0].this if joins else None,
        where=tree.args["where"].this,
        values=tuple(one.unalias() for one in tree.selects) if values else (),
        analysed=analysed,
    )


def named_value(value: exp.Expr, name: str) -> exp.Alias:
    """A copy of an expression with a name around it, also around a subquery."""
    return exp.Alias(this=copied(value), alias=exp.to_identifier(name, quoted=True))


def _wrapped(source: exp.Expr) -> exp.Expr:
    """The source of a MERGE or UPDATE as something that can be joined."""
    if isinstance(source, exp.Unnest):
        alias = source.alias or "unnested"
        inner = exp.select("*").from_(copied(source))
        return inner.subquery(alias)
    if not isinstance(source, (exp.Table, exp.Subquery)):
        raise not_implemented(f"this source of rows: {source.sql(dialect='bigquery')}")
    return copied(source)


def target_scan(scope: Scoped, table: Table, condition: exp.Expr | None = None) -> Scan:
    """What a DML statement reads of the table that it writes: whole rows of the partitions left.

    They are left by `condition`, which is that of the statement unless it is given.
    """
    filters: tuple[exp.Expr, ...] = ()
    if table.partitioning is not None:
        column = table.partitioning.column
        filters = tuple(
            one
            for one in conjuncts(scope.where if condition is None else condition)
            if is_partition_filter(one, column, scope.target_alias)
        )
    columns = frozenset(one.name.lower() for one in table.schema)
    return Scan(table=table, alias=scope.target_alias, columns=columns, filters=filters)


def charge_dml(
    context: Context, scope: Scoped, table: Table, *, condition: exp.Expr | None = None
) -> None:
    """Count the target's touched partitions whole, and everything else that is read.

    `condition` leaves partitions of the target, where it is not that of the statement.
    """
    others = [
        scan
        for scan in scope.analysed.scans
        if not (scan.table.ref == table.ref and scan.alias.lower() == scope.target_alias)
    ]
    scans = (target_scan(scope, table, condition), *others)
    context.charge(replace(scope.analysed, scans=scans))


def can_match(context: Context, scope: Scoped, table: Table) -> bool:
    """Whether the target has any row in the partitions that the condition's literals leave."""
    scan = target_scan(scope, table)
    source = f"{physical(table.ref)} AS {quoted(scope.target_alias)}"
    if not scan.filters:
        return bool(context.work.execute(f"SELECT 1 FROM {source} LIMIT 1"))
    condition = exp.and_(*map(copied, scan.filters), copy=False)
    values = dict(context.parameters.used_in(condition))
    sql = f"SELECT 1 FROM {source} WHERE {duckdb_sql(condition)} LIMIT 1"
    return bool(context.work.execute(sql, values or None))
