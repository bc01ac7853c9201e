"""Statements that change the catalog: CREATE, ALTER, DROP.

https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language
"""

from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from techmart_fast.standin.bqtypes import BqType, Field, Kind, field_of
from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.duckdb_types import result_type
from techmart_fast.standin.failure import (
    ServiceError,
    duplicate,
    invalid_query,
    not_found,
    not_implemented,
)
from techmart_fast.standin.refs import TableRef, checked_table_name
from techmart_fast.standin.resources import Dataset, Table, check_layout, patched_table
from techmart_fast.standin.sql.analyse import Analysed, analyse_query
from techmart_fast.standin.sql.assign import insert_rows
from techmart_fast.standin.sql.context import Context, Done, finished_ddl
from techmart_fast.standin.sql.names import Names
from techmart_fast.standin.sql.options import Clauses, clauses_of, column_of
from techmart_fast.standin.sql.parameters import Parameters
from techmart_fast.standin.sql.parse import VIEW_TEXT, parse_query
from techmart_fast.standin.sql.trees import copied
from techmart_fast.standin.work import Work, physical


def _properties(node: exp.Expr) -> Sequence[exp.Expr]:
    found = node.args.get("properties")
    return found.expressions if found is not None else ()


def _clauses(node: exp.Expr, context: Context) -> Clauses:
    return clauses_of(_properties(node), lambda value: _evaluated(value, context))


def _evaluated(value: exp.Expr, context: Context) -> int:
    """A constant point in time, in milliseconds since 1970."""
    query = exp.select(exp.UnixMillis(this=copied(value)))
    names = Names(work=context.work, project=context.names.project)
    analysed = analyse_query(query, names, context.parameters)
    return context.work.count(analysed.sql, context.used(analysed) or None)


def create_table(node: exp.Create, context: Context) -> Done:
    """CREATE [OR REPLACE] TABLE [IF NOT EXISTS], with columns, a query or both."""
    schema = node.this if isinstance(node.this, exp.Schema) else None
    target = schema.this if schema is not None else node.this
    ref = checked_table_name(context.names.ref(target))
    if any(node.args.get(part) for part in ("clone", "temporary", "shallow")):
        raise not_implemented("this kind of CREATE TABLE")
    if not schema and node.expression is None:
        raise not_implemented("CREATE TABLE LIKE, COPY or CLONE, or without columns")
    found = context.work.find_table(ref)
    statement = "CREATE_TABLE_AS_SELECT" if node.expression is not None else "CREATE_TABLE"
    context.work.dataset(ref.parent)
    if found is not None and node.args.get("exists"):
        return finished_ddl(context, statement, "SKIP", ref)
    if found is not None and not node.args.get("replace"):
        raise duplicate("Table", str(ref))
    if found is not None and found.view_query is not None:
        raise invalid_query(f"{ref} is a view: it can't be replaced by a table.")
    clauses = _clauses(node, context)
    columns = tuple(column_of(one) for one in schema.expressions) if schema is not None else ()
    query = None
    if node.expression is not None:
        query = analyse_query(node.expression.unnest(), context.names, context.parameters)
        context.charge(query)
        columns = columns or _columns_of(context.work, query, context.parameters)
    table = _fresh(ref, columns, clauses)
    by = table.partitioning and table.column(table.partitioning.column)
    if clauses.needs_date and by and by.kind is not Kind.DATE:
        raise invalid_query(f"PARTITION BY expression must be DATE({by.name}) or a DATE column")
    operation = "REPLACE" if found is not None else "CREATE"
    if context.dry:
        return finished_ddl(context, statement, operation, ref)
    _write_fresh(context, table, query, replaces=found is not None)
    return finished_ddl(context, statement, operation, ref)


def _fresh(ref: TableRef, columns: Sequence[Field], clauses: Clauses) -> Table:
    now = now_ms()
    return check_layout(
        Table(
            ref=ref,
            schema=tuple(columns),
            created_ms=now,
            modified_ms=now,
            partitioning=clauses.expiring(clauses.partitioning),
            clustering=clauses.clustering,
            require_partition_filter=bool(clauses.require_partition_filter),
            details={key: value for key, value in clauses.details.items() if value is not None},
        )
    )


def _columns_of(work: Work, query: Analysed, parameters: Parameters) -> tuple[Field, ...]:
    """The columns that a query's result makes."""
    described = work.query(query.sql, parameters.used_in(query.tree))
    kinds: list[BqType] = [result_type(one, query.spelling) for one in described.types]
    names = [name.lower() for name in query.names]
    if len(set(names)) < len(names):
        raise invalid_query("CREATE TABLE AS has two columns of one name.")
    if any(name.startswith("f") and name.endswith("_") and name[1:-1].isdigit() for name in names):
        raise invalid_query("CREATE TABLE columns must be named, but a column has no name")
    return tuple(field_of(name, kind) for name, kind in zip(query.names, kinds, strict=True))


def _write_fresh(context: Context, table: Table, query: Analysed | None, *, replaces: bool) -> None:
    """Make a table with a query's rows. The query may read the table that it replaces."""
    work = context.work
    if query is None or not replaces:
        if replaces:
            work.remove_table(table.ref)
        work.add_table(table)
        if query is not None:
            insert_rows(work, table, table.schema, query, context.used(query))
        return
    aside = replace(table, ref=replace(table.ref, table=f"{table.ref.table} (new)"))
    work.add_table(aside)
    insert_rows(work, aside, table.schema, query, context.used(query))
    work.remove_table(table.ref)
    work.rename_table(aside, table.ref.table)


def store_result(context: Context, query: Analysed, ref: TableRef) -> Table:
    """Write a query's rows into the job's destination table."""
    work = context.work
    work.dataset(ref.parent)
    columns = _columns_of(work, query, context.parameters)
    found = work.find_table(checked_table_name(ref))
    if found is not None and found.view_query is not None:
        raise ServiceError("invalid", f"{ref} is a view: it can't be a query's destination.")
    if found is None and context.create_disposition == "CREATE_NEVER":
        raise not_found("Table", str(ref))
    if found is None or context.write_disposition == "WRITE_TRUNCATE":
        clauses = Clauses(
            partitioning=found.partitioning if found else None,
            clustering=found.clustering if found else (),
        )
        table = _fresh(ref, columns, clauses)
        _write_fresh(context, table, query, replaces=found is not None)
        return table
    if context.write_disposition == "WRITE_EMPTY":
        if work.execute(f"SELECT 1 FROM {physical(ref)} LIMIT 1"):
            raise duplicate("Table", str(ref))
    elif context.write_disposition != "WRITE_APPEND":
        raise not_implemented(f"the write disposition {context.write_disposition}")
    targets = [found.column(one.name) for one in columns]
    if None in targets:
        raise invalid_query("Provided schema does not match the destination table.")
    found = work.settle(found)
    insert_rows(work, found, [one for one in targets if one], query, context.used(query))
    return found


def create_view(node: exp.Create, context: Context) -> Done:
    """CREATE [OR REPLACE] VIEW [IF NOT EXISTS] … AS query."""
    if isinstance(node.this, exp.Schema):
        raise not_implemented("a column list of a view")
    if any(one.key == "materializedproperty" for one in _properties(node)):
        raise not_implemented("materialized views")
    ref = checked_table_name(context.names.ref(node.this))
    context.work.dataset(ref.parent)
    found = context.work.find_table(ref)
    if found is not None and node.args.get("exists"):
        return finished_ddl(context, "CREATE_VIEW", "SKIP", ref)
    if found is not None and (not node.args.get("replace") or found.view_query is None):
        raise duplicate("Table", str(ref))
    clauses = _clauses(node, context)
    text = str(node.meta[VIEW_TEXT])
    view = replace(_fresh(ref, view_columns(context.work, ref, text), clauses), view_query=text)
    operation = "REPLACE" if found is not None else "CREATE"
    if not context.dry:
        if found is not None:
            context.work.remove_table(ref)
        context.work.add_table(view)
    return finished_ddl(context, "CREATE_VIEW", operation, ref)


def view_columns(work: Work, ref: TableRef, text: str) -> tuple[Field, ...]:
    """The columns of a view. Names in its query must carry their dataset."""
    none = Parameters({}, {})
    names = Names(work=work, project=ref.project)
    return _columns_of(work, analyse_query(parse_query(text), names, none), none)


def alter(node: exp.Alter, context: Context) -> Done:
    """ALTER TABLE … ADD COLUMN and SET OPTIONS."""
    ref = context.names.ref(node.this)
    if node.args.get("exists") and context.work.find_table(ref) is None:
        return finished_ddl(context, "ALTER_TABLE", "SKIP", ref)
    table = context.names.target(node.this)
    for action in node.args["actions"]:
        if isinstance(action, exp.ColumnDef):
            table = _with_column(table, action, context)
        elif isinstance(action, exp.AlterSet):
            table = _with_options(table, action, context)
        else:
            raise not_implemented(f"ALTER TABLE {action.sql(dialect='bigquery')}")
    if not context.dry:
        context.work.put_table(table.modified(now_ms()))
    return finished_ddl(context, "ALTER_TABLE", "ALTER", ref)


def _with_column(table: Table, action: exp.ColumnDef, context: Context) -> Table:
    column = column_of(action)
    if table.column(column.name) is not None:
        if action.args.get("exists"):
            return table
        raise invalid_query(f"Column already exists: {column.name}")
    if column.mode == "REQUIRED":
        raise invalid_query(f"Cannot add the REQUIRED column {column.name} to an existing table")
    if context.dry:
        return replace(table, schema=(*table.schema, column))
    return context.work.add_column(table, column)


def _with_options(table: Table, action: exp.AlterSet, context: Context) -> Table:
    options = [one for group in action.expressions for one in group.expressions]
    clauses = clauses_of(options, lambda value: _evaluated(value, context))
    required = clauses.require_partition_filter
    # SET OPTIONS replaces all labels, where a patch of the API merges them.
    details = {key: one for key, one in table.details.items() if key not in clauses.details}
    return check_layout(
        replace(
            table,
            partitioning=clauses.expiring(table.partitioning),
            details=patched_table(details, clauses.details),
            require_partition_filter=(
                table.require_partition_filter if required is None else required
            ),
        )
    )


def drop(node: exp.Drop, context: Context) -> Done:
    """DROP TABLE, VIEW or SCHEMA [IF EXISTS]."""
    kind = str(node.args["kind"]).upper()
    (target,) = node.args.get("tables") or [node.this]
    if kind == "SCHEMA":
        return _drop_schema(node, target, context)
    ref = context.names.ref(target)
    found = context.work.find_table(ref)
    statement = f"DROP_{kind}"
    if found is None:
        if not node.args.get("exists"):
            raise not_found("Table", str(ref))
        return finished_ddl(context, statement, "SKIP", ref)
    if (found.view_query is not None) != (kind == "VIEW"):
        other = "view" if found.view_query is not None else "table"
        raise invalid_query(f"{ref} is a {other}: DROP {kind} can't drop it.")
    if not context.dry:
        context.work.remove_table(ref)
    return finished_ddl(context, statement, "DROP", ref)


def create_schema(node: exp.Create, context: Context) -> Done:
    """CREATE SCHEMA [IF NOT EXISTS]."""
    ref = context.names.dataset_ref(node.this)
    target = TableRef(ref.project, ref.dataset, "")
    if context.work.find_dataset(ref) is not None:
        if not node.args.get("exists"):
            raise duplicate("Dataset", str(ref))
        return finished_ddl(context, "CREATE_SCHEMA", "SKIP", target)
    clauses = _clauses(node, context)
    now = now_ms()
    location = clauses.location or context.names.location or "US"
    details = {key: value for key, value in clauses.details.items() if value is not None}
    dataset = Dataset(ref=ref, location=location, created_ms=now, modified_ms=now, details=details)
    if not context.dry:
        context.work.add_dataset(dataset)
    return finished_ddl(context, "CREATE_SCHEMA", "CREATE", target)


def _drop_schema(node: exp.Drop, target: exp.Table, context: Context) -> Done:
    ref = context.names.dataset_ref(target)
    name = TableRef(ref.project, ref.dataset, "")
    if context.work.find_dataset(ref) is None:
        if not node.args.get("exists"):
            raise not_found("Dataset", str(ref))
        return finished_ddl(context, "DROP_SCHEMA", "SKIP", name)
    if context.work.tables_of(ref) and not node.args.get("cascade"):
        raise invalid_query(f"Dataset {ref} is still in use")
    if not context.dry:
        context.work.remove_dataset(ref)
    return finished_ddl(context, "DROP_SCHEMA", "DROP", name)
