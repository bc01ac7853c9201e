"""The DuckDB file of the stand-in, its connections, and the catalog as one transaction sees it."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import orjson

from techmart_fast.standin.bqtypes import Field, quoted, text_literal
from techmart_fast.standin.exact import register_exact
from techmart_fast.standin.failure import ServiceError, duplicate, not_found
from techmart_fast.standin.resources import Dataset, DatasetRef, Table, TableRef

ATTACHED = "warehouse"
_OWN = f"{ATTACHED}._standin"
_MACROS = Path(__file__).with_name("macros.sql")
MIB = 1 << 20


class HomeInUseError(Exception):
    """The DuckDB file is open in another process, or can't be opened."""


@dataclass(slots=True)
class Catalog:
    """All datasets and tables, as committed. Only `Storage` changes it."""

    datasets: dict[DatasetRef, Dataset] = field(default_factory=dict)
    tables: dict[TableRef, Table] = field(default_factory=dict)


def physical(ref: TableRef) -> str:
    """The DuckDB name of a table."""
    return f"{ATTACHED}.{quoted(ref.parent.schema)}.{quoted(ref.table)}"


class Work:
    """One transaction: a DuckDB cursor, and the catalog with this transaction's own changes.

    Made by `Storage.work`. Changes of the catalog and of the data are committed together.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
        self.cursor = cursor
        self._catalog = catalog
        self._datasets: dict[DatasetRef, Dataset | None] = {}
        self._tables: dict[TableRef, Table | None] = {}

    def execute(self, sql: str, parameters: object = None) -> duckdb.DuckDBPyConnection:
        """Run one DuckDB statement."""
        return self.cursor.execute(sql, parameters)

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
        """The table or view, if there is one."""
        return self._tables[ref] if ref in self._tables else self._catalog.tables.get(ref)

    def table(self, ref: TableRef) -> Table:
        """The table or view; a `notFound` error without it."""
        self.dataset(ref.parent)
        found = self.find_table(ref)
        if found is None:
            raise not_found("Table", str(ref))
        return found

    def tables_of(self, ref: DatasetRef) -> list[Table]:
        """The tables and views of a dataset, by name."""
        known = {**self._catalog.tables, **self._tables}
        found = (table for table in known.values() if table is not None)
        return sorted((t for t in found if t.ref.parent == ref), key=lambda t: t.ref.table)

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
            raise ServiceError(
                "notImplemented",
                "The BigQuery stand-in does not support two datasets whose names differ in case.",
            )
        self.execute(f"CREATE SCHEMA {ATTACHED}.{quoted(dataset.ref.schema)}")
        self.put_dataset(dataset)

    def put_dataset(self, dataset: Dataset) -> None:
        """Store a dataset's properties."""
        self._datasets[dataset.ref] = dataset
        self._save("dataset", str(dataset.ref), dataset.to_api())

    def remove_dataset(self, ref: DatasetRef) -> None:
        """Drop a dataset with everything in it."""
        for table in self.tables_of(ref):
            self.remove_table(table.ref)
        self.execute(f"DROP SCHEMA {ATTACHED}.{quoted(ref.schema)}")
        self._datasets[ref] = None
        self._forget("dataset", str(ref))

    def add_table(self, table: Table) -> None:
        """Make an empty table or a view; it must not exist."""
        self.check_new(table)
        if table.view_query is None:
            columns = ", ".join(
                f"{quoted(one.name)} {one.type.duckdb}"
                + (" NOT NULL" if one.mode == "REQUIRED" else "")
                for one in table.schema
            )
            if not columns:
                raise ServiceError("notImplemented", "A table needs at least one column here.")
            self.execute(f"CREATE TABLE {physical(table.ref)} ({columns})")
        self.put_table(table)

    def check_new(self, table: Table) -> None:
        """Refuse a table whose name is taken."""
        self.dataset(table.ref.parent)
        if self.find_table(table.ref) is not None:
            raise duplicate("Table", str(table.ref))
        wanted = table.ref.table.lower()
        if any(one.ref.table.lower() == wanted for one in self.tables_of(table.ref.parent)):
            raise ServiceError(
                "notImplemented",
                "The BigQuery stand-in does not support two tables whose names differ in case.",
            )

    def add_column(self, table: Table, column: Field) -> None:
        """Give a table's data one more column (empty arrays, else nulls)."""
        absent = " DEFAULT []" if column.mode == "REPEATED" else ""
        self.execute(
            f"ALTER TABLE {physical(table.ref)} "
            f"ADD COLUMN {quoted(column.name)} {column.type.duckdb}{absent}"
        )

    def rename_table(self, table: Table, name: str) -> None:
        """Give a table another name in its dataset; that name must be free."""
        self.execute(f"ALTER TABLE {physical(table.ref)} RENAME TO {quoted(name)}")
        self._tables[table.ref] = None
        self._forget("table", str(table.ref))
        self.put_table(replace(table, ref=replace(table.ref, table=name)))

    def put_table(self, table: Table) -> None:
        """Store a table's properties."""
        self._tables[table.ref] = table
        self._save("table", str(table.ref), table.to_api())

    def remove_table(self, ref: TableRef) -> None:
        """Drop a table or view."""
        if self.table(ref).view_query is None:
            self.execute(f"DROP TABLE {physical(ref)}")
        self._tables[ref] = None
        self._forget("table", str(ref))

    def save_running_job(self, job_id: str, body: Mapping[str, object]) -> None:
        """Store that a job has begun."""
        self._save("running", job_id, body)

    def save_job(self, job_id: str, body: Mapping[str, object]) -> None:
        """Store how a job ended, in the transaction of its changes."""
        self._forget("running", job_id)
        self._save("job", job_id, body)

    def publish(self) -> None:
        """Make the committed changes visible to everyone (called by `Storage`)."""
        _apply(self._catalog.datasets, self._datasets)
        _apply(self._catalog.tables, self._tables)

    def _save(self, kind: str, name: str, body: Mapping[str, object]) -> None:
        self._forget(kind, name)
        self.execute(
            f"INSERT INTO {_OWN}.resources VALUES (?, ?, ?)",
            [kind, name, orjson.dumps(body).decode()],
        )

    def _forget(self, kind: str, name: str) -> None:
        self.execute(f"DELETE FROM {_OWN}.resources WHERE kind = ? AND name = ?", [kind, name])


def _apply(target: dict, changes: Mapping) -> None:  # type: ignore[type-arg]
    for key, value in changes.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value


class Storage:
    """The stand-in's DuckDB: one file in `home`, attached to an engine in memory.

    The engine in memory holds the functions that DuckDB lacks. Methods may be called from any
    thread; each `work` has a cursor (a connection) of its own.
    """

    def __init__(self, home: Path, *, memory_bytes: int) -> None:
        """Open or make the file.

        Raises:
            HomeInUseError: another process has it open, or it is not a DuckDB file.
        """
        spill = home / "spill"
        spill.mkdir(mode=0o700, exist_ok=True)
        self._publishing = threading.Lock()
        self._engine = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{memory_bytes // MIB}MiB",
                "threads": str(os.cpu_count() or 2),
                "temp_directory": str(spill),
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )
        try:
            path = text_literal(str(home / "warehouse.duckdb"))
            self._engine.execute(f"ATTACH {path} AS {ATTACHED}")
        except (duckdb.IOException, duckdb.BinderException) as error:
            self._engine.close()
            raise HomeInUseError(str(error).splitlines()[0]) from None
        self._engine.execute("SET GLOBAL TimeZone = 'UTC'")
        self._engine.execute(
            "SET GLOBAL default_null_order = 'nulls_first_on_asc_last_on_desc'"
        )
        self._engine.execute("SET GLOBAL checkpoint_threshold = '64MiB'")
        self._engine.execute(f"CREATE SCHEMA IF NOT EXISTS {_OWN}")
        self._engine.execute(
            f"CREATE TABLE IF NOT EXISTS {_OWN}.resources (kind VARCHAR, name VARCHAR, body VARCHAR)"
        )
        register_exact(self._engine)
        self._engine.execute(_MACROS.read_text(encoding="utf-8"))
        self._catalog = self._read_catalog()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write everything into the file (checkpoint) and let go of it."""
        self._engine.execute(f"CHECKPOINT {ATTACHED}")
        self._engine.execute(f"DETACH {ATTACHED}")
        self._engine.close()

    @contextmanager
    def work(
        self, *, on_cursor: Callable[[duckdb.DuckDBPyConnection], None] | None = None
    ) -> Iterator[Work]:
        """A transaction that commits at the end of the block, and rolls back on any exception.

        `on_cursor` is given the cursor first (to interrupt it later).
        """
        cursor = self._engine.cursor()
        try:
            if on_cursor is not None:
                on_cursor(cursor)
            cursor.execute("BEGIN")
            work = Work(cursor, self._catalog)
            try:
                yield work
            except BaseException:
                _roll_back(cursor)
                raise
            with self._publishing:
                cursor.execute("COMMIT")
                work.publish()
        finally:
            cursor.close()

    def dataset_location(self, ref: DatasetRef) -> str | None:
        """Where a dataset is, if there is one."""
        found = self._catalog.datasets.get(ref)
        return found.location if found is not None else None

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own, to be closed by the caller."""
        return self._engine.cursor()

    def saved_job_ids(self) -> set[str]:
        """The ids of all jobs, of earlier processes too."""
        rows = self._engine.execute(
            f"SELECT name FROM {_OWN}.resources WHERE kind IN ('job', 'running')"
        ).fetchall()
        return {name for (name,) in rows}

    def saved_job(self, job_id: str) -> Mapping[str, object] | None:
        """What is kept of a job."""
        with self.cursor() as cursor:
            row = cursor.execute(
                f"SELECT body FROM {_OWN}.resources WHERE kind IN ('job', 'running') AND name = ?",
                [job_id],
            ).fetchone()
        return None if row is None else dict(orjson.loads(row[0]))

    def newest_jobs(self, limit: int) -> list[Mapping[str, object]]:
        """What is kept of the newest jobs."""
        with self.cursor() as cursor:
            rows = cursor.execute(
                f"SELECT body FROM {_OWN}.resources WHERE kind = 'job' ORDER BY rowid DESC LIMIT ?",
                [limit],
            ).fetchall()
        return [orjson.loads(body) for (body,) in rows]

    def _bodies(self, kind: str) -> list[Mapping[str, object]]:
        rows: Sequence[tuple[str]] = self._engine.execute(
            f"SELECT body FROM {_OWN}.resources WHERE kind = ? ORDER BY rowid", [kind]
        ).fetchall()
        return [orjson.loads(body) for (body,) in rows]

    def _read_catalog(self) -> Catalog:
        datasets = map(Dataset.from_api, self._bodies("dataset"))
        tables = map(Table.from_api, self._bodies("table"))
        return Catalog({one.ref: one for one in datasets}, {one.ref: one for one in tables})


def _roll_back(cursor: duckdb.DuckDBPyConnection) -> None:
    try:
        cursor.execute("ROLLBACK")
    except duckdb.Error:
        # DuckDB ends the transaction by itself after a fatal error; there is nothing left to undo.
        return
