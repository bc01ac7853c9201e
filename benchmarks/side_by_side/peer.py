"""The Python peers. This file runs alone, with the packages of requirements-peers.txt.

    python peer.py WAY FILE DSN ROWS FOLDER

loads the NDJSON in one way into a table `peer_WAY` and prints what it took as JSON. Each way is as
the peer's own documentation shows it, for speed.
"""

import csv
import io
import itertools
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

_FIELDS = (
    *("transaction_id", "user_id", "product_id", "amount"),
    *("currency", "timestamp", "payment_method", "status"),
)


def _table(file: str, rows: int) -> Any:
    import pyarrow as pa
    from pyarrow import json as arrow_json

    kinds = {"amount": pa.decimal128(12, 2), "timestamp": pa.string()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in _FIELDS])
    options = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    return arrow_json.read_json(file, parse_options=options).slice(0, rows)


def _lines(file: str, rows: int) -> Iterator[Any]:
    with Path(file).open("rb") as lines:
        for line in itertools.islice(lines, rows):
            yield json.loads(line)


def _dlt(data: Any, dsn: str, name: str, folder: str) -> None:
    import dlt

    os.environ["DLT_DATA_DIR"] = folder
    # It wants a host: the folder of the socket, written so that it survives in a URL.
    place = urlsplit(dsn)
    options = dict(parse_qsl(place.query))
    socket, user = quote(options["host"], safe=""), place.netloc.partition("@")[0]
    dsn = f"postgresql://{user}@{socket}:{options['port']}{place.path}"
    pipeline = dlt.pipeline(
        pipeline_name=name,
        destination=dlt.destinations.postgres(dsn),
        dataset_name=f"peer_{name}",
        pipelines_dir=folder,
    )
    info = pipeline.run(
        data, table_name="transactions", write_disposition="merge", primary_key="transaction_id"
    )
    info.raise_on_failed_jobs()


def _dlt_arrow(file: str, dsn: str, rows: int, folder: str) -> None:
    _dlt(_table(file, rows), dsn, "dlt_arrow", folder)


def _dlt_json(file: str, dsn: str, rows: int, folder: str) -> None:
    _dlt(_lines(file, rows), dsn, "dlt_json", folder)


def _adbc(file: str, dsn: str, rows: int, folder: str) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc
    from adbc_driver_postgresql import dbapi

    table = _table(file, rows)
    # The driver takes no decimals into a table that it makes: money goes as text.
    place = table.schema.get_field_index("amount")
    table = table.set_column(place, "amount", pc.cast(table["amount"], pa.string()))
    with dbapi.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("peer_adbc", table, mode="replace")
        connection.commit()


def _pandas(file: str, dsn: str, rows: int, folder: str) -> None:
    import pandas as pd
    import sqlalchemy

    def copied(table: Any, connection: Any, keys: list[str], data: Any) -> None:
        text = io.StringIO()
        csv.writer(text).writerows(data)
        text.seek(0)
        names = ", ".join(f'"{key}"' for key in keys)
        with connection.connection.cursor() as cursor:
            cursor.copy_expert(f'COPY "{table.name}" ({names}) FROM STDIN WITH CSV', text)

    engine = sqlalchemy.create_engine(dsn.replace("postgresql://", "postgresql+psycopg2://"))
    left = rows
    for number, chunk in enumerate(pd.read_json(file, lines=True, chunksize=100_000)):
        part = chunk[list(_FIELDS)].head(left)
        left -= len(part)
        how = "replace" if number == 0 else "append"
        part.to_sql("peer_pandas", engine, if_exists=how, index=False, method=copied)
        if left <= 0:
            break


def _duckdb(file: str, dsn: str, rows: int, folder: str) -> None:
    import duckdb

    kinds = {"amount": "DECIMAL(12, 2)", "timestamp": "TIMESTAMPTZ"}
    columns = {name: kinds.get(name, "VARCHAR") for name in _FIELDS}
    with duckdb.connect(str(Path(folder, "peer.duckdb"))) as connection:
        connection.execute(
            "CREATE TABLE transactions AS SELECT * FROM "
            "read_json(?, format = 'newline_delimited', columns = ?) LIMIT ?",
            [file, columns, rows],
        )


_WAYS: dict[str, Callable[[str, str, int, str], None]] = {
    "dlt_arrow": _dlt_arrow,
    "dlt_json": _dlt_json,
    "adbc": _adbc,
    "pandas": _pandas,
    "duckdb": _duckdb,
}


def main() -> None:
    """Run the way that the arguments name."""
    way, file, dsn, rows, folder = sys.argv[1:]
    began = time.perf_counter()
    _WAYS[way](file, dsn, int(rows), folder)
    seconds = time.perf_counter() - began
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "rows": int(rows)}))


if __name__ == "__main__":
    main()
