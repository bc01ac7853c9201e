"""The ways of psql (and pgloader), into the loader's own table, from a clean CSV of its rows.

The table keeps its keys, foreign keys, checks and indexes. Its audit triggers are off: the loader
writes the same audit by the batch.
"""

import os
import subprocess
import time
from pathlib import Path

import psutil

from benchmarks.measure import Home
from benchmarks.side_by_side.ways import COLUMNS, Taken

_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
_CONTENT = [name for name in COLUMNS if name != "transaction_id"]
_NEWER = "(t.source_ordinal, t.source_offset) < (excluded.source_ordinal, excluded.source_offset)"
_UPSERT = (
    f"INSERT INTO transactions AS t ({_NAMES}) SELECT {_NAMES} FROM staged "
    "ON CONFLICT (transaction_id) DO UPDATE SET "
    + ", ".join(f'"{name}" = excluded."{name}"' for name in _CONTENT)
    + f" WHERE {_NEWER}"
)
_CONSTRAINTS = """
    SELECT string_agg(format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname,
                             pg_get_constraintdef(oid)), E'\\n' ORDER BY contype = 'f', conname)
    FROM pg_constraint
    WHERE conrelid = 'public.transactions'::regclass AND contype IN ('c', 'p', 'f')
"""
_INDEXES = """
    SELECT string_agg(pg_get_indexdef(indexrelid), E'\\n')
    FROM pg_index WHERE indrelid = 'public.transactions'::regclass AND NOT indisprimary
"""


def write_clean(home: Home, file: Path) -> None:
    """Write the rows that are loaded as a clean CSV, in the order of the feed."""
    rows = f"SELECT {_NAMES} FROM transactions ORDER BY source_ordinal, source_offset"
    home.psql(f"\\copy ({rows}) to '{file}' csv")


def prepare(home: Home) -> None:
    """Switch the audit triggers off for good: this home is for peers from now on."""
    home.psql("ALTER TABLE transactions DISABLE TRIGGER USER")


def empty(home: Home) -> None:
    """Empty the table as if it was new."""
    home.psql("TRUNCATE transactions")


def measure(home: Home, way: str, file: Path, rows: int) -> Taken:
    """Load the clean CSV in one of the ways of this module."""
    ways = {
        "psql_copy": _copy,
        "psql_upsert": _upsert,
        "psql_build": _build,
        "pgloader": _pgloader,
    }
    before, client = home.database_cpu(), _children_cpu()
    began = time.perf_counter()
    ways[way](home, file)
    seconds = time.perf_counter() - began
    return Taken(
        way=way,
        rows=rows,
        seconds=seconds,
        client_cpu=_children_cpu() - client,
        database_cpu=home.database_cpu() - before,
    )


def _children_cpu() -> float:
    times = psutil.Process().cpu_times()
    return float(times.children_user + times.children_system)


def _copy(home: Home, file: Path) -> None:
    home.psql(f"\\copy transactions ({_NAMES}) from '{file}' csv")


def _upsert(home: Home, file: Path) -> None:
    home.psql(
        "CREATE TEMP TABLE staged (LIKE transactions INCLUDING DEFAULTS)",
        f"\\copy staged ({_NAMES}) from '{file}' csv",
        _UPSERT,
    )


def _build(home: Home, file: Path) -> None:
    constraints = home.psql(_CONSTRAINTS).splitlines()
    indexes = home.psql(_INDEXES).splitlines()
    names = [line.split()[2] for line in indexes]
    drops = [line.partition(" ADD CONSTRAINT ")[2].split()[0] for line in constraints]
    home.psql(
        *(f"ALTER TABLE transactions DROP CONSTRAINT {name}" for name in drops),
        *(f"DROP INDEX {name}" for name in names),
        f"\\copy transactions ({_NAMES}) from '{file}' csv",
        *(line for line in constraints if "FOREIGN KEY" not in line),
        *indexes,
        *(line for line in constraints if "FOREIGN KEY" in line),
    )


def _pgloader(home: Home, file: Path) -> None:
    server = home.server
    fields = ", ".join(COLUMNS)
    command = f"""
        LOAD CSV FROM '{file}' ({fields})
        INTO postgresql://{server.user}@unix:{server.socket_dir}:{server.port}/{server.database}
        TARGET TABLE public.transactions ({fields})
        WITH fields terminated by ',', fields optionally enclosed by '"';
    """
    script = file.with_suffix(".load")
    script.write_text(command)
    subprocess.run(
        ["pgloader", "--quiet", "--on-error-stop", str(script)],
        env={**os.environ, "PGPASSWORD": server.password.get_secret_value()},
        check=True,
        stdout=subprocess.DEVNULL,
    )
