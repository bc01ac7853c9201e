"""Uploads: multipart, resumable, interrupted and resumed.

https://cloud.google.com/bigquery/docs/reference/api-uploads
"""

import http.client
import json
from collections.abc import Callable
from urllib.parse import urlsplit

import pyarrow as pa
import pytest
from google.cloud import bigquery

from tests.standin.conftest import Shop, parquet
from tests.standin.serving import PROJECT

ROWS = pa.table({"id": pa.array(range(1000), pa.int64())})
Send = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def send(standin_address: str) -> Send:
    """Sends one request; returns status, headers and body."""

    def request(
        method: str, target: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(urlsplit(standin_address).netloc, timeout=10)
        path = target.removeprefix(standin_address)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        result = answer.status, dict(answer.headers), answer.read()
        connection.close()
        return result

    return request


def begun(send: Send, shop: Shop, job_id: str) -> str:
    """The address of a new resumable upload into the table `t`."""
    table = {"projectId": PROJECT, "datasetId": shop.dataset, "tableId": "t"}
    job = {
        "jobReference": {"projectId": PROJECT, "jobId": job_id},
        "configuration": {"load": {"destinationTable": table, "sourceFormat": "PARQUET"}},
    }
    path = f"/upload/bigquery/v2/projects/{PROJECT}/jobs?uploadType=resumable"
    status, headers, _ = send("POST", path, json.dumps(job).encode())
    assert status == 200
    return headers["Location"]


def test_an_upload_in_pieces_goes_on_where_it_was_interrupted(shop: Shop, send: Send) -> None:
    data = parquet(ROWS).getvalue()
    size, half = len(data), len(data) // 2
    address = begun(send, shop, f"{shop.dataset}_pieces")
    assert send("PUT", address, Content_Range=f"bytes */{size}")[:2][0] == 308
    status, headers, _ = send(
        "PUT", address, data[:half], Content_Range=f"bytes 0-{half - 1}/{size}"
    )
    assert (status, headers["Range"]) == (308, f"bytes=0-{half - 1}")
    # The client asks how far it is, and sends a piece again that has arrived already.
    assert (
        send("PUT", address, Content_Range=f"bytes */{size}")[1]["Range"] == f"bytes=0-{half - 1}"
    )
    again = send("PUT", address, data[:half], Content_Range=f"bytes 0-{half - 1}/{size}")
    assert (again[0], again[1]["Range"]) == (308, f"bytes=0-{half - 1}")
    status, _, body = send(
        "PUT", address, data[half:], Content_Range=f"bytes {half}-{size - 1}/{size}"
    )
    assert (status, json.loads(body)["jobReference"]["jobId"]) == (200, f"{shop.dataset}_pieces")
    assert shop.client.get_job(f"{shop.dataset}_pieces").result().output_rows == 1000


def test_the_client_uploads_large_files_in_pieces(shop: Shop) -> None:
    file = parquet(pa.table({"s": [f"{number:064x}" for number in range(30_000)]}))
    config = bigquery.LoadJobConfig(source_format="PARQUET")
    job = shop.client.load_table_from_file(file, shop.table("t"), job_config=config)
    assert job.result().output_rows == 30_000


def test_an_upload_that_nobody_began_is_not_found(send: Send) -> None:
    path = f"/upload/bigquery/v2/projects/{PROJECT}/jobs?uploadType=resumable&upload_id=x"
    status, _, body = send("PUT", path, b"x", Content_Range="bytes 0-0/1")
    assert (status, json.loads(body)["error"]["errors"][0]["reason"]) == (404, "notFound")


def test_the_ninth_byte_is_not_taken_before_the_first(shop: Shop, send: Send) -> None:
    address = begun(send, shop, f"{shop.dataset}_gap")
    status, headers, _ = send("PUT", address, b"xx", Content_Range="bytes 8-9/10")
    assert status == 308
    assert "Range" not in headers
