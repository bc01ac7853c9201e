"""Sends one request and follows its redirects by hand; reads the answer within its bounds."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Self

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from aiohttp.abc import AbstractResolver
from yarl import URL

from techmart_fast.contract.endpoint import Endpoint, Links
from techmart_fast.errors import SourceAnswerError
from techmart_fast.sources.api.addresses import Guard
from techmart_fast.sources.api.coding import (
    ACCEPTED,
    BoundedBody,
    CodingError,
    CutError,
    TooLargeError,
)
from techmart_fast.sources.api.credentials import Secret
from techmart_fast.sources.api.limiter import RateLimiter
from techmart_fast.sources.api.redirects import follow, is_same_origin
from techmart_fast.version import VERSION

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DRAINED_BYTES = 64 << 10
_SHOWN_CHARACTERS = 60
_LOOK_BEHIND_BYTES = 64
_FEWEST_VALUES = 1_000_000
_BYTES_OF_A_VALUE = 8
"""On average, at least. In memory a value takes some sixty: fifteen kilobytes of gzip can hold
sixteen megabytes of `{},{},…`, and those would take half a gigabyte."""

_NEXT = re.compile(r"(?:^|\s)next(?:\s|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came in the end. Only an answer 200 has a body.

    Attributes:
        address: where it came from, after redirects.
        next_address: of the `Link` header's `rel="next"`, if it has one.
        lost_secret: the last redirect led to another origin, where no credentials are sent.
    """

    status: int
    headers: Mapping[str, str]
    address: URL
    body: bytearray
    next_address: str | None
    lost_secret: bool


class SecondSendError(aiohttp.ClientConnectionError):
    """aiohttp wanted to repeat a request by itself, beside the rate limit."""


class _Hop:
    """One sending of a request. aiohttp must not repeat it by itself, beside the rate limit."""

    def __init__(self) -> None:
        self._begun = False

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if self._begun:
            raise SecondSendError("the connection was closed")
        self._begun = True
        return await handler(request)


class Transport:
    """The connections of a fetch: `async with Transport(…) as transport:`."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        secret: Secret | None,
        limiter: RateLimiter,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._home = URL(endpoint.address)
        self._limiter = limiter
        self._guard = Guard(
            self._home, allow_private=endpoint.limits.allow_private, resolver=resolver
        )
        self._common = {
            "Accept": ", ".join(_accepted(endpoint)),
            "Accept-Encoding": ACCEPTED,
            "User-Agent": f"techmart-fast/{VERSION}",
        }
        given = {name.lower() for name in endpoint.headers}
        self._defaults = {
            name: value for name, value in self._common.items() if name.lower() not in given
        }
        self._private = {**endpoint.headers, **(secret.header() if secret else {})}
        self._session: aiohttp.ClientSession | None = None
        self.requests = 0

    def __repr__(self) -> str:
        return f"<Transport to {self._endpoint.where}, {self.requests} requests>"

    async def __aenter__(self) -> Self:
        limits = self._endpoint.limits
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_headers_sent)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=limits.concurrency,
                resolver=self._guard,
                use_dns_cache=False,
                socket_factory=self._guard.open_socket,
            ),
            timeout=aiohttp.ClientTimeout(
                total=limits.answer_seconds, sock_connect=limits.connect_seconds
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            trace_configs=[trace],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._guard.close()

    async def get(self, address: URL, *, page: int, conditions: Mapping[str, str]) -> Answer:
        """The answer of a GET, wherever redirects lead.

        `conditions` are the headers of a conditional request.

        Raises:
            SourceAccessError: it leads to an address that must not be asked.
            SourceAnswerError: the answer is too large, of another type, or leads nowhere.
            aiohttp.ClientError, TimeoutError: it did not come, or not wholly.
        """
        place = f"Page {page} of {self._endpoint.where}"
        seen = {address}
        while True:
            at_home = is_same_origin(address, self._home)
            own = {**self._defaults, **self._private} if at_home else self._common
            headers = {**own, **conditions}
            async with self._sent(address, headers) as response:
                if response.status not in _REDIRECTS:
                    return await self._read(response, address, place, at_home=at_home)
                location = response.headers.get("Location", "")
                await _drain(response)
            address = follow(address, location, what=f"{place} leads")
            if address in seen:
                raise SourceAnswerError(f"{place} redirects in a circle.", hint=_ASK)
            seen.add(address)
            if len(seen) > self._endpoint.limits.max_redirects + 1:
                raise SourceAnswerError(
                    f"{place} redirects more than {self._endpoint.limits.max_redirects} times "
                    "(limits.max_redirects).",
                    hint=_ASK,
                )

    @asynccontextmanager
    async def _sent(
        self, address: URL, headers: Mapping[str, str]
    ) -> AsyncIterator[ClientResponse]:
        if self._session is None:
            raise RuntimeError("the transport is not open")
        self._guard.check(address)
        grant = await self._limiter.admit()
        self.requests += 1
        try:
            async with self._session.get(
                address,
                headers=headers,
                allow_redirects=False,
                middlewares=(_Hop(),),
                trace_request_ctx=grant,
            ) as response:
                grant.answered()
                yield response
        finally:
            grant.ended()

    async def _read(
        self, response: ClientResponse, address: URL, place: str, *, at_home: bool
    ) -> Answer:
        body = bytearray()
        following = None
        if response.status == 200:
            self._check_type(response, place)
            body = await self._body(response, place)
            if isinstance(self._endpoint.pagination, Links):
                following = _next_link(response, place)
        else:
            await _drain(response)
        return Answer(
            status=response.status,
            headers=response.headers,
            address=address,
            body=body,
            next_address=following,
            lost_secret=not at_home and bool(self._private),
        )

    def _check_type(self, response: ClientResponse, place: str) -> None:
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        for accepted in self._endpoint.content_types:
            if kind == accepted or (accepted.startswith("+") and kind.endswith(accepted)):
                return
        raise SourceAnswerError(
            f"{place} came as {_shown(kind) or 'an unnamed type'} with status 200, not as JSON.",
            hint="It may be a page for people (maintenance, a login). If it is JSON, add its type "
            "to content_types in the contract.",
        )

    async def _body(self, response: ClientResponse, place: str) -> bytearray:
        most = self._endpoint.limits.max_answer_bytes
        try:
            body = BoundedBody(response.headers.get("Content-Encoding", ""), max_bytes=most)
            if (response.content_length or 0) > most:
                raise TooLargeError
            async for piece in response.content.iter_any():
                body.feed(piece)
            whole = body.close()
        except TooLargeError:
            raise SourceAnswerError(
                f"{place} has more than {most:,} bytes (limits.max_answer_bytes, counted "
                "compressed and decompressed).",
                hint="Ask for smaller pages (page_size), or raise the limit if that is right.",
            ) from None
        except CodingError as error:
            raise SourceAnswerError(f"{place} {error}.", hint=_ASK) from None
        except CutError:
            raise aiohttp.ClientPayloadError("the compressed data ends too early") from None
        if most_values(whole) > max(_FEWEST_VALUES, len(whole) // _BYTES_OF_A_VALUE):
            raise SourceAnswerError(
                f"{place} has too many tiny values for its size.",
                hint="Ask for smaller pages (page_size) if that is what the service sends.",
            )
        if response.content_length is None and not _is_chunked(response) and not _ends(whole):
            # Only the end of the connection ended it: that may have been the network's doing.
            raise aiohttp.ClientPayloadError("the answer ends too early")
        return whole


def most_values(body: bytes | bytearray) -> int:
    """At least as many as the values of a JSON text; more where texts hold commas or brackets."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")


async def _headers_sent(_session: object, context: SimpleNamespace, _parameters: object) -> None:
    context.trace_request_ctx.sent()


async def _drain(response: ClientResponse) -> None:
    """Read a short answer to its end, so that its connection serves again."""
    came = 0
    async for piece in response.content.iter_any():
        came += len(piece)
        if came > _DRAINED_BYTES:
            return


def _is_chunked(response: ClientResponse) -> bool:
    return "chunked" in response.headers.get("Transfer-Encoding", "").lower()


def _ends(body: bytearray) -> bool:
    return body[-_LOOK_BEHIND_BYTES:].rstrip().endswith((b"}", b"]"))


def _next_link(response: ClientResponse, place: str) -> str | None:
    try:
        links = response.links.items()
    except ValueError:
        raise SourceAnswerError(f"{place} has a Link header with no address.", hint=_ASK) from None
    for relations, link in links:
        if _NEXT.search(relations):
            return str(link["url"])
    return None


def _accepted(endpoint: Endpoint) -> list[str]:
    return [
        f"application/*{kind}" if kind.startswith("+") else kind for kind in endpoint.content_types
    ]


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:_SHOWN_CHARACTERS]


_ASK = "Ask the service's operator, or give the right address in the contract."
