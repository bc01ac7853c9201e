"""The stand-in in this process: its real server on a real port, in a thread of its own."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from techmart_fast.standin.app import build_app
from techmart_fast.standin.objects import Objects
from techmart_fast.standin.process import prepared
from techmart_fast.standin.results import ResultStore
from techmart_fast.standin.runner import JobRunner
from techmart_fast.standin.service import Service
from techmart_fast.standin.storage import Storage

PROJECT = "standin-test"
START_SECONDS = 20
MIB = 1 << 20


@contextmanager
def serving(home: Path, *, with_faults: bool = False) -> Iterator[str]:
    """Serve a home until the end of the block; gives the address."""
    ready = threading.Event()
    address: list[str] = []
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve(storage: Storage) -> None:
        end = asyncio.Event()
        ends.append((asyncio.get_running_loop(), end))
        async with AsyncExitStack() as stack:
            jobs = await stack.enter_async_context(JobRunner(storage, on_broken=end.set))
            results = ResultStore(home / "results")
            service = Service(
                storage=storage,
                results=results,
                jobs=jobs,
                spool=home / "uploads",
                objects=Objects(home / "objects"),
            )
            app = build_app(service, with_faults=with_faults)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            address.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
            ready.set()
            await end.wait()

    def run() -> None:
        with Storage(prepared(home), memory_bytes=256 * MIB) as storage:
            asyncio.run(serve(storage))

    thread = threading.Thread(target=run, name="stand-in")
    thread.start()
    try:
        assert ready.wait(START_SECONDS)
        yield address[0]
    finally:
        for loop, end in ends:
            loop.call_soon_threadsafe(end.set)
        thread.join(START_SECONDS)
        assert not thread.is_alive()


@dataclass(frozen=True)
class Answer:
    """A plain HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The service's word for what is wrong."""
        return str(self.json()["error"]["errors"][0]["reason"])


def request(
    address: str,
    path: str = "/",
    body: bytes | None = None,
    *,
    method: str | None = None,
    **headers: str,
) -> Answer:
    """Send one request without the client; header names have `_` for `-`."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(
            method or ("GET" if body is None else "POST"), path.removeprefix(address), body, named
        )
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.headers), answer.read())
    finally:
        connection.close()


@contextmanager
def client_of(address: str, *, project: str = PROJECT) -> Iterator[bigquery.Client]:
    """The official client, pointed at the stand-in."""
    client = bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": address},
    )
    try:
        yield client
    finally:
        client.close()
