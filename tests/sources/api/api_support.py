"""What the tests of the API source share: quick clocks, endpoints, raw servers, an observer."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from techmart_fast.contract.endpoint import (
    Cursors,
    Endpoint,
    Limits,
    Links,
    NextAddresses,
    NoPages,
    NumberedPages,
    Offsets,
)
from techmart_fast.dev.catalog_server import Clocks as ServerClocks
from techmart_fast.sources.api import Clocks, Event, Fetched

START = datetime(2026, 1, 1, tzinfo=UTC)

STYLES: Mapping[str, Mapping[str, Any]] = {
    "page": {"pagination": NumberedPages()},
    "offset": {"pagination": Offsets()},
    "cursor": {"pagination": Cursors()},
    "link": {"pagination": Links(), "records": ""},
    "next": {"pagination": NextAddresses()},
    "all": {"pagination": NoPages(), "records": ""},
}
"""How to describe each of the catalogue server's paginations, found at `/STYLE/products`."""


class QuickClock:
    """Time that passes only by sleeping, for a client and for its server."""

    def __init__(self, *, chance: float = 0.5) -> None:
        self.seconds = 1_000_000.0
        self.slept: list[float] = []
        self.clocks = Clocks(
            monotonic=lambda: self.seconds,
            now=self.now,
            sleep=self.sleep,
            random=lambda: chance,
        )
        self.of_server = ServerClocks(ticks=lambda: round(self.seconds * 1e9), now=self.now)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds - 1_000_000.0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.on_event: Callable[[Event], None] = lambda _event: None

    def saw(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class FakeResolver(AbstractResolver):
    """Names and their addresses; a list of lists is what a name has one time after another."""

    def __init__(self, names: Mapping[str, Sequence[str] | list[list[str]]]) -> None:
        self._names = {name: list(addresses) for name, addresses in names.items()}
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self._names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        found = self._names[host]
        if isinstance(found[0], list):
            found = found.pop(0) if len(found) > 1 else found[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        return


def endpoint(base: str, path: str = "/products", **values: Any) -> Endpoint:
    """An endpoint that is asked as fast as it can be, unless `limits` say otherwise."""
    limits = {"requests_per_second": 100_000, **values.pop("limits", {})}
    return Endpoint(address=base + path, limits=Limits(**limits), **values)


def records_of(fetched: Fetched) -> list[dict[str, Any]]:
    assert fetched.path is not None
    lines = fetched.path.read_bytes().splitlines()
    return [json.loads(line, parse_float=Decimal) for line in lines]


def ids_of(fetched: Fetched) -> list[str]:
    return [record["product_id"] for record in records_of(fetched)]


def ids_up_to(count: int) -> list[str]:
    return [f"prd_{number:06d}" for number in range(1, count + 1)]


def left_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def open_files() -> list[str]:
    found = []
    for name in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(name.readlink()))
        except OSError:
            continue
    return sorted(found)


@dataclass(frozen=True)
class Asked:
    """A request as a raw server read it."""

    target: str
    headers: Mapping[str, str]

    def number(self, word: str, otherwise: int = 0) -> int:
        """A number of the query."""
        found = parse_qs(urlsplit(self.target).query).get(word)
        return int(found[0]) if found else otherwise


Reply = bytes | Callable[[Asked], bytes | Awaitable[bytes]]


def reply(
    body: bytes | str = b"",
    *,
    status: int = 200,
    kind: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """An HTTP answer."""
    data = body.encode() if isinstance(body, str) else body
    head = {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items() if value)
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode() + data


@dataclass
class RawServer:
    """Answers the n-th request with the n-th of its replies, and then with the last one."""

    replies: Sequence[Reply]
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
                fields = dict(line.split(": ", 1) for line in head[1:] if line)
                asked = Asked(target=head[0].split(" ")[1], headers=fields)
                self.asked.append(asked)
                answer = self.replies[min(len(self.asked), len(self.replies)) - 1]
                if not isinstance(answer, bytes):
                    answer = answer(asked)
                if not isinstance(answer, bytes):
                    answer = await answer
                writer.write(answer)
                await writer.drain()
                if b"Connection: close" in answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return


@asynccontextmanager
async def raw_server(*replies: Reply) -> AsyncIterator[RawServer]:
    server = RawServer(replies)
    running: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(server.serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)
        # Also where it is cancelled before it begins.
        task.add_done_callback(lambda _task: writer.close())

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await listening.wait_closed()
        await asyncio.sleep(0)
