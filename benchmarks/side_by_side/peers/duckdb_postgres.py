"""DuckDB's read_json into a new table of PostgreSQL, by the extension that PyPI has."""

from pathlib import Path

import duckdb
import duckdb_extension_postgres_scanner as extension
from by_duckdb import QUERY
from raw_file import job

(file,) = Path(extension.__file__).parent.rglob("*.duckdb_extension")
name = str(file).replace("'", "''")
with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
    connection.execute(f"LOAD '{name}'")
    connection.execute("ATTACH '' AS shop (TYPE postgres)")
    table = f"CREATE TABLE shop.public.duckdb_transactions AS {QUERY}"
    connection.execute(table, {"raw": job()["raw"]})
