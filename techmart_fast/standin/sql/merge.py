"""MERGE. DuckDB's own does the work, and refuses a target row that two source rows match.

https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax#merge_statement
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp

from techmart_fast.standin.bqtypes import Field, quoted
from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.failure import invalid_query, not_implemented
from techmart_fast.standin.resources import Table
from techmart_fast.standin.sql.analyse import analyse_query, duckdb_sql
from techmart_fast.standin.sql.assign import absent_arrays, assigned, check_columns
from techmart_fast.standin.sql.context import Context, Done, finished_dml
from techmart_fast.standin.sql.dml import assigned_columns, column_named, run_dml
from techmart_fast.standin.sql.kinds import BOOL, NULL, kind_of, shown
from techmart_fast.standin.sql.scope import Scoped, can_match, charge_dml, scoped
from techmart_fast.standin.sql.trees import copied
from techmart_fast.standin.work import physical


@dataclass(frozen=True, slots=True)
class _Arm:
    """One WHEN clause. `condition` and `values` are places in the scope's values."""

    matched: bool
    by_source: bool
    condition: int | None
    action: str
    columns: tuple[Field, ...]
    values: tuple[int, ...]


def merge(node: exp.Merge, context: Context) -> Done:
    """MERGE [INTO] target USING source ON condition and WHEN clauses."""
    table = context.names.target(node.this)
    source = node.args["using"]
    expressions: list[exp.Expr] = []
    row = _row_names(source, context) if _has_insert_row(node) else ()
    arms = [_arm(one, node, table, row, expressions) for one in node.args["whens"].expressions]
    scope = scoped(context, node.this, source=source, where=node.args["on"], values=expressions)
    charge_dml(context, scope, table, condition=_replaced(node, arms, scope))
    if context.dry:
        return finished_dml(context, "MERGE")
    whens = " ".join(_arm_sql(one, scope, table) for one in arms)
    alone = _only_insertion(arms)
    if alone is not None and (_never_matches(node) or not can_match(context, scope, table)):
        return _all_inserted(context, scope, table, arms, alone)
    target = f"{physical(table.ref)} AS {quoted(scope.target_alias)}"
    rows, on = scope.source_sql, scope.where_sql
    alias = source.alias_or_name
    has_rowid = any(one.name.lower() == "rowid" for one in table.schema)
    if _never_matches(node) and alias and not has_rowid:
        # Joined by nothing, DuckDB compares every row with every other one: by a key, it does not.
        rows = f'(SELECT *, -1 AS "no row" FROM {rows}) AS {quoted(alias)}'
        on = f'{quoted(scope.target_alias)}.rowid = {quoted(alias)}."no row"'
    sql = f"MERGE INTO {target} USING {rows} ON {on} {whens}"
    table = context.work.settle(table)
    counts = _counted(sql, arms, context, scope, table)
    context.work.put_table(table.modified(now_ms()))
    return finished_dml(context, "MERGE", **counts)


def _only_insertion(arms: Sequence[_Arm]) -> _Arm | None:
    """The clause that inserts, where it alone decides what becomes of rows that match nothing."""
    if any(arm.by_source for arm in arms):
        return None
    unmatched = [arm for arm in arms if not arm.matched]
    return unmatched[0] if len(unmatched) == 1 else None


def _all_inserted(
    context: Context, scope: Scoped, table: Table, arms: Sequence[_Arm], arm: _Arm
) -> Done:
    """A MERGE of which no row matches, as the INSERT that it comes to.

    It means the same and takes half the time: nothing is joined, and no row is carried through
    every clause.
    """
    names, values = _insertion_sql(arm, scope, table)
    condition = _condition_sql(arm, scope)
    sql = (
        f"INSERT INTO {physical(table.ref)} ({', '.join(names)}) "
        f"SELECT {', '.join(values)} FROM {scope.source_sql} WHERE {condition or 'TRUE'}"
    )
    places = arm.values if arm.condition is None else (*arm.values, arm.condition)
    bound: dict[str, object] = {}
    for one in (scope.source, *(scope.values[place] for place in places)):
        bound |= context.parameters.used_in(one) if one is not None else {}
    rows = run_dml(context, table, sql, bound)
    counts = {"inserted": rows, "deleted": 0}
    if any(arm.action == "UPDATE" for arm in arms):
        counts["updated"] = 0
    return finished_dml(context, "MERGE", **counts)


def _replaced(node: exp.Merge, arms: Sequence[_Arm], scope: Scoped) -> exp.Expr | None:
    """What the one clause for rows of the target asks of them, where nothing ever matches.

    With ON FALSE that clause alone decides which partitions are read: how they are replaced.
    """
    if not _never_matches(node):
        return None
    conditions = [arm.condition for arm in arms if arm.by_source]
    if len(conditions) != 1 or conditions[0] is None:
        return None
    return scope.values[conditions[0]]


def _never_matches(node: exp.Merge) -> bool:
    """Whether the condition is FALSE as it stands: no row of the target is one of the source."""
    on = node.args["on"].unnest()
    return isinstance(on, exp.Boolean) and not on.this


def _counted(
    sql: str, arms: Sequence[_Arm], context: Context, scope: Scoped, table: Table
) -> Mapping[str, int]:
    """Run the statement and count rows by what was done to them.

    DuckDB tells the number of rows touched. With at most two kinds of actions, how the table grew
    tells the rest; asking for the action of every row would take much longer.
    """
    actions = {arm.action for arm in arms}
    values = context.used(scope.analysed)
    rows_before = _rows(context, table)
    if len(actions) == 3:
        return _counted_by_row(sql, context, values)
    touched = context.work.count(sql, values or None)
    grown = _rows(context, table) - rows_before
    if actions == {"INSERT", "DELETE"}:
        return {"inserted": (touched + grown) // 2, "deleted": (touched - grown) // 2}
    counts = {"inserted": max(grown, 0), "deleted": max(-grown, 0)}
    if "UPDATE" in actions:
        counts["updated"] = touched - abs(grown)
    return counts


def _rows(context: Context, table: Table) -> int:
    return context.work.count(f"SELECT count(*) FROM {physical(table.ref)}")


def _counted_by_row(sql: str, context: Context, values: dict[str, object]) -> Mapping[str, int]:
    word = {"INSERT": "inserted", "UPDATE": "updated", "DELETE": "deleted"}
    counts = dict.fromkeys(word.values(), 0)
    rows = context.work.query(f"{sql} RETURNING merge_action", values)
    for batch in rows.to_arrow_reader(65_536):
        for entry in batch.column(0).value_counts():
            counts[word[entry["values"].as_py()]] += entry["counts"].as_py()
    return counts


def _has_insert_row(node: exp.Merge) -> bool:
    return any(_is_row(one.args["then"]) for one in node.args["whens"].expressions)


def _is_row(then: exp.Expr) -> bool:
    return isinstance(then, exp.Insert) and isinstance(then.this, exp.Var)


def _row_names(source: exp.Expr, context: Context) -> tuple[str, ...]:
    """The columns of the source in their order, for INSERT ROW."""
    if isinstance(source, exp.Table):
        return tuple(one.name for one in context.names.find(source).schema)
    query = source.unnest()
    if not isinstance(query, exp.Query):
        raise invalid_query("MERGE needs a source with named columns for INSERT ROW")
    return analyse_query(copied(query), context.names, context.parameters).names


def _arm(
    node: exp.When,
    whole: exp.Merge,
    table: Table,
    row: tuple[str, ...],
    expressions: list[exp.Expr],
) -> _Arm:
    """A WHEN clause of the whole; `row` are the source's columns."""
    target, source = whole.this, whole.args["using"].alias_or_name
    matched, by_source = bool(node.args.get("matched")), bool(node.args.get("source"))
    # Where a row is on one side only, names without a table can mean that side only.
    here, there = (target.alias_or_name, source) if by_source else (source, target.alias_or_name)

    def place(expression: exp.Expr) -> int:
        expressions.append(expression if matched else _on_side(expression, here, there))
        return len(expressions) - 1

    condition = node.args.get("condition")
    at = place(condition) if condition is not None else None
    then = node.args["then"]
    if isinstance(then, exp.Insert) == (matched or by_source):
        raise invalid_query(f"Syntax error: {shown(node)}")
    if isinstance(then, exp.Update):
        assignments = then.expressions
        columns = assigned_columns(table, assignments, target)
        values = tuple(place(one.expression) for one in assignments)
        return _Arm(matched, by_source, at, "UPDATE", columns, values)
    if isinstance(then, exp.Var) and then.name.upper() == "DELETE":
        return _Arm(matched, by_source, at, "DELETE", (), ())
    if not isinstance(then, exp.Insert):
        raise not_implemented(f"this WHEN clause: {node.sql(dialect='bigquery')}")
    columns, given = _insertion(then, table, source, row)
    return _Arm(matched, by_source, at, "INSERT", columns, tuple(place(one) for one in given))


def _on_side(expression: exp.Expr, here: str, there: str) -> exp.Expr:
    """An expression whose names without a table mean this one (those in subqueries do not).

    Names of the other side, which has no row, are refused.
    """
    result = copied(expression)
    for column in result.find_all(exp.Column):
        if column.find_ancestor(exp.Query) is not None:
            continue
        if not column.table:
            column.set("table", exp.to_identifier(here))
        elif column.table.lower() == there.lower() != here.lower():
            raise invalid_query(f"Unrecognized name: {shown(column)}")
    return result


def _insertion(
    then: exp.Insert, table: Table, source: str, row: tuple[str, ...]
) -> tuple[tuple[Field, ...], list[exp.Expr]]:
    if _is_row(then):
        given: list[exp.Expr] = [exp.column(name, table=source) for name in row]
        columns = table.schema
    else:
        columns = (
            tuple(column_named(table, one) for one in then.this.expressions)
            if then.this is not None
            else table.schema
        )
        given = list(then.expression.expressions)
    if any(isinstance(one, exp.Var) and one.name.upper() == "DEFAULT" for one in given):
        raise not_implemented("DEFAULT in MERGE")
    check_columns(table, columns, len(given))
    return tuple(columns), given


def _condition_sql(arm: _Arm, scope: Scoped) -> str:
    """The DuckDB text of what a clause asks of its rows; nothing if it takes all of them."""
    if arm.condition is None:
        return ""
    condition = scope.values[arm.condition]
    if kind_of(condition) not in (BOOL, NULL):
        raise invalid_query(
            f"WHEN clause should return type BOOL, but returns {kind_of(condition)}"
        )
    return duckdb_sql(condition)


def _arm_sql(arm: _Arm, scope: Scoped, table: Table) -> str:
    head = "WHEN MATCHED" if arm.matched else "WHEN NOT MATCHED"
    if not arm.matched:
        head += " BY SOURCE" if arm.by_source else " BY TARGET"
    condition = _condition_sql(arm, scope)
    if condition:
        head += f" AND {condition}"
    if arm.action == "DELETE":
        return f"{head} THEN DELETE"
    if arm.action == "UPDATE":
        changes = ", ".join(f"{name} = {value}" for name, value in _values_sql(arm, scope))
        return f"{head} THEN UPDATE SET {changes}"
    names, values = _insertion_sql(arm, scope, table)
    return f"{head} THEN INSERT ({', '.join(names)}) VALUES ({', '.join(values)})"


def _values_sql(arm: _Arm, scope: Scoped) -> list[tuple[str, str]]:
    """Columns and what a clause writes into them, as DuckDB texts."""
    pairs = zip(arm.columns, arm.values, strict=True)
    return [
        (quoted(column.name), duckdb_sql(assigned(scope.values[at], column)))
        for column, at in pairs
    ]


def _insertion_sql(arm: _Arm, scope: Scoped, table: Table) -> tuple[list[str], list[str]]:
    """Columns and values of a clause that inserts; arrays that it does not name are empty."""
    texts = _values_sql(arm, scope)
    texts += [(quoted(one.name), "[]") for one in absent_arrays(table, arm.columns)]
    return [name for name, _ in texts], [value for _, value in texts]
