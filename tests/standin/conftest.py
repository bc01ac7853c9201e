"""One stand-in for the session; every test has a dataset of its own."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.cloud import bigquery

from techmart_fast.standin.storage import Storage
from tests.standin.serving import MIB, PROJECT, client_of, serving

_NUMBERS = count(1)


@dataclass(frozen=True)
class Shop:
    """A client and the dataset of one test; names without a dataset mean it."""

    client: bigquery.Client
    dataset: str

    def query(self, sql: str, *parameters: object, **options: object) -> bigquery.table.RowIterator:
        """Run a statement and wait for its result."""
        return self.job(sql, *parameters, **options).result()

    def job(self, sql: str, *parameters: object, **options: object) -> bigquery.QueryJob:
        """Insert a query job with the dataset as its default."""
        job_id = options.pop("job_id", None)
        config = bigquery.QueryJobConfig(
            default_dataset=f"{PROJECT}.{self.dataset}", query_parameters=parameters, **options
        )
        # A failure is the answer that a test wants, not a reason to try again.
        return self.client.query(sql, job_config=config, job_id=job_id, job_retry=None, retry=None)

    def rows(self, sql: str, *parameters: object, **options: object) -> list[tuple[object, ...]]:
        """The rows of a query as tuples."""
        return [row.values() for row in self.query(sql, *parameters, **options)]

    def value(self, sql: str, *parameters: object) -> object:
        """The only value of a query."""
        ((value,),) = self.rows(sql, *parameters)
        return value

    def table(self, name: str) -> str:
        """The full name of a table in the dataset."""
        return f"{PROJECT}.{self.dataset}.{name}"

    def load(
        self, rows: pa.Table, name: str, *, job_id: str | None = None, **options: object
    ) -> bigquery.LoadJob:
        """Load rows as a Parquet file and wait for the job's end."""
        inference = bigquery.ParquetOptions()
        inference.enable_list_inference = True
        config = bigquery.LoadJobConfig(
            source_format="PARQUET", parquet_options=inference, **options
        )
        file = parquet(rows)
        job = self.client.load_table_from_file(
            file, self.table(name), size=file.getbuffer().nbytes, job_config=config, job_id=job_id
        )
        return job.result(retry=None)


def parquet(rows: pa.Table) -> io.BytesIO:
    """A Parquet file in memory."""
    file = io.BytesIO()
    pq.write_table(rows, file, compression="zstd")
    file.seek(0)
    return file


@pytest.fixture(scope="session")
def standin_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("standin"), with_faults=True) as address:
        yield address


@pytest.fixture(scope="session")
def standin_client(standin_address: str) -> Iterator[bigquery.Client]:
    with client_of(standin_address) as client:
        yield client


@pytest.fixture
def shop(standin_client: bigquery.Client) -> Shop:
    dataset = f"shop_{next(_NUMBERS)}"
    standin_client.create_dataset(f"{PROJECT}.{dataset}")
    return Shop(standin_client, dataset)


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """The engine alone, with its functions."""
    with Storage(tmp_path_factory.mktemp("engine"), memory_bytes=256 * MIB) as opened:
        yield opened


@pytest.fixture
def new_home(tmp_path: Path) -> Callable[[], Path]:
    """Folders for stand-ins of the test's own."""
    numbers = count(1)
    return lambda: tmp_path / f"standin{next(numbers)}"
