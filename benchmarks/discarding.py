"""A BigQuery endpoint that accepts everything and keeps nothing: what is measured is the loader.

    python -m benchmarks.discarding

It prints the settings that send a run to it, then serves until it is stopped. Uploads are really
received; of a file only the footer is kept, long enough to count its rows, as the loader compares
them with what it sent. Load jobs and statements are done at once. Queries find no rows, and what a
run does not ask is refused rather than guessed. Nothing leaves this machine: it listens on the
loopback address, and its credentials are a token that never expires and opens nothing.
"""

import argparse
import asyncio
import json
import re
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from aiohttp import BodyPartReader, MultipartReader, web

from benchmarks.discarded import PROJECT, Body, State, Upload, columns_of
from techmart_fast.dev.catalog_server.loopback import is_loopback_host
from techmart_fast.standin.failure import ServiceError

HOST = "127.0.0.1"

CREDENTIALS = {
    "type": "authorized_user",
    "client_id": "nobody",
    "client_secret": "none",
    "refresh_token": "none",
    "token": "discarded",
    "expiry": "9999-01-01T00:00:00Z",
}
"""A login that lasts: the client sends its token and never asks Google for another."""

_CHUNK_BYTES = 1 << 18
_JSON_BYTES = 16 << 20
_MADE = re.compile(r"CREATE (?:TABLE IF NOT EXISTS|OR REPLACE VIEW) (\w+)")
_LABEL = re.compile(r'\("(\w+)", "(\w+)"\)')
_RANGE = re.compile(r"bytes (?:\d+-(\d+)|\*)/(\d+|\*)")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATE: web.AppKey[State] = web.AppKey("state", State)
routes = web.RouteTableDef()
_PROJECT = "/bigquery/v2/projects/{project}"
_DATASET = _PROJECT + "/datasets/{dataset}"
_TABLE = _DATASET + "/tables/{table}"
_UPLOAD = "/upload/bigquery/v2/projects/{project}/jobs"


def _answer(body: object, *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


async def _json(request: web.Request) -> Body:
    body: Body = orjson.loads(await request.read() or b"{}")
    return body


@routes.get("/")
async def _about(request: web.Request) -> web.Response:
    return _answer(asdict(request.app[STATE].tally))


@routes.get(_DATASET)
async def _dataset(request: web.Request) -> web.Response:
    name = request.match_info["dataset"]
    if name not in request.app[STATE].datasets:
        raise ServiceError("notFound", f"Not found: Dataset {name}")
    return _answer(request.app[STATE].datasets[name])


@routes.post(_PROJECT + "/datasets")
async def _make_dataset(request: web.Request) -> web.Response:
    body = await _json(request)
    request.app[STATE].datasets[body["datasetReference"]["datasetId"]] = body
    return _answer(body)


@routes.get(_DATASET + "/tables")
async def _tables(request: web.Request) -> web.Response:
    state, name = request.app[STATE], request.match_info["dataset"]
    if name not in state.datasets:
        raise ServiceError("notFound", f"Not found: Dataset {name}")
    tables = [one for key, one in state.tables.items() if key.partition(".")[0] == name]
    return _answer({"tables": tables, "totalItems": len(tables)})


@routes.post(_DATASET + "/tables")
async def _make_table(request: web.Request) -> web.Response:
    body = await _json(request)
    name, details = body["tableReference"]["tableId"], dict(body)
    dataset = request.match_info["dataset"]
    return _answer(request.app[STATE].put_table(dataset, name, **details))


@routes.get(_TABLE)
async def _table(request: web.Request) -> web.Response:
    match = request.match_info
    return _answer(request.app[STATE].table(match["dataset"], match["table"]))


@routes.patch(_TABLE)
async def _change_table(request: web.Request) -> web.Response:
    state, match, body = request.app[STATE], request.match_info, await _json(request)
    found = state.table(match["dataset"], match["table"])
    if request.headers.get("If-Match", "*") not in ("*", found["etag"]):
        raise ServiceError("conditionNotMet", "Precondition check failed: the etag differs.")
    return _answer(state.put_table(match["dataset"], match["table"], labels=body["labels"]))


@routes.delete(_TABLE)
async def _drop_table(request: web.Request) -> web.Response:
    state, match = request.app[STATE], request.match_info
    state.table(match["dataset"], match["table"])
    del state.tables[f"{match['dataset']}.{match['table']}"]
    return web.Response(status=204)


@routes.get(_TABLE + "/data")
async def _rows(request: web.Request) -> web.Response:
    return _answer({"totalRows": "0", "rows": []})


@routes.post(_PROJECT + "/jobs")
async def _run(request: web.Request) -> web.Response:
    """A statement: what it makes is remembered by name, what it changes is nothing."""
    state, sent = request.app[STATE], await _json(request)
    query = sent["configuration"].get("query")
    if query is None:
        raise ServiceError("notImplemented", "Only statements and uploads are taken.")
    sql: str = query["query"]
    if made := _MADE.match(sql):
        dataset = query["defaultDataset"]["datasetId"]
        state.put_table(dataset, made[1], labels=dict(_LABEL.findall(sql)))
    elif sql.startswith(("SELECT", "WITH")):
        columns_of(sent)
    state.tally.query_jobs += 1
    merged = str(state.merged_rows(sent))
    changed = {"insertedRowCount": merged, "updatedRowCount": "0", "deletedRowCount": "0"}
    statistics = {
        "totalBytesProcessed": "0",
        "query": {"totalBytesBilled": "0", "numDmlAffectedRows": merged, "dmlStats": changed},
    }
    if sent["configuration"].get("dryRun"):
        return _answer({**sent, "status": {"state": "DONE"}, "statistics": statistics})
    return _answer(state.new_job(sent, statistics))


@routes.get(_PROJECT + "/jobs/{job}")
async def _job(request: web.Request) -> web.Response:
    return _answer(_known_job(request))


@routes.get(_PROJECT + "/queries/{job}")
async def _result(request: web.Request) -> web.Response:
    """No rows, in the columns that the query has."""
    job = _known_job(request)
    schema = {"fields": [{"name": name, "type": kind} for name, kind in columns_of(job)]}
    known = {"jobReference": job["jobReference"], "jobComplete": True, "schema": schema}
    return _answer({**known, "totalRows": "0", "rows": [], "totalBytesProcessed": "0"})


def _known_job(request: web.Request) -> dict[str, Any]:
    try:
        return request.app[STATE].jobs[request.match_info["job"]]
    except KeyError:
        raise ServiceError("notFound", "Not found: Job") from None


@routes.post(_UPLOAD)
async def _begin_upload(request: web.Request) -> web.Response:
    """A file beside its job in one request, or the begin of a resumable transfer."""
    state = request.app[STATE]
    if request.query.get("uploadType") == "resumable":
        name = secrets.token_urlsafe(24)
        state.uploads[name] = Upload(job=await _json(request))
        location = request.url.with_query({"uploadType": "resumable", "upload_id": name})
        return web.Response(headers={"Location": str(location)})
    reader = MultipartReader(request.headers, request.content)
    head, media = await reader.next(), None
    if isinstance(head, BodyPartReader):
        upload = Upload(job=orjson.loads(bytes(await head.read())))
        media = await reader.next()
    if not isinstance(media, BodyPartReader):
        raise ServiceError("invalid", "A multipart upload has two parts.")
    await _take(upload, _chunks(media))
    return _loaded(state, upload)


@routes.put(_UPLOAD)
async def _next_piece(request: web.Request) -> web.Response:
    state, name = request.app[STATE], request.query.get("upload_id", "")
    upload = state.uploads.get(name)
    if upload is None:
        raise ServiceError("notFound", "Not found: Upload session")
    await _take(upload, request.content.iter_chunked(_CHUNK_BYTES))
    whole = _RANGE.fullmatch(request.headers.get("Content-Range", ""))
    if whole is not None and (whole[2] == "*" or upload.received < int(whole[2])):
        headers = {"Range": f"bytes=0-{upload.received - 1}"} if upload.received else {}
        return web.Response(status=308, reason="Resume Incomplete", headers=headers)
    del state.uploads[name]
    return _loaded(state, upload)


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(_CHUNK_BYTES):
        yield bytes(chunk)


async def _take(upload: Upload, chunks: AsyncIterator[bytes]) -> None:
    async for chunk in chunks:
        upload.take(chunk)


def _loaded(state: State, upload: Upload) -> web.Response:
    """The load job of a file that came in: done, with as many rows as the footer names."""
    into = upload.job["configuration"]["load"]["destinationTable"]
    dataset, name = into["datasetId"], into["tableId"]
    table, rows = state.table(dataset, name), upload.rows()
    written = {"outputRows": str(rows), "inputFileBytes": str(upload.received), "inputFiles": "1"}
    job = state.new_job(upload.job, {"load": written})
    state.put_table(dataset, name, numRows=str(int(table["numRows"]) + rows))
    state.tally.load_jobs += 1
    state.tally.rows += rows
    state.tally.upload_bytes += upload.received
    return _answer(job)


@web.middleware
async def _counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count a request; refuse one that names another host, and say errors as the service does."""
    request.app[STATE].tally.requests += 1
    try:
        if not is_loopback_host(request.headers.get("Host", "")):
            raise ServiceError("accessDenied", "It answers on the loopback address only.")
        return await handler(request)
    except ServiceError as error:
        return _answer(error.body(), status=error.http_status)


def build_app() -> web.Application:
    """The application, with nothing in it yet."""
    app = web.Application(middlewares=[_counted], client_max_size=_JSON_BYTES)
    app[STATE] = State()
    app.router.add_routes(routes)
    return app


async def serve(port: int, *, login: Path, as_json: bool) -> None:
    """Serve until SIGTERM or SIGINT; say first which settings send a run here."""
    stop = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stop.set)
    runner = web.AppRunner(build_app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        told = {
            "BIGQUERY_PROJECT_ID": PROJECT,
            "BIGQUERY_API_ENDPOINT": f"http://{HOST}:{runner.addresses[0][1]}",
            "GOOGLE_APPLICATION_CREDENTIALS": str(login),
        }
        lines = (f"export {name}={value}" for name, value in told.items())
        print(json.dumps(told) if as_json else "\n".join(lines), flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


def main() -> int:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.discarding",
        description="A BigQuery endpoint on this machine that accepts a run and keeps nothing.",
        epilog="Set what it prints, and run the loader: both legs are at work, PostgreSQL and the "
        "load jobs; what BigQuery itself does is left out. GET / tells what came in.",
    )
    parser.add_argument("--port", type=int, default=0, help="port of 127.0.0.1; 0: a free one")
    parser.add_argument("--json", action="store_true", help="print the settings as one JSON line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="discarding-") as folder:
        login = Path(folder, "login.json")
        login.write_text(json.dumps(CREDENTIALS), encoding="utf-8")
        asyncio.run(serve(options.port, login=login, as_json=options.json))
    return 0


if __name__ == "__main__":
    sys.exit(main())
