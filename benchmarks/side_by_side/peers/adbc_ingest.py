"""ADBC's bulk ingestion of pyarrow.json's batches."""

from adbc_driver_postgresql import dbapi
from raw_file import batches, job

with dbapi.connect("postgresql://") as connection, connection.cursor() as cursor:
    cursor.adbc_ingest("adbc_transactions", batches(job()["raw"]), mode="create")
    connection.commit()
