"""Statements of a script: which kind each one is, what it writes, how it runs."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from duckdb.sqltypes import DuckDBPyType
from sqlglot import exp

from techmart_fast.standin.bqtypes import BqType
from techmart_fast.standin.duckdb_types import result_type, same_shape
from techmart_fast.standin.failure import ServiceError, invalid_query, not_implemented
from techmart_fast.standin.refs import DatasetRef, TableRef
from techmart_fast.standin.sql.analyse import Analysed
from techmart_fast.standin.sql.context import Context, Done, Rows, finished
from techmart_fast.standin.sql.ddl import (
    alter,
    create_schema,
    create_table,
    create_view,
    drop,
    store_result,
)
from techmart_fast.standin.sql.dml import delete, insert, truncate, update
from techmart_fast.standin.sql.merge import merge
from techmart_fast.standin.sql.parse import sql_errors
from techmart_fast.standin.sql.plans import planned
from techmart_fast.standin.work import physical

__all__ = ["Context", "Done", "Rows", "run_statement", "writes_of"]

BATCH_ROWS = 65_536


def run_statement(statement: exp.Expr, context: Context) -> Done:
    """Run one parsed statement (which is consumed).

    Raises:
        ServiceError: it is wrong, not supported, or fails.
    """
    with sql_errors():
        if isinstance(statement, exp.Query):
            return _query(statement, context)
        runner = _RUNNERS.get(_kind(statement))
        if runner is None:
            raise not_implemented(f"the statement {statement.sql(dialect='bigquery')[:80]}")
        return runner(statement, context)


def _kind(statement: exp.Expr) -> str:
    kind = str(statement.args.get("kind") or "").upper()
    return f"{statement.key.upper()} {kind}".strip()


def _done_nothing(statement: exp.Expr, context: Context) -> Done:
    """BEGIN, COMMIT, ROLLBACK: the job that runs the script heeds them."""
    return finished(context, f"{statement.key.upper()}_TRANSACTION")


_RUNNERS: dict[str, Callable[..., Done]] = {
    "ALTER TABLE": alter,
    "COMMIT": _done_nothing,
    "CREATE SCHEMA": create_schema,
    "CREATE TABLE": create_table,
    "CREATE VIEW": create_view,
    "DELETE": delete,
    "DROP SCHEMA": drop,
    "DROP TABLE": drop,
    "DROP VIEW": drop,
    "INSERT": insert,
    "MERGE": merge,
    "ROLLBACK": _done_nothing,
    "TRANSACTION": _done_nothing,
    "TRUNCATETABLE": truncate,
    "UPDATE": update,
}


def _query(query: exp.Query, context: Context) -> Done:
    plan = planned(context.text, query, context.names, context.parameters)
    analysed = plan.analysed
    context.charge(analysed)
    _refuse_repeated(analysed.names)
    values = context.used(analysed)
    if context.destination is not None and not context.dry:
        return _stored(analysed, context, context.destination)
    result = context.work.query(plan.sql, values)
    kinds = result_kinds(result.types, analysed)
    reader = None if context.dry else result.to_arrow_reader(BATCH_ROWS)
    return Done(
        statement="SELECT",
        bytes_processed=context.processed,
        bytes_billed=context.billed,
        tables=tuple(context.names.referenced),
        rows=Rows(analysed.names, kinds, reader),
    )


def _refuse_repeated(names: Sequence[str]) -> None:
    lower = [name.lower() for name in names]
    repeated = sorted({name for name in lower if lower.count(name) > 1})
    if repeated:
        raise invalid_query(
            "Duplicate column names in the result are not supported. "
            f"Found duplicate(s): {', '.join(repeated)}"
        )


def _stored(analysed: Analysed, context: Context, destination: TableRef) -> Done:
    """Write a query's rows into the destination table, whose rows are then the result."""
    table = store_result(context, analysed, destination)
    result = context.work.query(f"SELECT * FROM {physical(table.ref)}", {})
    rows = Rows(
        tuple(one.name for one in table.schema),
        tuple(one.type for one in table.schema),
        result.to_arrow_reader(BATCH_ROWS),
    )
    return replace(finished(context, "SELECT"), rows=rows)


def result_kinds(types: Sequence[DuckDBPyType], analysed: Analysed) -> tuple[BqType, ...]:
    """The types of a result, checked against what the analysis expects.

    Raises:
        ServiceError: `internalError`, they differ: the translation is wrong somewhere.
    """
    kinds = tuple(result_type(one, analysed.spelling) for one in types)
    for name, found, expected in zip(analysed.names, kinds, analysed.kinds, strict=True):
        if expected is not None and not same_shape(found, expected):
            raise ServiceError(
                "internalError",
                f"The stand-in computed the column {name} as {found}, not as {expected}.",
            )
    return kinds


def writes_of(statement: exp.Expr, *, project: str, default: DatasetRef | None) -> set[TableRef]:
    """The tables that a statement changes, so that jobs that change one table take turns."""
    if isinstance(statement, exp.Query):
        return set()
    if isinstance(statement, exp.TruncateTable):
        nodes = statement.expressions
    elif isinstance(statement, exp.Drop):
        nodes = statement.args.get("tables") or [statement.this]
    else:
        nodes = [statement.this]
    found = set()
    for node in nodes:
        table = node.this if isinstance(node, exp.Schema) else node
        if isinstance(table, exp.Table) and table.name:
            dataset = table.db or (default.dataset if default else "")
            owner = table.catalog or (default.project if default and not table.db else project)
            found.add(TableRef(owner, dataset, table.name))
    return found
