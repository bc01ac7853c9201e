"""What all routes share: storage, results, jobs, and how a request and an answer look."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import orjson
from aiohttp import web

from techmart_fast.standin.failure import ServiceError
from techmart_fast.standin.objects import Objects
from techmart_fast.standin.refs import DatasetRef, TableRef
from techmart_fast.standin.results import Page, ResultStore
from techmart_fast.standin.runner import JobRunner
from techmart_fast.standin.storage import Storage
from techmart_fast.standin.work import Work

Body = Mapping[str, object]
Answer = TypeVar("Answer")

MAX_JSON_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The parts behind the routes. `spool` is the folder of uploads under way.

    `objects` are those of Cloud Storage that load jobs read.
    """

    storage: Storage
    results: ResultStore
    jobs: JobRunner
    spool: Path
    objects: Objects

    async def read(self, call: Callable[[Work], Answer]) -> Answer:
        """Look something up in a transaction of its own (a worker thread)."""

        def run() -> Answer:
            with self.storage.work() as work:
                return call(work)

        return await self.jobs.in_thread(run)

    async def change(self, table: TableRef, call: Callable[[Work], Answer]) -> Answer:
        """Change a table while no job does; a dataset is changed under its name alone."""
        async with self.jobs.locks.hold((table,)):
            return await self.read(call)


SERVICE: web.AppKey[Service] = web.AppKey("service", Service)


async def json_body(request: web.Request) -> Body:
    """The JSON object in a request's body.

    Raises:
        ServiceError: there is none.
    """
    data = await request.read()
    try:
        body = orjson.loads(data) if data else {}
    except orjson.JSONDecodeError:
        raise ServiceError("invalid", "The request's body is not JSON.") from None
    if not isinstance(body, dict):
        raise ServiceError("invalid", "The request's body is not a JSON object.")
    return body


def answer(body: object, *, status: int = 200) -> web.Response:
    """A JSON response."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def answer_page(body: Body, page: Page | None) -> web.Response:
    """A JSON response with rows, which are encoded already."""
    token = page.next_token if page is not None else None
    packed = orjson.dumps({**body, **({"pageToken": token} if token else {})})
    if page is not None and page.rows:
        packed = packed[:-1] + b',"rows":[' + page.rows_json + b"]}"
    return web.Response(body=packed, content_type="application/json")


def dataset_of(request: web.Request) -> DatasetRef:
    """The dataset that a path names."""
    return DatasetRef(request.match_info["project"], request.match_info["dataset"])


def table_of(request: web.Request) -> TableRef:
    """The table that a path names, perhaps with a partition decorator."""
    parent = dataset_of(request)
    return TableRef(parent.project, parent.dataset, request.match_info["table"])


def whole_number(request: web.Request, name: str) -> int | None:
    """A number in the query string.

    Raises:
        ServiceError: it is no number.
    """
    text = request.query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise ServiceError("invalid", f"Invalid value for {name}: {text[:40]}")
    return int(text)


def check_etag(request: web.Request, body: Body) -> None:
    """Refuse a change of something that is not what the client has seen.

    Raises:
        ServiceError: `conditionNotMet`.
    """
    wanted = request.headers.get("If-Match")
    if wanted and wanted not in ("*", body.get("etag")):
        raise ServiceError("conditionNotMet", "Precondition check failed: the etag differs.")


async def within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for an event, not longer than some seconds; whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True
