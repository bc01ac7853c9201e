"""Loads from Cloud Storage: objects come through the official client, and load jobs read them.

https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet
"""

import io
import os
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from tests.standin.conftest import Shop
from tests.standin.serving import PROJECT

MIB = 1 << 20


def parquet(*numbers: int, ballast: int = 0) -> bytes:
    """A file with one row for each number."""
    columns = {"id": pa.array(numbers, pa.int64())}
    if ballast:
        columns["ballast"] = pa.array([os.urandom(ballast) for _ in numbers], pa.binary())
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


@pytest.fixture
def bucket(standin_address: str, shop: Shop) -> Iterator[storage.Bucket]:
    """A bucket of the test's own."""
    client = storage.Client(
        PROJECT, AnonymousCredentials(), client_options={"api_endpoint": standin_address}
    )
    yield client.create_bucket(f"bucket-{shop.dataset}".replace("_", "-"))
    client.close()


def put(bucket: storage.Bucket, name: str, data: bytes) -> str:
    """An object's address."""
    blob = bucket.blob(name)
    blob.upload_from_string(data, "application/octet-stream")
    assert blob.size == len(data)
    return f"gs://{bucket.name}/{name}"


def load(shop: Shop, *uris: str, write: str = "WRITE_APPEND") -> bigquery.LoadJob:
    config = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition=write)
    job = shop.client.load_table_from_uri(
        list(uris), f"{PROJECT}.{shop.dataset}.t", job_config=config
    )
    job.result(retry=None)
    return job


def test_one_job_loads_several_objects(shop: Shop, bucket: storage.Bucket) -> None:
    uris = [put(bucket, f"day one/{n}.parquet", parquet(n, n + 10)) for n in range(3)]
    job = load(shop, *uris)
    assert (job.output_rows, job.input_files) == (6, 3)
    load(shop, uris[0])
    assert shop.value("SELECT COUNT(*) FROM t") == 8
    load(shop, *uris[1:], write="WRITE_TRUNCATE")
    assert shop.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,), (11,), (12,)]


def test_a_large_object_comes_in_pieces(shop: Shop, bucket: storage.Bucket) -> None:
    data = parquet(*range(9), ballast=MIB)
    assert len(data) > 8 * MIB  # the client sends less than that at once
    load(shop, put(bucket, "large", data))
    assert shop.value("SELECT COUNT(*) FROM t") == 9


def test_a_load_of_a_missing_object_is_not_found_and_loads_nothing(
    shop: Shop, bucket: storage.Bucket
) -> None:
    there = put(bucket, "there", parquet(1))
    with pytest.raises(NotFound, match="not_there"):
        load(shop, there, f"gs://{bucket.name}/not_there")
    with pytest.raises(NotFound):
        shop.value("SELECT COUNT(*) FROM t")
    with pytest.raises(BadRequest, match="Invalid source URI"):
        load(shop, "s3://other/file")


def test_of_two_files_one_of_which_does_not_fit_none_is_loaded(
    shop: Shop, bucket: storage.Bucket
) -> None:
    load(shop, put(bucket, "first", parquet(1)))
    good, bad = put(bucket, "good", parquet(2)), put(bucket, "bad", parquet(3, ballast=1))
    with pytest.raises(BadRequest, match="ballast"):
        load(shop, good, bad)
    assert shop.rows("SELECT id FROM t") == [(1,)]


def test_an_object_is_replaced_and_deleted(shop: Shop, bucket: storage.Bucket) -> None:
    for numbers in ((1,), (2, 3)):
        uri = put(bucket, "same", parquet(*numbers))
    load(shop, uri)
    assert shop.rows("SELECT id FROM t ORDER BY id") == [(2,), (3,)]
    bucket.blob("same").delete()
    assert not bucket.blob("same").exists()
    with pytest.raises(NotFound):
        bucket.blob("same").delete()
    # What was loaded stays.
    assert shop.value("SELECT COUNT(*) FROM t") == 2


def test_a_bucket_is_made_once_and_must_be_there(bucket: storage.Bucket) -> None:
    with pytest.raises(Conflict):
        bucket.client.create_bucket(bucket.name)
    with pytest.raises(NotFound):
        put(bucket.client.bucket("not-there"), "name", b"")
