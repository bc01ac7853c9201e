"""DuckDB: read_json, written by its PostgreSQL extension into a bare table."""

from benchmarks.side_by_side.model import Measured, Way
from benchmarks.side_by_side.site import Site


def run(site: Site) -> Measured:
    """Read the raw file and make a new table of it."""
    measured, _ = site.peer("duckdb_postgres.py")
    site.check("duckdb_transactions")
    return measured


WAY = Way(
    name="duckdb-postgres",
    title="DuckDB `read_json` + PostgreSQL extension",
    reads="raw NDJSON",
    lacks="as ADBC: a bare table of the raw fields",
    run=run,
    distribution="duckdb-extension-postgres-scanner",
)
