"""One transaction: the catalog and the data as it sees them, changed and committed together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import duckdb
import orjson

from techmart_fast.standin.bqtypes import Field, quoted
from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.failure import ServiceError, duplicate, not_found
from techmart_fast.standin.parts import Part, parts_query
from techmart_fast.standin.refs import DatasetRef, TableRef
from techmart_fast.standin.resources import Dataset, Table

ATTACHED = "warehouse"
OWN = f"{ATTACHED}._standin"


@dataclass(slots=True)
class Catalog:
    """All datasets and tables, as committed. Only `Storage` changes it."""

    datasets: dict[DatasetRef, Dataset] = field(default_factory=dict)
    tables: dict[TableRef, Table] = field(default_factory=dict)


def physical(ref: TableRef) -> str:
    """The DuckDB name of a table."""
    return f"{ATTACHED}.{quoted(ref.parent.schema)}.{quoted(ref.table)}"


class Work:
    """A transaction: a DuckDB cursor, and the catalog with this transaction's own changes.

    Made by `Storage.work`. `parts` is the folder of loaded files that tables still read from.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        catalog: Catalog,
        parts: Path,
        commit: Callable[["Work"], None],
    ) -> None:
        self.cursor = cursor
        self.parts = parts
        self._commit = commit
        self.after_commit: list[Callable[[], object]] = []
        self.after_rollback: list[Callable[[], object]] = []
        self._catalog = catalog
        self._datasets: dict[DatasetRef, Dataset | None] = {}
        self._tables: dict[TableRef, Table | None] = {}

    def commit(self) -> None:
        """Keep what was done so far, and go on in a new transaction."""
        self._commit(self)
        self._forget_changes()
        self.cursor.execute("BEGIN")

    def roll_back(self) -> None:
        """Undo what was done since the last commit, and go on in a new transaction."""
        self.cursor.execute("ROLLBACK")
        for undo in self.after_rollback:
            undo()
        self._forget_changes()
        self.cursor.execute("BEGIN")

    def _forget_changes(self) -> None:
        self.after_commit, self.after_rollback = [], []
        self._datasets, self._tables = {}, {}

    def execute(self, sql: str, parameters: object = None) -> list[tuple[object, ...]]:
        """Run one DuckDB statement to its end; returns its (few) rows."""
        return self.cursor.execute(sql, parameters).fetchall()

    def query(self, sql: str, values: Mapping[str, object]) -> duckdb.DuckDBPyRelation:
        """A DuckDB query that runs when its rows are asked for; its types are known before."""
        return self.cursor.sql(sql, params=dict(values) or None)

    def count(self, sql: str, parameters: object = None) -> int:
        """The number that a statement gives: rows changed, or the single value of a query."""
        rows = self.execute(sql, parameters)
        return int(str(rows[0][0])) if rows and rows[0][0] is not None else 0

    def find_dataset(self, ref: DatasetRef) -> Dataset | None:
        """The dataset, if there is one."""
        return self._datasets[ref] if ref in self._datasets else self._catalog.datasets.get(ref)

    def dataset(self, ref: DatasetRef) -> Dataset:
        """The dataset; a `notFound` error without it."""
        found = self.find_dataset(ref)
        if found is None:
            raise not_found("Dataset", str(ref))
        return found

    def find_table(self, ref: TableRef) -> Table | None:
        """The table or view, if there is one that has not expired."""
        found = self._any_table(ref)
        return None if found is None or found.has_expired(now_ms()) else found

    def _any_table(self, ref: TableRef) -> Table | None:
        return self._tables[ref] if ref in self._tables else self._catalog.tables.get(ref)

    def table(self, ref: TableRef) -> Table:
        """The table or view; a `notFound` error without it."""
        self.dataset(ref.parent)
        found = self.find_table(ref)
        if found is None:
            raise not_found("Table", str(ref))
        return found

    def tables_of(self, ref: DatasetRef) -> list[Table]:
        """The tables and views of a dataset, by name; expired ones are left out."""
        return [one for one in self._stored(ref) if not one.has_expired(now_ms())]

    def _stored(self, ref: DatasetRef) -> list[Table]:
        known = {**self._catalog.tables, **self._tables}
        found = [table for table in known.values() if table is not None and table.ref.parent == ref]
        return sorted(found, key=lambda table: table.ref.table)

    def datasets_of(self, project: str) -> list[Dataset]:
        """The datasets of a project, by name."""
        known = {**self._catalog.datasets, **self._datasets}
        found = (dataset for dataset in known.values() if dataset is not None)
        return sorted((d for d in found if d.ref.project == project), key=lambda d: d.ref.dataset)

    def add_dataset(self, dataset: Dataset) -> None:
        """Make a dataset; it must not exist."""
        if self.find_dataset(dataset.ref) is not None:
            raise duplicate("Dataset", str(dataset.ref))
        same = {one.ref.schema.lower() for one in self._catalog.datasets.values()}
        if dataset.ref.schema.lower() in same:
            raise ServiceError("notImplemented", _CASE.format("datasets"))
        self.execute(f"CREATE SCHEMA {ATTACHED}.{quoted(dataset.ref.schema)}")
        self.put_dataset(dataset)

    def put_dataset(self, dataset: Dataset) -> None:
        """Store a dataset's properties."""
        self._datasets[dataset.ref] = dataset
        self._save("dataset", str(dataset.ref), dataset.to_api())

    def remove_dataset(self, ref: DatasetRef) -> None:
        """Drop a dataset with everything in it."""
        for table in self._stored(ref):
            self._remove(table)
        self.execute(f"DROP SCHEMA {ATTACHED}.{quoted(ref.schema)}")
        self._datasets[ref] = None
        self._forget("dataset", str(ref))

    def add_table(self, table: Table) -> None:
        """Make an empty table or a view; it must not exist."""
        self.dataset(table.ref.parent)
        if self.find_table(table.ref) is not None:
            raise duplicate("Table", str(table.ref))
        wanted = table.ref.table.lower()
        for one in self._stored(table.ref.parent):
            if one.ref.table.lower() != wanted:
                continue
            if not one.has_expired(now_ms()):
                raise ServiceError("notImplemented", _CASE.format("tables"))
            self._remove(one)
        if table.view_query is None:
            self._create(table)
        self.put_table(table)

    def _create(self, table: Table) -> None:
        columns = ", ".join(
            f"{quoted(one.name)} {one.type.duckdb}{' NOT NULL' if one.mode == 'REQUIRED' else ''}"
            for one in table.schema
        )
        if not columns:
            raise ServiceError("notImplemented", "The stand-in needs a column in every table.")
        self.execute(f"CREATE TABLE {physical(table.ref)} ({columns})")

    def add_part(self, table: Table, part: Part) -> Table:
        """Let a table read one more file; it reads only files, or has no rows yet."""
        kind = "VIEW" if table.parts else "TABLE"
        self.execute(f"DROP {kind} {physical(table.ref)}")
        changed = replace(table, parts=(*table.parts, part))
        query = parts_query(self.parts, changed.parts)
        self.execute(f"CREATE VIEW {physical(table.ref)} AS {query}")
        self.put_table(changed)
        return changed

    def settle(self, table: Table) -> Table:
        """Copy the rows of a table's files into the table itself, before they are changed."""
        if not table.parts:
            return table
        name = physical(table.ref)
        self.execute(f"DROP VIEW {name}")
        self._create(table)
        self.execute(f"INSERT INTO {name} {parts_query(self.parts, table.parts)}")
        self._discard_files(table)
        changed = replace(table, parts=())
        self.put_table(changed)
        return changed

    def clear(self, table: Table) -> Table:
        """Delete all rows of a table."""
        if not table.parts:
            self.execute(f"DELETE FROM {physical(table.ref)}")
            return table
        self.execute(f"DROP VIEW {physical(table.ref)}")
        self._discard_files(table)
        changed = replace(table, parts=())
        self._create(changed)
        self.put_table(changed)
        return changed

    def add_column(self, table: Table, column: Field) -> Table:
        """Give a table one more column (with empty arrays, else nulls)."""
        table = self.settle(table)
        absent = " DEFAULT []" if column.mode == "REPEATED" else ""
        self.execute(
            f"ALTER TABLE {physical(table.ref)} "
            f"ADD COLUMN {quoted(column.name)} {column.type.duckdb}{absent}"
        )
        changed = replace(table, schema=(*table.schema, column))
        self.put_table(changed)
        return changed

    def rename_table(self, table: Table, name: str) -> None:
        """Give a table another name in its dataset; that name must be free."""
        self.execute(f"ALTER TABLE {physical(table.ref)} RENAME TO {quoted(name)}")
        self._tables[table.ref] = None
        self._forget("table", str(table.ref))
        self.put_table(replace(table, ref=replace(table.ref, table=name)))

    def put_table(self, table: Table) -> None:
        """Store a table's properties."""
        is_new = self._any_table(table.ref) is None
        self._tables[table.ref] = table
        self._save("table", str(table.ref), table.saved(), is_new=is_new)

    def remove_table(self, ref: TableRef) -> None:
        """Drop a table or view."""
        self._remove(self.table(ref))

    def _remove(self, table: Table) -> None:
        if table.view_query is None:
            kind = "VIEW" if table.parts else "TABLE"
            self.execute(f"DROP {kind} {physical(table.ref)}")
            self._discard_files(table)
        self._tables[table.ref] = None
        self._forget("table", str(table.ref))

    def _discard_files(self, table: Table) -> None:
        for part in table.parts:
            unlink = (self.parts / part.file).unlink
            self.after_commit.append(partial(unlink, missing_ok=True))

    def save_running_job(self, job_id: str, body: Mapping[str, object]) -> None:
        """Store that a job has begun."""
        self._save("running", job_id, body, is_new=True)

    def save_job(self, job_id: str, body: Mapping[str, object], *, began: bool = True) -> None:
        """Store how a job ended, in the transaction of its changes.

        `began`: that it has begun may be stored.
        """
        self._save("job", job_id, body, instead_of="running", is_new=not began)

    def publish(self) -> None:
        """Make the committed changes visible to everyone (called by `Storage`)."""
        for dataset_ref, dataset in self._datasets.items():
            self._catalog.datasets.pop(dataset_ref, None)
            if dataset is not None:
                self._catalog.datasets[dataset_ref] = dataset
        for ref, table in self._tables.items():
            self._catalog.tables.pop(ref, None)
            if table is not None:
                self._catalog.tables[ref] = table

    def _save(
        self,
        kind: str,
        name: str,
        body: Mapping[str, object],
        *,
        instead_of: str | None = None,
        is_new: bool = False,
    ) -> None:
        """Store a resource, in the place of the one of this name that has the kind `instead_of`.

        That is its own kind unless it is given.
        """
        row = [kind, now_ms(), orjson.dumps(body).decode(), name]
        replace_it = (
            f"UPDATE {OWN}.resources SET kind = ?, at_ms = ?, body = ? WHERE name = ? AND kind = ?"
        )
        if is_new or not self.count(replace_it, [*row, instead_of or kind]):
            self.execute(
                f"INSERT INTO {OWN}.resources (kind, at_ms, body, name) VALUES (?, ?, ?, ?)", row
            )

    def _forget(self, kind: str, name: str) -> None:
        self.execute(f"DELETE FROM {OWN}.resources WHERE kind = ? AND name = ?", [kind, name])


_CASE = "The BigQuery stand-in does not support two {} whose names differ only in case."
