"""The official BigQuery client behind the sink's blocking interface: one for many threads."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from techmart_fast.warehouse.calls import Calls
from techmart_fast.warehouse.credentials import credentials, local_session
from techmart_fast.warehouse.rest_rows import table_of
from techmart_fast.warehouse.schema import Column
from techmart_fast.warehouse.service import JobState, Place
from techmart_fast.warehouse.statements import Statement
from techmart_fast.warehouse.target import WarehouseTarget
from techmart_fast.warehouse.wire import job_state, load_schema, query_parameter

if TYPE_CHECKING:
    from techmart_fast.warehouse.bucket import StagingBucket

STAGING_DAYS = 7
"""A staging table lives as long as time travel: long enough to look into a failed load."""

LABEL_ATTEMPTS = 5
"""Two first runs of one dataset may label its tables at the same time."""

UPLOAD_RETRIES = 2
"""Of one request of an upload; a failed upload is then sent again as a whole, by its job id."""


def _never(_error: Exception) -> bool:
    return False


_ONCE = Retry(predicate=_never)

# The library gives it no types.
_query_job: Callable[..., bigquery.QueryJob] = bigquery.QueryJob.from_api_repr


def connect(target: WarehouseTarget) -> "GoogleService":
    """Build a client for the target. Nothing is sent.

    Raises:
        WarehouseAccessError: no credentials, or a key file that can't be used.
    """
    options = {"api_endpoint": target.api_endpoint} if target.api_endpoint else None
    own = credentials(target)
    client = bigquery.Client(
        project=target.project,
        credentials=own,
        location=target.location,
        client_options=options,
        _http=local_session(target, own),
    )
    bucket = None
    if target.staging_bucket is not None:
        # Imported for those who use it: it takes a while.
        module = import_module("techmart_fast.warehouse.bucket")
        bucket = module.staging_bucket(target, own)
    return GoogleService(client, target, bucket=bucket)


_LOCAL_SECONDS = 5.0


def _parameters(statement: Statement) -> list[Any]:
    return [query_parameter(name, value) for name, value in statement.parameters.items()]


def _load_config(columns: Sequence[Column], labels: Mapping[str, str]) -> bigquery.LoadJobConfig:
    parquet = bigquery.ParquetOptions.from_api_repr({"enableListInference": True})
    return bigquery.LoadJobConfig(
        source_format=bigquery.SourceFormat.PARQUET,
        parquet_options=parquet,
        schema=load_schema(columns),
        write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
        create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        labels=dict(labels),
    )


class GoogleService:
    """`Service` over `google.cloud.bigquery.Client`."""

    def __init__(
        self,
        client: bigquery.Client,
        target: WarehouseTarget,
        *,
        bucket: "StagingBucket | None" = None,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._call = Calls(target.api_endpoint or "bigquery.googleapis.com")
        self._target = target
        self._timeout = target.request_timeout_seconds
        # The client's own retries last ten minutes, which looks like a hang. A stand-in is on this
        # machine: if it takes no connections, it is gone.
        patience = min(self._timeout, _LOCAL_SECONDS) if target.anonymous else self._timeout
        self._retry: Retry = DEFAULT_RETRY.with_timeout(patience)
        self._dataset = bigquery.DatasetReference(target.project, target.dataset)

    def tables(self) -> Mapping[str, Mapping[str, str]] | None:
        """Labels of all tables and views by name; one request, no retries."""

        def listed() -> Mapping[str, Mapping[str, str]] | None:
            try:
                tables = self._client.list_tables(
                    self._dataset, retry=_ONCE, timeout=self._timeout, page_size=1000
                )
                return {table.table_id: dict(table.labels) for table in tables}
            except api.NotFound:
                return None

        return self._call(f"list the dataset {self._target.dataset}", listed)

    def place(self) -> Place | None:
        """Where the dataset is, None without one; one request, no retries."""

        def asked() -> Place | None:
            try:
                found = self._client.get_dataset(self._dataset, retry=_ONCE, timeout=self._timeout)
            except api.NotFound:
                return None
            lives = (
                found.default_table_expiration_ms,
                found.default_partition_expiration_ms,
            )
            return Place(location=str(found.location), tables_expire=any(lives))

        return self._call(f"look at the dataset {self._target.dataset}", asked)

    def days(self, table: str) -> frozenset[datetime.date]:
        """The days that a small table's rows name."""
        column = bigquery.SchemaField("transaction_date", "DATE")

        def listed() -> frozenset[datetime.date]:
            rows = self._client.list_rows(
                self._dataset.table(table),
                selected_fields=[column],
                retry=self._retry,
                timeout=self._timeout,
            )
            return frozenset(row["transaction_date"] for row in rows)

        return self._call(f"read the days of {table}", listed)

    def create_dataset(self) -> None:
        """Make the dataset, unless it is there."""
        dataset = bigquery.Dataset(self._dataset)
        dataset.location = self._target.location
        dataset.labels = {"app": "techmart"}
        self._call(
            f"create the dataset {self._target.dataset}",
            lambda: self._client.create_dataset(
                dataset, exists_ok=True, retry=self._retry, timeout=self._timeout
            ),
        )

    def column_names(self, table: str) -> frozenset[str]:
        """Names of a table's columns."""
        found = self._call(f"describe {table}", lambda: self._get_table(table))
        return frozenset(field.name for field in found.schema)

    def set_label(self, table: str, name: str, value: str) -> None:
        """Set one label of a table."""

        def changed() -> None:
            for left in reversed(range(LABEL_ATTEMPTS)):
                found = self._get_table(table)
                if found.labels.get(name) == value:
                    return
                found.labels = {**found.labels, name: value}
                try:
                    self._client.update_table(
                        found, ["labels"], retry=self._retry, timeout=self._timeout
                    )
                except api.PreconditionFailed:
                    # Another run changed the table since it was read.
                    if not left:
                        raise
                else:
                    return

        self._call(f"label {table}", changed)

    def create_staging(self, table: str, columns: Sequence[Column]) -> None:
        """Make a staging table that expires after `STAGING_DAYS`."""
        staging = bigquery.Table(self._dataset.table(table), schema=load_schema(columns))
        staging.expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(
            days=STAGING_DAYS
        )
        staging.labels = {"app": "techmart"}
        self._call(
            f"create {table}",
            lambda: self._client.create_table(
                staging, exists_ok=True, retry=self._retry, timeout=self._timeout
            ),
        )

    def row_count(self, table: str) -> int | None:
        """Rows by the metadata; None without the table."""

        def counted() -> int | None:
            try:
                return int(self._get_table(table).num_rows or 0)
            except api.NotFound:
                return None

        return self._call(f"describe {table}", counted)

    def drop_table(self, table: str) -> None:
        """Drop a table, if it is there."""
        self._call(
            f"drop {table}",
            lambda: self._client.delete_table(
                self._dataset.table(table),
                not_found_ok=True,
                retry=self._retry,
                timeout=self._timeout,
            ),
        )

    def submit_query(
        self, statement: Statement, *, job_id: str, labels: Mapping[str, str]
    ) -> JobState:
        """Submit a statement, or find its job."""
        config = bigquery.QueryJobConfig(
            default_dataset=self._dataset,
            query_parameters=_parameters(statement),
            maximum_bytes_billed=self._target.maximum_bytes_billed,
            labels=dict(labels),
            use_legacy_sql=False,
        )
        return self._submit(
            f"run {statement.name}",
            job_id,
            lambda: self._client.query(
                statement.sql,
                job_config=config,
                job_id=job_id,
                location=self._target.location,
                retry=self._retry,
                job_retry=None,
                timeout=self._timeout,
            ),
        )

    def dry_run(self, statement: Statement) -> int:
        """Bytes that a statement would read."""
        config = bigquery.QueryJobConfig(
            default_dataset=self._dataset,
            query_parameters=_parameters(statement),
            dry_run=True,
            use_query_cache=False,
            use_legacy_sql=False,
        )

        def asked() -> int:
            job = self._client.query(
                statement.sql,
                job_config=config,
                location=self._target.location,
                retry=self._retry,
                job_retry=None,
                timeout=self._timeout,
            )
            return int(job.total_bytes_processed or 0)

        return self._call(f"plan {statement.name}", asked)

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
        """Upload Parquet and submit its load job, or find the job."""
        config = _load_config(columns, labels)
        return self._submit(
            f"load {table}",
            job_id,
            lambda: self._client.load_table_from_file(
                data,
                self._dataset.table(table),
                rewind=True,
                size=size_bytes,
                num_retries=UPLOAD_RETRIES,
                job_id=job_id,
                location=self._target.location,
                job_config=config,
                timeout=self._timeout,
            ),
        )

    def put_object(self, name: str, data: bytes) -> str:
        """Put an object into the staging bucket."""
        return self._staging().put(name, data)

    def delete_objects(self, names: Sequence[str]) -> None:
        """Delete objects of the staging bucket."""
        self._staging().delete(names)

    def submit_object_load(
        self,
        uris: Sequence[str],
        *,
        table: str,
        columns: Sequence[Column],
        job_id: str,
        labels: Mapping[str, str],
    ) -> JobState:
        """Submit a load job of objects, or find it."""
        return self._submit(
            f"load {table}",
            job_id,
            lambda: self._client.load_table_from_uri(
                list(uris),
                self._dataset.table(table),
                job_id=job_id,
                location=self._target.location,
                job_config=_load_config(columns, labels),
                retry=self._retry,
                timeout=self._timeout,
            ),
        )

    def job(self, job_id: str) -> JobState:
        """A job's present state."""
        return job_state(self._call(f"look up the job {job_id}", lambda: self._get_job(job_id)))

    def cancel(self, job_id: str) -> None:
        """Ask the service to cancel a job, once: it may be what does not answer."""
        self._call(
            f"cancel the job {job_id}",
            lambda: self._client.cancel_job(
                job_id, location=self._target.location, retry=_ONCE, timeout=self._timeout
            ),
        )

    def result(self, job_id: str) -> pa.Table:
        """The rows of a finished query."""

        def fetched() -> pa.Table:
            rows = self._finished(job_id).result(
                retry=self._retry, job_retry=None, timeout=self._timeout
            )
            return table_of(rows.schema, (page.raw_page for page in rows.pages))

        return self._call(f"fetch the result of {job_id}", fetched)

    def close(self) -> None:
        """Close the connections."""
        close: Callable[[], object] = self._client.close
        close()
        if self._bucket is not None:
            self._bucket.close()

    def _staging(self) -> "StagingBucket":
        if self._bucket is None:
            raise RuntimeError("there is no staging bucket")
        return self._bucket

    def _submit(self, doing: str, job_id: str, send: Callable[[], Any]) -> JobState:
        def submitted() -> JobState:
            try:
                return job_state(send())
            except api.Conflict:
                # Known to the service: from an earlier run, or accepted though its answer was lost.
                return job_state(self._get_job(job_id), existed=True)

        return self._call(doing, submitted)

    def _get_table(self, table: str) -> bigquery.Table:
        return self._client.get_table(
            self._dataset.table(table), retry=self._retry, timeout=self._timeout
        )

    def _finished(self, job_id: str) -> Any:
        """The client's object for a query that is known to have finished: it need not be asked."""
        reference = {
            "projectId": self._client.project,
            "jobId": job_id,
            "location": self._target.location,
        }
        known = {"jobReference": reference, "configuration": {"query": {}}}
        return _query_job({**known, "status": {"state": "DONE"}}, self._client)

    def _get_job(self, job_id: str) -> Any:  # one of the client's four job classes
        return self._client.get_job(
            job_id, location=self._target.location, retry=self._retry, timeout=self._timeout
        )
