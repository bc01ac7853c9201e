"""Uploads of load jobs through the client's own transport."""

import io

import pyarrow as pa
import pytest
import requests
from google.cloud import bigquery
from google.resumable_media.requests import ResumableUpload

from tests.standin.conftest import Shop, parquet
from tests.standin.serving import PROJECT

UPLOADS = pytest.mark.page("https://cloud.google.com/bigquery/docs/reference/api-uploads")
CHUNK = 256 * 1024
# Digits that do not repeat: the file stays large.
LARGE = pa.table({"n": pa.array([pow(7, i, 2**31 - 1) for i in range(1_500_000)], pa.int64())})


@UPLOADS
def test_a_small_file_is_sent_in_one_request(shop: Shop) -> None:
    assert shop.load(pa.table({"id": [1, 2]}), "t").output_rows == 2


@UPLOADS
def test_a_file_of_more_than_five_mebibytes_is_sent_resumably(shop: Shop) -> None:
    assert parquet(LARGE).getbuffer().nbytes > 5 << 20
    job = shop.load(LARGE, "t")
    assert (job.output_rows, job.input_files) == (1_500_000, 1)
    assert shop.value("SELECT SUM(n) FROM t") == sum(LARGE["n"].to_pylist())


@UPLOADS
@pytest.mark.parametrize("break_at", [1, 2])
def test_an_interrupted_upload_is_recovered_and_goes_on(
    shop: Shop, standin_address: str, break_at: int
) -> None:
    data = parquet(LARGE.slice(0, 100_000)).getvalue()
    assert len(data) > 2 * CHUNK
    job_id = f"{shop.dataset}_resumed"
    upload, session = begun(shop, standin_address, data, job_id)
    with session:
        for _ in range(break_at):
            upload.transmit_next_chunk(session)
        upload._invalid = True  # as the class marks itself when a connection breaks
        upload._stream.seek(0)
        upload.recover(session)
        assert upload.bytes_uploaded == break_at * CHUNK
        while not upload.finished:
            upload.transmit_next_chunk(session)
    assert shop.client.get_job(job_id).result(retry=None).output_rows == 100_000
    assert shop.value("SELECT SUM(n) FROM t") == sum(LARGE["n"][:100_000].to_pylist())


@UPLOADS
def test_nothing_is_loaded_before_the_last_byte(shop: Shop, standin_address: str) -> None:
    data = parquet(LARGE.slice(0, 100_000)).getvalue()
    upload, session = begun(shop, standin_address, data, f"{shop.dataset}_unfinished")
    with session:
        upload.transmit_next_chunk(session)
    assert not upload.finished
    assert list(shop.client.list_tables(shop.dataset)) == []


def begun(
    shop: Shop, address: str, data: bytes, job_id: str
) -> tuple[ResumableUpload, requests.Session]:
    """A resumable upload into the table `t`, of which no byte was sent yet."""
    config = bigquery.LoadJobConfig(source_format="PARQUET")
    target = bigquery.TableReference.from_string(shop.table("t"))
    resource = bigquery.LoadJob(
        bigquery.job._JobReference(job_id, PROJECT, None), None, target, shop.client, config
    ).to_api_repr()
    upload = ResumableUpload(
        f"{address}/upload/bigquery/v2/projects/{PROJECT}/jobs?uploadType=resumable", CHUNK
    )
    session = requests.Session()
    upload.initiate(session, io.BytesIO(data), resource, "*/*")
    return upload, session
