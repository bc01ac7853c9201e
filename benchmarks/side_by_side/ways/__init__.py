"""Every way that is measured, in the order of the table."""

from benchmarks.side_by_side.model import Way
from benchmarks.side_by_side.ways import (
    adbc_ingest,
    dlt_arrow,
    dlt_dicts,
    duckdb_decode,
    duckdb_postgres,
    loader_all,
    loader_upload,
    pandas_copy,
    pandas_multi,
    pgloader_csv,
    psql_copy,
    psql_heap,
    psql_staging,
)

FIRST_LOAD: tuple[Way, ...] = (
    loader_upload.WAY,
    loader_all.WAY,
    psql_copy.WAY,
    psql_staging.WAY,
    psql_heap.WAY,
    dlt_arrow.WAY,
    dlt_dicts.WAY,
    adbc_ingest.WAY,
    duckdb_decode.WAY,
    duckdb_postgres.WAY,
    pgloader_csv.WAY,
    pandas_copy.WAY,
    pandas_multi.WAY,
)
"""Into a table without transactions."""

MORE_ROWS: tuple[Way, ...] = (loader_upload.WAY, psql_staging.WAY)
"""New rows, in random order of their ids, into a table that has many."""

FIRST_LOAD_BASE = psql_copy.WAY.name
MORE_ROWS_BASE = psql_staging.WAY.name
"""What the others are compared with."""
