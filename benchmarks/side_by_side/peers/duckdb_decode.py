"""DuckDB's read_json into Arrow."""

import duckdb
from by_duckdb import QUERY
from raw_file import job

with duckdb.connect() as connection:
    reader = connection.sql(QUERY, params={"raw": job()["raw"]}).to_arrow_reader()
    print(sum(batch.num_rows for batch in reader))
