"""DuckDB's read_json into Arrow."""

import duckdb
from by_duckdb import QUERY
from raw_file import job

with duckdb.connect() as connection:
    reader = connection.execute(QUERY, {"raw": job()["raw"]}).fetch_record_batch()
    print(sum(batch.num_rows for batch in reader))
