"""Uploads: multipart, resumable, interrupted and resumed.

https://cloud.google.com/bigquery/docs/reference/api-uploads
"""

import json

import pyarrow as pa
from google.cloud import bigquery

from tests.standin.conftest import Shop, parquet
from tests.standin.serving import PROJECT, Answer, request

ROWS = pa.table({"id": pa.array(range(1000), pa.int64())})


def begun(address: str, shop: Shop, job_id: str) -> str:
    """The address of a new resumable upload into the table `t`."""
    table = {"projectId": PROJECT, "datasetId": shop.dataset, "tableId": "t"}
    job = {
        "jobReference": {"projectId": PROJECT, "jobId": job_id},
        "configuration": {"load": {"destinationTable": table, "sourceFormat": "PARQUET"}},
    }
    path = f"/upload/bigquery/v2/projects/{PROJECT}/jobs?uploadType=resumable"
    answer = request(address, path, json.dumps(job).encode())
    assert answer.status == 200
    return answer.headers["Location"]


def test_an_upload_in_pieces_goes_on_where_it_was_interrupted(
    shop: Shop, standin_address: str
) -> None:
    data = parquet(ROWS).getvalue()
    size, half = len(data), len(data) // 2
    job_id = f"{shop.dataset}_pieces"
    place = begun(standin_address, shop, job_id)

    def put(piece: bytes, span: str) -> Answer:
        return request(
            standin_address, place, piece, method="PUT", Content_Range=f"bytes {span}/{size}"
        )

    arrived = f"bytes=0-{half - 1}"
    first = put(data[:half], f"0-{half - 1}")
    assert (first.status, first.headers["Range"]) == (308, arrived)
    # The client asks how far it is, and sends a piece again that has arrived already.
    assert put(b"", "*").headers["Range"] == arrived
    again = put(data[:half], f"0-{half - 1}")
    assert (again.status, again.headers["Range"]) == (308, arrived)
    last = put(data[half:], f"{half}-{size - 1}")
    assert (last.status, last.json()["jobReference"]["jobId"]) == (200, job_id)
    assert shop.client.get_job(job_id).result().output_rows == 1000


def test_the_client_uploads_large_files_in_pieces(shop: Shop) -> None:
    file = parquet(pa.table({"s": [f"{number:064x}" for number in range(30_000)]}))
    config = bigquery.LoadJobConfig(source_format="PARQUET")
    job = shop.client.load_table_from_file(file, shop.table("t"), job_config=config)
    assert job.result().output_rows == 30_000


def test_an_upload_that_nobody_began_is_not_found(standin_address: str) -> None:
    path = f"/upload/bigquery/v2/projects/{PROJECT}/jobs?uploadType=resumable&upload_id=x"
    answer = request(standin_address, path, b"x", method="PUT", Content_Range="bytes 0-0/1")
    assert (answer.status, answer.reason) == (404, "notFound")


def test_the_ninth_byte_is_not_taken_before_the_first(shop: Shop, standin_address: str) -> None:
    place = begun(standin_address, shop, f"{shop.dataset}_gap")
    answer = request(standin_address, place, b"xx", method="PUT", Content_Range="bytes 8-9/10")
    assert answer.status == 308
    assert "Range" not in answer.headers


def test_a_range_that_makes_no_sense_is_invalid(shop: Shop, standin_address: str) -> None:
    place = begun(standin_address, shop, f"{shop.dataset}_range")
    answer = request(standin_address, place, b"xx", method="PUT", Content_Range="bytes x")
    assert (answer.status, answer.reason) == (400, "invalid")
