r"""psql: \copy into a bare table, then build its indexes and constraints: the fastest by hand."""

from benchmarks.side_by_side.model import Measured, Way
from benchmarks.side_by_side.server import literal, quoted
from benchmarks.side_by_side.site import Site

# Not null (n) stays: it can be checked while rows come in. Checks are dropped with the keys.
_CONSTRAINTS = """SELECT quote_ident(conname) || ' ' || pg_get_constraintdef(oid)
    FROM pg_constraint
    WHERE conrelid = 'public.transactions'::regclass AND contype IN ('p', 'c', 'f')
    ORDER BY position(contype::text IN 'pcf'), conname"""
_INDEXES = """SELECT pg_get_indexdef(indexrelid)
    FROM pg_index
    WHERE indrelid = 'public.transactions'::regclass AND NOT indisprimary
    ORDER BY indexrelid"""


def run(site: Site) -> Measured:
    """Copy the clean file into the bare table and build the rest, in one transaction.

    It begins with TRUNCATE: with `wal_level` minimal, as here, such a transaction writes no log.
    """
    constraints = site.ask(_CONSTRAINTS).splitlines()
    indexes = site.ask(_INDEXES).splitlines()
    names = [index.split()[2] for index in indexes]
    site.ask(
        "ALTER TABLE transactions DISABLE TRIGGER USER",
        *(
            f"ALTER TABLE transactions DROP CONSTRAINT {constraint.split()[0]}"
            for constraint in reversed(constraints)
        ),
        *(f"DROP INDEX {quoted(name)}" for name in names),
    )
    # In one statement all checks and the keys go through the table together.
    adds = ", ".join(f"ADD CONSTRAINT {one}" for one in constraints)
    builds = [f"ALTER TABLE transactions {adds};", *(f"{index};" for index in indexes)]
    lines = [
        "BEGIN;",
        "TRUNCATE transactions;",
        f"\\copy transactions from {literal(str(site.case.clean))} csv",
        *builds,
        "COMMIT;",
    ]
    measured = site.psql("\n".join(lines) + "\n")
    site.check()
    return measured


WAY = Way(
    name="psql-heap",
    title="psql bare table, keys and indexes after",
    reads="clean CSV",
    lacks=r"as `\copy`; besides, it works for a first load only, and nobody can read meanwhile",
    run=run,
)
