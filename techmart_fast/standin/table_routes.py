"""Routes of tables, views and their rows: insert, list, get, patch, delete, tabledata.list.

https://cloud.google.com/bigquery/docs/reference/rest/v2/tables
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aiohttp import web

from techmart_fast.standin.bqtypes import Field, quoted, schema_from_api
from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.failure import ServiceError, not_found, not_implemented
from techmart_fast.standin.partitions import split_decorator
from techmart_fast.standin.refs import TableRef, checked_table_name, table_ref
from techmart_fast.standin.resources import (
    Partitioning,
    RangePartitioning,
    Table,
    check_layout,
    clustering_from_api,
    kept_table_details,
    partitioning_from_api,
    patched_table,
    requires_filter,
)
from techmart_fast.standin.results import PAGE_ROWS, Page, encoded_page, first_row
from techmart_fast.standin.service import (
    SERVICE,
    Body,
    answer,
    answer_page,
    check_etag,
    dataset_of,
    json_body,
    table_of,
    whole_number,
)
from techmart_fast.standin.sql.ddl import view_columns
from techmart_fast.standin.volume import table_bytes
from techmart_fast.standin.work import Work, physical

routes = web.RouteTableDef()
_ALL = "/bigquery/v2/projects/{project}/datasets/{dataset}/tables"
_ONE = _ALL + "/{table}"


@routes.post(_ALL)
async def insert(request: web.Request) -> web.Response:
    """Make a table or view."""
    body, parent = await json_body(request), dataset_of(request)
    given = table_ref(body.get("tableReference"), project=parent.project)
    ref = checked_table_name(TableRef(parent.project, parent.dataset, given.table))

    def change(work: Work) -> dict[str, object]:
        work.dataset(ref.parent)
        table = _new_table(work, ref, body)
        work.add_table(table)
        return _described(work, table)

    return answer(await request.app[SERVICE].change(ref, change))


def _new_table(work: Work, ref: TableRef, body: Body) -> Table:
    for unknown in ("externalDataConfiguration", "materializedView", "cloneDefinition"):
        if body.get(unknown):
            raise not_implemented(f"tables with {unknown}")
    view = body.get("view")
    now = now_ms()
    text = _view_text(view) if isinstance(view, Mapping) else None
    schema = schema_from_api(body.get("schema"))
    return check_layout(
        Table(
            ref=ref,
            schema=view_columns(work, ref, text) if text is not None else schema,
            created_ms=now,
            modified_ms=now,
            view_query=text,
            partitioning=partitioning_from_api(body),
            clustering=clustering_from_api(body),
            require_partition_filter=requires_filter(body),
            details=kept_table_details(body),
        )
    )


def _view_text(view: Body) -> str:
    if view.get("useLegacySql", True) and "useLegacySql" in view:
        raise not_implemented("views in legacy SQL")
    return str(view.get("query") or "")


def _described(work: Work, table: Table) -> dict[str, object]:
    """A table's resource with what only its data tell."""
    dataset = work.dataset(table.ref.parent)
    body = table.to_api() | {"location": dataset.location}
    if table.view_query is None:
        rows = work.count(f"SELECT count(*) FROM {physical(table.ref)}")
        size = rows * table_bytes(work.cursor, table).per_row if rows else 0
        body |= {"numRows": str(rows), "numBytes": str(size), "numLongTermBytes": "0"}
    return body


@routes.get(_ALL)
async def list_all(request: web.Request) -> web.Response:
    """The tables and views of a dataset, page by page."""
    parent = dataset_of(request)

    def read(work: Work) -> list[Table]:
        work.dataset(parent)
        return work.tables_of(parent)

    found = await request.app[SERVICE].read(read)
    first = first_row(token=request.query.get("pageToken"), start_index=None, total=len(found))
    size = whole_number(request, "maxResults") or 1000
    keys = ("kind", "id", "tableReference", "type", "labels", "timePartitioning",
            "rangePartitioning", "clustering",
            "creationTime", "expirationTime", "friendlyName", "view")  # fmt: skip
    listed = [
        {key: value for key, value in one.to_api().items() if key in keys}
        for one in found[first : first + size]
    ]
    body: dict[str, object] = {"kind": "bigquery#tableList", "totalItems": len(found)}
    if first + size < len(found):
        body["nextPageToken"] = str(first + size)
    return answer(body | {"tables": listed})


@routes.get(_ONE)
async def get(request: web.Request) -> web.Response:
    """One table or view."""
    ref, _ = split_decorator(table_of(request))
    return answer(await request.app[SERVICE].read(lambda work: _described(work, work.table(ref))))


async def patch(request: web.Request) -> web.Response:
    """Change properties of a table: add nullable columns, relax, describe, label, expire."""
    ref, body = table_of(request), await json_body(request)

    def change(work: Work) -> dict[str, object]:
        found = work.table(ref)
        check_etag(request, found.to_api())
        changed = _patched(work, found, body).modified(now_ms())
        work.put_table(changed)
        return _described(work, changed)

    return answer(await request.app[SERVICE].change(ref, change))


routes.patch(_ONE)(patch)
routes.put(_ONE)(patch)


def _patched(work: Work, table: Table, body: Body) -> Table:
    view = body.get("view")
    if isinstance(view, Mapping):
        text = _view_text(view)
        table = replace(table, view_query=text, schema=view_columns(work, table.ref, text))
    elif body.get("schema"):
        table = _with_schema(work, table, schema_from_api(body["schema"]))
    if "timePartitioning" in body or "rangePartitioning" in body:
        partitioning = partitioning_from_api(body)
        if _without_expiration(partitioning) != _without_expiration(table.partitioning):
            raise ServiceError("invalid", "The partitioning of a table can't be changed.")
        table = replace(table, partitioning=partitioning)
    if "clustering" in body:
        table = replace(table, clustering=clustering_from_api(body))
    if "requirePartitionFilter" in body:
        table = replace(table, require_partition_filter=bool(body["requirePartitionFilter"]))
    return check_layout(replace(table, details=patched_table(table.details, body)))


def _without_expiration(
    partitioning: Partitioning | RangePartitioning | None,
) -> Partitioning | RangePartitioning | None:
    """What of a partitioning can't be changed."""
    if isinstance(partitioning, Partitioning):
        return replace(partitioning, expiration_ms=None)
    return partitioning


def _with_schema(work: Work, table: Table, schema: Sequence[Field]) -> Table:
    """A table whose new schema adds columns at the end, relaxes or describes others."""
    wanted = {one.name.lower(): one for one in schema}
    kept = []
    for one in table.schema:
        new = wanted.pop(one.name.lower(), None)
        if new is None:
            text = f"Provided Schema does not match Table {table.ref}. Field {one.name} is missing"
            raise ServiceError("invalid", f"{text} in new schema")
        if new.type != one.type or (new.mode == "REQUIRED" and one.mode != "REQUIRED"):
            raise ServiceError(
                "invalid",
                f"Provided Schema does not match Table {table.ref}. Field {one.name} has changed "
                f"type or mode from {one.type} {one.mode} to {new.type} {new.mode}",
            )
        if new.mode != one.mode:
            table = work.settle(table)
            work.execute(
                f"ALTER TABLE {physical(table.ref)} ALTER {quoted(one.name)} DROP NOT NULL"
            )
        kept.append(new)
    for one in wanted.values():
        if one.mode == "REQUIRED":
            raise ServiceError(
                "invalid",
                f"Provided Schema does not match Table {table.ref}. Cannot add required fields to "
                f"an existing schema. (field: {one.name})",
            )
        table = work.add_column(table, one)
        kept.append(one)
    return replace(table, schema=tuple(kept))


@routes.delete(_ONE)
async def delete(request: web.Request) -> web.Response:
    """Delete a table, a view, or the rows of one partition."""
    ref, partition = split_decorator(table_of(request))

    def change(work: Work) -> None:
        table = work.table(ref)
        if partition is None:
            work.remove_table(ref)
            return
        column, days = partition.column_of(table), (partition.first, partition.last)
        where = f"CAST({quoted(column)} AS DATE) BETWEEN ? AND ?"
        table = work.settle(table)
        work.execute(f"DELETE FROM {physical(ref)} WHERE {where}", list(days))
        work.put_table(table.modified(now_ms()))

    await request.app[SERVICE].change(ref, change)
    return web.Response(status=204)


@routes.get(_ONE + "/data")
async def list_rows(request: web.Request) -> web.Response:
    """The rows of a table (or of one partition), page by page, in the order of insertion."""
    ref, partition = split_decorator(table_of(request))
    query = request.query
    limit = whole_number(request, "maxResults")
    selected = [one for one in query.get("selectedFields", "").split(",") if one]

    def read(work: Work) -> Page:
        table = work.table(ref)
        if table.view_query is not None:
            raise ServiceError("invalid", f"Cannot list a table of type VIEW: {ref}")
        fields = [table.column(name) for name in selected] or list(table.schema)
        if None in fields:
            raise not_found("Field", query["selectedFields"])
        columns = [(one.name, one.type) for one in fields if one is not None]
        source, days = physical(ref), []
        if partition is not None:
            column = quoted(partition.column_of(table))
            source += f" WHERE CAST({column} AS DATE) BETWEEN ? AND ?"
            days = [partition.first, partition.last]
        total = work.count(f"SELECT count(*) FROM {source}", days)
        first = first_row(
            token=query.get("pageToken"), start_index=query.get("startIndex"), total=total
        )
        size = min(PAGE_ROWS if limit is None else limit, PAGE_ROWS)
        names = ", ".join(quoted(name) for name, _ in columns)
        rows = work.cursor.sql(
            f"SELECT {names} FROM {source} LIMIT {size} OFFSET {first}", params=days
        ).to_arrow_table()
        return encoded_page(
            work.cursor,
            rows,
            columns,
            first=first,
            total=total,
            int64_timestamps=query.get("formatOptions.useInt64Timestamp", "").lower() == "true",
        )

    page = await request.app[SERVICE].read(read)
    return answer_page({"kind": "bigquery#tableDataList", "totalRows": str(page.total)}, page)
