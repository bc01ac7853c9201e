"""INSERT, UPDATE, DELETE, TRUNCATE.

https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax
"""

from collections.abc import Sequence

from sqlglot import exp

from techmart_fast.standin.bqtypes import Field, quoted
from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.failure import invalid_query, not_implemented
from techmart_fast.standin.resources import Table
from techmart_fast.standin.sql.analyse import analyse_query, duckdb_sql
from techmart_fast.standin.sql.assign import absent_arrays, assigned, check_columns, insert_rows
from techmart_fast.standin.sql.context import Context, Done, finished, finished_dml
from techmart_fast.standin.sql.scope import charge_dml, named_value, scoped
from techmart_fast.standin.work import physical


def column_named(table: Table, node: exp.Expr) -> Field:
    """The column of a table that an assignment or column list names."""
    if isinstance(node, exp.Column) and node.table:
        raise not_implemented(f"an assignment to a field of a struct: {node.sql('bigquery')}")
    found = table.column(node.name)
    if found is None:
        raise invalid_query(f"Column {node.name} is not present in table {table.ref}")
    return found


def run_dml(context: Context, table: Table, sql: str, parameters: dict[str, object]) -> int:
    """Run a DuckDB statement that changes a table's rows; returns how many."""
    table = context.work.settle(table)
    rows = context.work.count(sql, parameters or None)
    context.work.put_table(table.modified(now_ms()))
    return rows


def insert(node: exp.Insert, context: Context) -> Done:
    """INSERT [INTO] table [(columns)] VALUES … or query."""
    schema = node.this if isinstance(node.this, exp.Schema) else None
    table = context.names.target(schema.this if schema is not None else node.this)
    columns = (
        [column_named(table, one) for one in schema.expressions]
        if schema is not None
        else list(table.schema)
    )
    query = node.expression
    if isinstance(query, exp.Values):
        return _insert_values(query, table, columns, context)
    if not isinstance(query, exp.Query):
        raise not_implemented(f"this INSERT: {node.sql(dialect='bigquery')[:80]}")
    analysed = analyse_query(query, context.names, context.parameters)
    context.charge(analysed)
    if context.dry:
        return finished_dml(context, "INSERT")
    table = context.work.settle(table)
    rows = insert_rows(context.work, table, columns, analysed, context.used(analysed))
    context.work.put_table(table.modified(now_ms()))
    return finished_dml(context, "INSERT", inserted=rows)


def _insert_values(
    values: exp.Values, table: Table, columns: list[Field], context: Context
) -> Done:
    """INSERT … VALUES: every value is coerced to its column by itself."""
    cells: list[exp.Expr] = []
    for row in values.expressions:
        given = row.expressions if isinstance(row, exp.Tuple) else [row]
        check_columns(table, columns, len(given))
        if any(isinstance(one, exp.Var) and one.name.upper() == "DEFAULT" for one in given):
            raise not_implemented("DEFAULT in VALUES")
        cells += given
    named = [named_value(one, f"c{place}") for place, one in enumerate(cells)]
    analysed = analyse_query(exp.Select(expressions=named), context.names, context.parameters)
    context.charge(analysed)
    if context.dry:
        return finished_dml(context, "INSERT")
    absent = absent_arrays(table, columns)
    width = len(columns)
    texts = [
        duckdb_sql(assigned(one.unalias(), columns[place % width]))
        for place, one in enumerate(analysed.tree.selects)
    ]
    rows = [
        f"({', '.join(texts[at : at + width] + ['[]'] * len(absent))})"
        for at in range(0, len(texts), width)
    ]
    names = ", ".join(quoted(one.name) for one in (*columns, *absent))
    sql = f"INSERT INTO {physical(table.ref)} ({names}) VALUES {', '.join(rows)}"
    return finished_dml(
        context, "INSERT", inserted=run_dml(context, table, sql, context.used(analysed))
    )


def _condition(node: exp.Expr, statement: str) -> exp.Expr:
    where = node.args.get("where")
    if where is None:
        raise invalid_query(f"{statement} must have a WHERE clause")
    condition: exp.Expr = where.this
    return condition


def delete(node: exp.Delete, context: Context) -> Done:
    """DELETE [FROM] table WHERE condition."""
    if node.args.get("using") or node.args.get("tables"):
        raise not_implemented("this DELETE")
    table = context.names.target(node.this)
    where = _condition(node, "DELETE")
    scope = scoped(context, node.this, source=None, where=where, values=())
    charge_dml(context, scope, table)
    if context.dry:
        return finished_dml(context, "DELETE")
    sql = (
        f"DELETE FROM {physical(table.ref)} AS {quoted(scope.target_alias)} WHERE {scope.where_sql}"
    )
    rows = run_dml(context, table, sql, context.used(scope.analysed))
    return finished_dml(context, "DELETE", deleted=rows)


def update(node: exp.Update, context: Context) -> Done:
    """UPDATE table SET … [FROM source] WHERE condition."""
    table = context.names.target(node.this)
    where = _condition(node, "UPDATE")
    source = node.args.get("from_")
    columns = assigned_columns(table, node.expressions, node.this)
    if source is not None and source.this.args.get("joins"):
        raise not_implemented("UPDATE with more than one source")
    scope = scoped(
        context,
        node.this,
        source=source.this if source is not None else None,
        where=where,
        values=[one.expression for one in node.expressions],
    )
    charge_dml(context, scope, table)
    if context.dry:
        return finished_dml(context, "UPDATE")
    changes = ", ".join(
        f"{quoted(column.name)} = {duckdb_sql(assigned(value, column))}"
        for column, value in zip(columns, scope.values, strict=True)
    )
    target = f"{physical(table.ref)} AS {quoted(scope.target_alias)}"
    if scope.source is None:
        sql = f"UPDATE {target} SET {changes} WHERE {scope.where_sql}"
    else:
        # Only MERGE refuses, as BigQuery does, a row that more than one source row matches.
        sql = (
            f"MERGE INTO {target} USING {scope.source_sql} ON {scope.where_sql} "
            f"WHEN MATCHED THEN UPDATE SET {changes}"
        )
    rows = run_dml(context, table, sql, context.used(scope.analysed))
    return finished_dml(context, "UPDATE", updated=rows)


def assigned_columns(
    table: Table, assignments: Sequence[exp.Expr], target: exp.Expr
) -> tuple[Field, ...]:
    """The columns that SET names, each once."""
    columns = tuple(column_named(table, _assignee(one, target)) for one in assignments)
    if len({one.name for one in columns}) < len(columns):
        raise invalid_query("Update item is assigned more than once")
    return columns


def _assignee(assignment: exp.Expr, target: exp.Expr) -> exp.Expr:
    """The column that an assignment names, without the target's own alias before it."""
    column: exp.Expr = assignment.this
    if isinstance(column, exp.Column) and column.table:
        own = {target.alias.lower(), target.name.lower()}
        if column.table.lower() in own and not column.db:
            return exp.column(column.name)
    return column


def truncate(node: exp.TruncateTable, context: Context) -> Done:
    """TRUNCATE TABLE."""
    (target,) = node.expressions
    table = context.names.target(target)
    if context.dry:
        return finished(context, "TRUNCATE_TABLE")
    rows = context.work.count(f"SELECT count(*) FROM {physical(table.ref)}")
    context.work.put_table(context.work.clear(table).modified(now_ms()))
    return finished_dml(context, "TRUNCATE_TABLE", deleted=rows)
