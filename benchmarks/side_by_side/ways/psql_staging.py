r"""psql: \copy into a staging table, then INSERT … ON CONFLICT with the loader's guard."""

from benchmarks.side_by_side.model import Measured, Way
from benchmarks.side_by_side.server import literal, quoted
from benchmarks.side_by_side.site import Site

_COLUMNS = """SELECT string_agg(quote_ident(attname), ',' ORDER BY attnum)
    FROM pg_attribute
    WHERE attrelid = 'public.transactions'::regclass AND attnum > 0 AND NOT attisdropped"""


def script(columns: list[str], file: str) -> str:
    """The script; a row is written only if its position is newer than what is stored."""
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns)
    return f"""CREATE TEMPORARY TABLE staging (LIKE transactions INCLUDING DEFAULTS);
\\copy staging from {literal(file)} csv
INSERT INTO transactions AS stored SELECT * FROM staging
ON CONFLICT ({quoted("transaction_id")}) DO UPDATE SET {updates}
WHERE (stored.source_ordinal, stored.source_offset)
    < (excluded.source_ordinal, excluded.source_offset);
"""


def run(site: Site) -> Measured:
    """Copy and merge the clean file with all keys and indexes there; audit triggers are off."""
    site.ask("ALTER TABLE transactions DISABLE TRIGGER USER")
    before = site.count()
    columns = site.ask(_COLUMNS).split(",")
    measured = site.psql(script(columns, str(site.case.clean)))
    site.check(before=before)
    return measured


WAY = Way(
    name="psql-staging",
    title="psql staging table + `ON CONFLICT`",
    reads="clean CSV",
    lacks="decoding, checks, currency, rejections, audit, resuming, warehouse; an id twice in one "
    "file fails",
    run=run,
)
