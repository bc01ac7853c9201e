"""What the tests of the catalogue server share: a client, a clock that stands, walks over pages."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiohttp

from techmart_fast.dev.catalog_server import CatalogOptions, CatalogServer, Clocks


@dataclass(slots=True)
class HandClock:
    """Nanoseconds that pass only when a test says so."""

    now_ns: int = 10**15

    def __call__(self) -> int:
        return self.now_ns


@dataclass(frozen=True, slots=True)
class Said:
    """One whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body, parse_float=Decimal)


class Client:
    """A client of one server that follows no redirects by itself."""

    def __init__(self, server: CatalogServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def get(
        self, place: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> Said:
        address = place if place.startswith("http") else self.server.address + place
        async with self.session.request(
            method, address, headers=headers, allow_redirects=False
        ) as answer:
            return Said(answer.status, answer.headers, await answer.read())


@asynccontextmanager
async def serving(
    options: CatalogOptions | None = None, *, clocks: Clocks | None = None
) -> AsyncIterator[Client]:
    """A server, and a client of it that asks for no compression unless a test does."""
    async with (
        CatalogServer(options, clocks=clocks) as server,
        aiohttp.ClientSession(
            headers={"Accept-Encoding": "identity"}, timeout=aiohttp.ClientTimeout(60)
        ) as session,
    ):
        yield Client(server, session)
