"""The DuckDB file of the stand-in, and the connections to it."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import orjson

from techmart_fast.standin.bqtypes import text_literal
from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.exact import register_exact
from techmart_fast.standin.parts import parts_query
from techmart_fast.standin.refs import DatasetRef
from techmart_fast.standin.resources import Dataset, Table
from techmart_fast.standin.work import ATTACHED, OWN, Catalog, Work, physical

_MACROS = Path(__file__).with_name("macros.sql")
MIB = 1 << 20
FORMAT = 1
"""Version of what is in the file beside the users' tables."""
JOB_HISTORY_MS = 180 * 24 * 3600 * 1000
"""Jobs are known for six months, as with the service."""


class HomeInUseError(Exception):
    """The DuckDB file is open in another process, is of another version, or is none."""


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
        self._parts = home / "parts"
        for folder in (self._parts, home / "spill"):
            folder.mkdir(mode=0o700, exist_ok=True)
        self._publishing = threading.Lock()
        self._readers = _Readers()
        self._engine = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{memory_bytes // MIB}MiB",
                "threads": str(os.cpu_count() or 2),
                "temp_directory": str(home / "spill"),
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
        for setting in (
            "TimeZone = 'UTC'",
            "checkpoint_threshold = '64MiB'",
            # Dictionaries make the file a fifth of the size, and writing it take twice as long.
            "disabled_compression_methods = 'dict_fsst,dictionary'",
            # It aggregates before a join as well: work for nothing where every row is a group.
            "disabled_optimizers = 'partial_aggregate_pushdown'",
            # The first of a table's rows are found by their keys, and only they are read whole.
            "late_materialization_max_rows = 2048",
        ):
            self._engine.execute(f"SET GLOBAL {setting}")
        self._check_format()
        register_exact(self._engine)
        self._engine.execute(_MACROS.read_text(encoding="utf-8"))
        self._catalog = self._read_catalog()
        self._find_parts()

    def _check_format(self) -> None:
        """Make the stand-in's own table, or see that it is one of this version."""
        engine = self._engine
        engine.execute(f"CREATE SCHEMA IF NOT EXISTS {OWN}")
        engine.execute(f"CREATE TABLE IF NOT EXISTS {OWN}.format (version INTEGER)")
        (version,) = engine.execute(f"SELECT max(version) FROM {OWN}.format").fetchall()[0]
        if version not in (None, FORMAT):
            engine.close()
            raise HomeInUseError(f"another version of the stand-in wrote it (format {version})")
        if version is None:
            engine.execute(f"INSERT INTO {OWN}.format VALUES ({FORMAT})")
        columns = "kind VARCHAR, name VARCHAR, at_ms BIGINT, body VARCHAR"
        engine.execute(f"CREATE TABLE IF NOT EXISTS {OWN}.resources ({columns})")
        oldest = now_ms() - JOB_HISTORY_MS
        engine.execute(f"DELETE FROM {OWN}.resources WHERE kind = 'job' AND at_ms < {oldest}")

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
        self._readers.enter(cursor)
        try:
            if on_cursor is not None:
                on_cursor(cursor)
            cursor.execute("BEGIN")
            work = Work(cursor, self._catalog, self._parts, self._commit)
            try:
                yield work
                self._commit(work)
            except BaseException:
                _roll_back(cursor)
                for undo in work.after_rollback:
                    undo()
                raise
        finally:
            self._readers.leave(cursor)
            cursor.close()

    def _commit(self, work: Work) -> None:
        with self._publishing:
            work.cursor.execute("COMMIT")
            work.publish()
        self._readers.when_left(work.after_commit)

    def location_of(self, project: str, dataset: str | None) -> str | None:
        """Where a dataset is; without one, where all datasets of the project are."""
        known = self._catalog.datasets
        if dataset is not None:
            found = known.get(DatasetRef(project, dataset))
            return found.location if found is not None else None
        places = {one.location for ref, one in list(known.items()) if ref.project == project}
        return places.pop() if len(places) == 1 else None

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own, to be closed by the caller."""
        return self._engine.cursor()

    def saved_job_ids(self) -> set[str]:
        """The ids of all jobs, of earlier processes too."""
        rows = self._engine.execute(
            f"SELECT name FROM {OWN}.resources WHERE kind IN ('job', 'running')"
        ).fetchall()
        return {name for (name,) in rows}

    def saved_job(self, job_id: str) -> Mapping[str, object] | None:
        """What is kept of a job."""
        with self.cursor() as cursor:
            row = cursor.execute(
                f"SELECT body FROM {OWN}.resources WHERE kind IN ('job', 'running') AND name = ?",
                [job_id],
            ).fetchone()
        return None if row is None else dict(orjson.loads(row[0]))

    def saved_jobs(self) -> list[Mapping[str, object]]:
        """What is kept of all jobs, in the order of their ends."""
        with self.cursor() as cursor:
            rows = cursor.execute(
                f"SELECT body FROM {OWN}.resources WHERE kind = 'job' ORDER BY at_ms, rowid"
            ).fetchall()
        return [orjson.loads(body) for (body,) in rows]

    def _bodies(self, kind: str) -> list[Mapping[str, object]]:
        rows: Sequence[tuple[str]] = self._engine.execute(
            f"SELECT body FROM {OWN}.resources WHERE kind = ? ORDER BY rowid", [kind]
        ).fetchall()
        return [orjson.loads(body) for (body,) in rows]

    def _read_catalog(self) -> Catalog:
        datasets = map(Dataset.from_api, self._bodies("dataset"))
        tables = map(Table.restored, self._bodies("table"))
        return Catalog({one.ref: one for one in datasets}, {one.ref: one for one in tables})

    def _find_parts(self) -> None:
        """Point tables at their files, should the folder have moved; drop files of no table."""
        known = set()
        for table in self._catalog.tables.values():
            known |= {part.file for part in table.parts}
            if table.parts:
                query = parts_query(self._parts, table.parts)
                self._engine.execute(f"CREATE OR REPLACE VIEW {physical(table.ref)} AS {query}")
        for file in self._parts.iterdir():
            if file.name not in known:
                file.unlink()


class _Readers:
    """Who may still read files that a committed transaction has done with."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: set[int] = set()
        self._waiting: list[tuple[set[int], Sequence[Callable[[], object]]]] = []

    def enter(self, reader: object) -> None:
        """A transaction begins: it may see, and read, what others drop from now on."""
        with self._lock:
            self._inside.add(id(reader))

    def when_left(self, calls: Sequence[Callable[[], object]]) -> None:
        """Make these calls once every transaction that runs now has ended."""
        if calls:
            with self._lock:
                self._waiting.append((set(self._inside), calls))

    def leave(self, reader: object) -> None:
        """A transaction has ended."""
        with self._lock:
            self._inside.discard(id(reader))
            ready = []
            for readers, calls in self._waiting:
                readers.discard(id(reader))
                if not readers:
                    ready.append(calls)
            self._waiting = [entry for entry in self._waiting if entry[0]]
        for calls in ready:
            for call in calls:
                call()


def _roll_back(cursor: duckdb.DuckDBPyConnection) -> None:
    try:
        cursor.execute("ROLLBACK")
    except duckdb.Error:
        # DuckDB ends the transaction by itself after a fatal error; there is nothing left to undo.
        return
