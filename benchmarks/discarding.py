"""An endpoint that accepts and discards: BigQuery's side of a run, without its work.

It takes all that a run sends (uploads whole, to their last byte) and answers at once: every job is
done, every query has no rows. So a run against it measures the loader alone: both of its legs, with
the real client, and nothing that BigQuery would do on its own machines. Of what is sent it keeps
counts, from the footers of the Parquet files.

    python -m benchmarks.discarding --credentials FILE

writes a key that this endpoint takes, prints its address as JSON, and serves on loopback until it
is ended.
"""

import argparse
import asyncio
import gzip
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from aiohttp import BodyPartReader, web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

PROJECT = "discarded"
_ANSWERED = (
    ("transaction_date", "DATE"),
    ("kind", "STRING"),
    ("bucket", "INTEGER"),
    ("basis", "STRING"),
)
"""Columns of every answer: all that the loader's own queries ask for. There are no rows."""

_DEFINED = re.compile(r"CREATE (?:TABLE IF NOT EXISTS|OR REPLACE VIEW) (?:\w+\.)?(\w+)")
_LABEL = re.compile(r'\("(\w+)", "(\w+)"\)')
_MOST_BYTES = 1 << 30
Body = dict[str, Any]


@dataclass(slots=True)
class _Table:
    labels: dict[str, str] = field(default_factory=dict)
    rows: int = 0


class Discarding:
    """What was made: datasets, and of their tables the labels and numbers of rows."""

    def __init__(self) -> None:
        self._datasets: dict[str, Body] = {}
        self._tables: dict[str, dict[str, _Table]] = {}
        self._jobs: dict[str, Body] = {}
        self._uploads: dict[str, tuple[Body, bytearray]] = {}
        self._bytes = 0
        self._rows = 0

    def app(self) -> web.Application:
        """The routes of the REST API that a run uses."""
        app = web.Application(client_max_size=_MOST_BYTES)
        project = f"/bigquery/v2/projects/{PROJECT}"
        dataset = project + "/datasets/{dataset}"
        add = app.router
        add.add_post("/token", self._token)
        add.add_get("/received", self._received)
        add.add_get(dataset, self._get_dataset)
        add.add_post(f"{project}/datasets", self._make_dataset)
        add.add_get(f"{dataset}/tables", self._list_tables)
        add.add_post(f"{dataset}/tables", self._make_table)
        for method in ("GET", "PATCH", "DELETE"):
            add.add_route(method, dataset + "/tables/{table}", self._table)
        add.add_post(f"{project}/jobs", self._run_query)
        add.add_get(project + "/jobs/{job}", self._get_job)
        add.add_get(project + "/queries/{job}", self._result)
        add.add_post(f"/upload{project}/jobs", self._begin_upload)
        add.add_put(f"/upload{project}/jobs", self._finish_upload)
        return app

    async def _token(self, _request: web.Request) -> web.Response:
        answer = {"access_token": "any", "token_type": "Bearer", "expires_in": 3600}
        return web.json_response(answer)

    async def _received(self, _request: web.Request) -> web.Response:
        return web.json_response({"bytes": self._bytes, "rows": self._rows})

    async def _get_dataset(self, request: web.Request) -> web.Response:
        found = self._datasets.get(request.match_info["dataset"])
        return _not_found() if found is None else web.json_response(found)

    async def _make_dataset(self, request: web.Request) -> web.Response:
        made = {"location": "US", **await _body(request)}
        name = made["datasetReference"]["datasetId"]
        self._datasets[name], self._tables[name] = made, {}
        return web.json_response(made)

    async def _list_tables(self, request: web.Request) -> web.Response:
        dataset = request.match_info["dataset"]
        if dataset not in self._datasets:
            return _not_found()
        names = sorted(self._tables[dataset])
        tables = [self._described(dataset, name) for name in names]
        return web.json_response({"tables": tables, "totalItems": len(tables)})

    async def _make_table(self, request: web.Request) -> web.Response:
        body = await _body(request)
        dataset, name = request.match_info["dataset"], body["tableReference"]["tableId"]
        self._tables[dataset].setdefault(name, _Table(dict(body.get("labels") or {})))
        return web.json_response(self._described(dataset, name))

    async def _table(self, request: web.Request) -> web.Response:
        dataset, name = request.match_info["dataset"], request.match_info["table"]
        tables = self._tables.get(dataset, {})
        if name not in tables:
            return _not_found()
        if request.method == "DELETE":
            del tables[name]
            return web.Response(status=204)
        if request.method == "PATCH":
            tables[name].labels = dict((await _body(request)).get("labels") or {})
        return web.json_response(self._described(dataset, name))

    async def _run_query(self, request: web.Request) -> web.Response:
        body = await _body(request)
        query = body["configuration"]["query"]["query"]
        if (defined := _DEFINED.search(query)) is not None:
            dataset = body["configuration"]["query"]["defaultDataset"]["datasetId"]
            labels = dict(_LABEL.findall(query))
            self._tables[dataset].setdefault(defined[1], _Table(labels))
        kind = "MERGE" if "MERGE " in query else "SELECT"
        statistics = {
            "statementType": kind if defined is None else "CREATE_TABLE",
            "totalBytesProcessed": "0",
            "totalBytesBilled": "0",
            "numDmlAffectedRows": "0",
        }
        return web.json_response(self._done(body, query=statistics))

    async def _get_job(self, request: web.Request) -> web.Response:
        job = self._jobs.get(request.match_info["job"])
        return _not_found() if job is None else web.json_response(job)

    async def _result(self, request: web.Request) -> web.Response:
        job = self._jobs.get(request.match_info["job"])
        if job is None:
            return _not_found()
        fields = [{"name": name, "type": kind} for name, kind in _ANSWERED]
        answer = {
            "jobComplete": True,
            "jobReference": job["jobReference"],
            "schema": {"fields": fields},
            "totalRows": "0",
        }
        return web.json_response(answer)

    async def _begin_upload(self, request: web.Request) -> web.Response:
        if request.query.get("uploadType") == "multipart":
            reader = await request.multipart()
            told = await reader.next()
            assert isinstance(told, BodyPartReader)
            body = json.loads(bytes(await told.read()))
            data = await reader.next()
            assert isinstance(data, BodyPartReader)
            return self._loaded(body, bytes(await data.read()))
        body = await _body(request)
        name = body["jobReference"]["jobId"]
        self._uploads[name] = (body, bytearray())
        place = request.url.with_query({"upload_id": name})
        return web.Response(headers={"Location": str(place)})

    async def _finish_upload(self, request: web.Request) -> web.Response:
        body, received = self._uploads[request.query["upload_id"]]
        received += await request.read()
        size = request.headers["Content-Range"].rpartition("/")[2]
        if size == "*" or len(received) < int(size):
            # Chunks of a resumable upload: https://cloud.google.com/bigquery/docs/reference/api-uploads
            return web.Response(status=308, headers={"Range": f"bytes=0-{len(received) - 1}"})
        del self._uploads[request.query["upload_id"]]
        return self._loaded(body, bytes(received))

    def _loaded(self, body: Body, data: bytes) -> web.Response:
        rows = pq.read_metadata(pa.BufferReader(data)).num_rows
        self._bytes += len(data)
        self._rows += rows
        target = body["configuration"]["load"]["destinationTable"]
        self._tables[target["datasetId"]][target["tableId"]].rows += rows
        statistics = {
            "inputFiles": "1",
            "inputFileBytes": str(len(data)),
            "outputRows": str(rows),
            "outputBytes": str(len(data)),
        }
        return web.json_response(self._done(body, load=statistics))

    def _done(self, body: Body, **statistics: Mapping[str, str]) -> Body:
        reference = {"projectId": PROJECT, "location": "US", **body["jobReference"]}
        now = "1700000000000"
        times = {"creationTime": now, "startTime": now, "endTime": now}
        job = {
            "kind": "bigquery#job",
            "id": f"{PROJECT}:US.{reference['jobId']}",
            "jobReference": reference,
            "configuration": body["configuration"],
            "status": {"state": "DONE"},
            "statistics": {**times, **statistics},
        }
        self._jobs[reference["jobId"]] = job
        return job

    def _described(self, dataset: str, name: str) -> Body:
        table = self._tables[dataset][name]
        reference = {"projectId": PROJECT, "datasetId": dataset, "tableId": name}
        return {
            "tableReference": reference,
            "labels": table.labels,
            "numRows": str(table.rows),
            "etag": "any",
            "schema": {"fields": [{"name": one, "type": kind} for one, kind in _ANSWERED]},
        }


async def _body(request: web.Request) -> Body:
    data = await request.read()
    # aiohttp has taken off what the header says; the client may send it without one.
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    read: Body = json.loads(data or b"{}")
    return read


def _not_found() -> web.Response:
    text = "Not found"
    error = {"code": 404, "message": text, "errors": [{"reason": "notFound", "message": text}]}
    return web.json_response({"error": error}, status=404)


def write_key(path: Path, address: str) -> None:
    """Write the key of a service account whose tokens this endpoint gives out, and nobody else."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    content = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "discarding",
        "private_key": text.decode(),
        "client_email": f"loader@{PROJECT}.invalid",
        "token_uri": f"{address}/token",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content))


def environment(address: str, credentials: Path) -> Mapping[str, str]:
    """The environment variables that bring a run to this endpoint."""
    return {
        "BIGQUERY_PROJECT_ID": PROJECT,
        "BIGQUERY_API_ENDPOINT": address,
        "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
    }


async def _serve(credentials: Path) -> None:
    runner = web.AppRunner(Discarding().app(), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        write_key(credentials, address)
        print(json.dumps({"url": address, "pid": os.getpid()}), flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Serve until ended."""
    description = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="benchmarks.discarding", description=description)
    parser.add_argument(
        "--credentials", type=Path, required=True, help="file to write a key to that is taken here"
    )
    try:
        asyncio.run(_serve(parser.parse_args().credentials))
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
