"""What the sink needs of a BigQuery client: a small blocking interface, free of Google's types.

`client.py` is the one implementation for real endpoints. Importing it takes half a second, so only
a worker thread does that; everything else here knows this interface alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import IO, Protocol

import pyarrow as pa

from techmart_fast.warehouse.schema import Column
from techmart_fast.warehouse.statements import Statement
from techmart_fast.warehouse.target import WarehouseTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFault:
    """Why a job failed: the service's reason word and its message (one line)."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job as the service describes it.

    `existed`: a job of this id was there when it was submitted. `rows` are those written by a load
    job or changed by a DML statement.
    """

    job_id: str
    done: bool
    fault: JobFault | None = None
    existed: bool = False
    rows: int = 0
    bytes_processed: int = 0
    bytes_billed: int = 0
    bytes_loaded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A dataset: `location` as `EU`; `tables_expire`: those made in it do, unless they say more."""

    location: str
    tables_expire: bool = False


class Service(Protocol):
    """The blocking calls, each bounded by the target's `request_timeout_seconds`.

    Every method may be called from any thread, and raises `WarehouseError` or
    `WarehouseAccessError`.
    """

    def tables(self) -> Mapping[str, Mapping[str, str]] | None:
        """Labels of every table and view of the dataset by name; None without the dataset.

        Sent once, without retries: it doubles as the probe.
        """

    def place(self) -> Place | None:
        """What the dataset says of itself; None without the dataset."""

    def days(self, table: str) -> frozenset[date]:
        """The values of `transaction_date` in a small table, by its rows: no query, no charge."""

    def create_dataset(self) -> None:
        """Make the dataset, unless it is there."""

    def column_names(self, table: str) -> frozenset[str]:
        """Names of a table's columns."""

    def set_label(self, table: str, name: str, value: str) -> None:
        """Set one label of a table."""

    def create_staging(self, table: str, columns: Sequence[Column]) -> None:
        """Make a staging table that expires by itself, unless it is there."""

    def row_count(self, table: str) -> int | None:
        """Rows of a table by its metadata; None without the table."""

    def drop_table(self, table: str) -> None:
        """Drop a table, if it is there."""

    def submit_query(
        self, statement: Statement, *, job_id: str, labels: Mapping[str, str]
    ) -> JobState:
        """Submit a statement; a job that has this id already is returned as it is."""

    def dry_run(self, statement: Statement) -> int:
        """Bytes that a statement would read; nothing is done and nothing billed."""

    def submit_load(
        self,
        data: IO[bytes],
        *,
        size_bytes: int,
        table: str,
        columns: Sequence[Column],
        job_id: str,
        labels: Mapping[str, str],
    ) -> JobState:
        """Upload Parquet and submit its load job (append); as `submit_query` for a known id."""

    def put_object(self, name: str, data: bytes) -> str:
        """Put an object into the staging bucket; returns its `gs://` address."""

    def delete_objects(self, names: Sequence[str]) -> None:
        """Delete objects of the staging bucket, those that are there."""

    def submit_object_load(
        self,
        uris: Sequence[str],
        *,
        table: str,
        columns: Sequence[Column],
        job_id: str,
        labels: Mapping[str, str],
    ) -> JobState:
        """Submit a load job of Parquet objects (append); as `submit_query` for a known id."""

    def job(self, job_id: str) -> JobState:
        """A job's present state."""

    def cancel(self, job_id: str) -> None:
        """Ask the service to cancel a job; it may end well all the same."""

    def result(self, job_id: str) -> pa.Table:
        """The rows of a finished query."""

    def close(self) -> None:
        """Close the connections."""


Connect = Callable[[WarehouseTarget], Service]
