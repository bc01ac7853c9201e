"""The ways of psql into the loader's own table, from a clean CSV of its rows.

The table keeps its keys, foreign keys, checks and indexes. Its audit triggers are off: the loader
writes the same audit by the batch.
"""

import time
from pathlib import Path

from benchmarks.measure import Home

COLUMNS = (
    "transaction_id",
    "user_id",
    "product_id",
    "amount",
    "currency",
    "amount_usd",
    "timestamp",
    "payment_method",
    "status",
    "transaction_date",
    "processing_priority",
    "source_ordinal",
    "source_offset",
    "batch_no",
)
"""Of the table `transactions`, as a clean CSV has them."""

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


def seconds(home: Home, way: str, file: Path) -> float:
    """How long one of the ways takes for the clean CSV."""
    ways = {"psql_copy": _copy, "psql_upsert": _upsert, "psql_build": _build}
    began = time.perf_counter()
    ways[way](home, file)
    return time.perf_counter() - began


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
