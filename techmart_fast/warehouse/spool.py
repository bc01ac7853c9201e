"""The spool: Parquet files of accepted rows, durable on disk before their batch commits."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from techmart_fast.errors import SpoolDamagedError, SpoolError
from techmart_fast.records import CANDIDATES, Feed, SpooledFile
from techmart_fast.warehouse.groups import LoadTable

Compression = Literal["zstd", "snappy", "none"]
"""Of Parquet. zstd is at its first level. Measured on transactions, for a row: 1.3 µs and 20 bytes;
snappy takes 1.1 µs for 36 bytes, none 1.0 µs for 75."""

ROW_GROUP_ROWS = 1 << 20
"""One row group for most files. They stay as they are in a load job's file: see `joining`."""

_DICTIONARY = (
    "currency",
    "payment_method",
    "status",
    "payment_method_risk",
    "transaction_risk",
    "processing_priority",
    "country",
    "region",
    "age_group",
    "customer_tier",
    "category",
    "supplier_id",
    "inventory_status",
    "price_tier",
    "transaction_date",
    "transaction_hour",
    "day_of_week",
    "source_ordinal",
    "code",
    "batch_id",
)
"""Columns with few distinct values. A dictionary of the others (ids, amounts) only costs time."""

WRITTEN_AGAIN = "Its rows are in PostgreSQL: the next run, or sync, writes it again."

_BATCH = pa.field("batch_id", pa.string(), nullable=False)

LOAD_SCHEMAS: Mapping[LoadTable, pa.Schema] = MappingProxyType(
    {
        LoadTable.USERS: CANDIDATES[Feed.USERS].append(_BATCH),
        LoadTable.PRODUCTS: CANDIDATES[Feed.PRODUCTS]
        .append(pa.field("is_active", pa.bool_(), nullable=False))
        .append(pa.field("catalogue_ordinal", pa.int64(), nullable=False))
        .append(_BATCH),
        LoadTable.TRANSACTIONS: CANDIDATES[Feed.TRANSACTIONS].append(_BATCH),
        LoadTable.REJECTED_TRANSACTIONS: pa.schema(
            [
                pa.field("source_ordinal", pa.int64(), nullable=False),
                pa.field("source_offset", pa.int64(), nullable=False),
                pa.field("transaction_date", pa.date32(), nullable=False),
                pa.field("code", pa.string(), nullable=False),
                _BATCH,
            ]
        ),
    }
)
"""Columns of the spooled files: those of the warehouse's tables, in the same order."""


@dataclass(frozen=True, slots=True)
class SpoolFolder:
    """Where files are written, and how they are compressed."""

    path: Path
    compression: Compression = "zstd"


def write_spool(
    records: pa.RecordBatch | pa.Table,
    *,
    table: LoadTable,
    folder: SpoolFolder,
    name: str,
    batch_id: UUID | None,
) -> SpooledFile:
    """Write accepted rows as `folder/name.parquet`, durable when this returns. Blocking: a thread.

    `records` follows `CANDIDATES` of the table's feed (products also carry `is_active` and
    `catalogue_ordinal`) or, for `rejected_transactions`, what `rejected_rows` returns. The file has
    the columns of the warehouse's table: `batch_id` is added (without one, `records` has it) and
    e-mail addresses are masked (`a***@example.com`), so that no plain address leaves PostgreSQL.
    Writing the same name again replaces the file as a whole.

    Raises:
        SpoolError: the file can't be written or made durable (disk full, folder gone).
    """
    columns = _warehouse_columns(records, table, batch_id)
    buffer = pa.BufferOutputStream()
    with parquet_writer(buffer, columns.schema, folder.compression) as writer:
        writer.write_table(columns, row_group_size=ROW_GROUP_ROWS)
    data = buffer.getvalue()
    path = folder.path / f"{name}.parquet"
    try:
        _write_durably(path, data)
    except OSError as error:
        raise SpoolError(
            f"Can't write the spool file {path}: {error.strerror or error}.",
            hint="Check the disk's free space and the folder, then run again.",
            transient=True,
        ) from None
    return SpooledFile(
        table=table.value,
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        rows=columns.num_rows,
        size_bytes=data.size,
        dates=_dates(columns),
    )


def read_spool(file: SpooledFile) -> pa.Table:
    """Read a spooled file, checked against its hash.

    Raises:
        SpoolDamagedError: the file is gone, or is not what was written.
    """
    return pq.read_table(pa.BufferReader(spooled_bytes(file)))


def spooled_bytes(file: SpooledFile) -> bytes:
    """The bytes of a spooled file, checked against its hash.

    Raises:
        SpoolDamagedError: the file is gone, or is not what was written.
    """
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise SpoolDamagedError(
            f"Can't read the spool file {file.path}: {error.strerror}.", hint=WRITTEN_AGAIN
        ) from None
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise SpoolDamagedError(
            f"The spool file {file.path} is not what was written ({len(data)} bytes now).",
            hint=WRITTEN_AGAIN,
        )
    return data


def rejected_rows(rejections: pa.RecordBatch, *, source_ordinal: int) -> pa.RecordBatch:
    """Rows for `rejected_transactions` from a batch's `REJECTIONS`: those with a readable date.

    Columns `source_ordinal`, `source_offset`, `transaction_date`, `code`. A rejection without a
    date counts in no day's quality, so it stays in PostgreSQL's quarantine only.
    """
    dated = rejections.filter(pc.is_valid(rejections["record_date"]))
    schema = LOAD_SCHEMAS[LoadTable.REJECTED_TRANSACTIONS]
    return pa.RecordBatch.from_arrays(
        [
            pa.repeat(pa.scalar(source_ordinal, pa.int64()), dated.num_rows),
            dated["source_offset"],
            dated["record_date"],
            dated["code"],
        ],
        schema=schema.remove(schema.get_field_index("batch_id")),
    )


def parquet_writer(
    destination: pa.NativeFile | Path, schema: pa.Schema, compression: Compression = "zstd"
) -> pq.ParquetWriter:
    """A writer with the project's Parquet properties."""
    return pq.ParquetWriter(
        destination,
        schema,
        compression=compression,
        compression_level=1 if compression == "zstd" else None,
        use_dictionary=[name for name in schema.names if name in _DICTIONARY],
        coerce_timestamps="us",
        write_statistics=False,
        store_schema=False,
    )


def _write_durably(path: Path, data: pa.Buffer) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(memoryview(data))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    # The rename itself is durable only once the folder is.
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _warehouse_columns(
    records: pa.RecordBatch | pa.Table, table: LoadTable, batch_id: UUID | None
) -> pa.Table:
    """The columns of `LOAD_SCHEMAS`; a batch's own id is one value and an index, not a text a row.

    In the file it is text like any other. But what comes with its dictionary is not hashed again,
    row by row, to find that all rows have the same.
    """
    schema = LOAD_SCHEMAS[table]
    arrays = []
    for number, field in enumerate(schema):
        if field.name == _BATCH.name and batch_id is not None:
            indices = pa.repeat(pa.scalar(0, pa.int32()), records.num_rows)
            arrays.append(pa.DictionaryArray.from_arrays(indices, [str(batch_id)]))
            schema = schema.set(number, field.with_type(arrays[-1].type))
        elif field.name == "email":
            arrays.append(_masked(records["email"]))
        else:
            arrays.append(records[field.name])
    return pa.Table.from_arrays(arrays, schema=schema)


def _masked(emails: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Each address with all but the first character before its @ replaced by `***`."""
    return pc.replace_substring_regex(emails, pattern=r"^([^@])[^@]*@", replacement=r"\1***@")


def _dates(columns: pa.Table) -> tuple[date, ...]:
    if "transaction_date" not in columns.column_names:
        return ()
    days: list[date] = pc.unique(columns["transaction_date"]).to_pylist()
    return tuple(sorted(days))
