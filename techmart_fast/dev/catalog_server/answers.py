"""Answers: pages with validators and compression, errors, and answers that are cut."""

import gzip
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from aiohttp import HttpVersion11, web

from techmart_fast.dev.catalog_server.faults import Cut

_GZIP_LEVEL = 6
_JSON = "application/json"


def answer_json(body: object, *, status: int = 200) -> web.Response:
    """A JSON answer that is no page."""
    return web.Response(text=json.dumps(body) + "\n", status=status, content_type=_JSON)


def answer_error(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error as JSON: a word for programs and a sentence for people."""
    answer = answer_json({"error": {"code": code, "message": message}}, status=status)
    answer.headers.update(headers or {})
    return answer


def answer_page(
    request: web.Request,
    body: bytes,
    *,
    modified: datetime,
    headers: Mapping[str, str],
    content_type: str = _JSON,
) -> web.Response:
    """A page, or 304 where the client has it: with a strong ETag, gzipped if the client asks.

    `modified` is the newest change among its records (UTC, whole seconds).
    """
    packed = accepts_gzip(request.headers.get("Accept-Encoding", ""))
    tag = etag(body, packed=packed)
    shared = {
        **headers,
        "ETag": tag,
        "Last-Modified": http_date(modified),
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
    }
    if is_unchanged(request.headers, tag, modified):
        return web.Response(status=304, headers=shared)
    if packed:
        body = gzip.compress(body, compresslevel=_GZIP_LEVEL, mtime=0)
        shared["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers=shared, content_type=content_type)


def etag(body: bytes, *, packed: bool) -> str:
    """The strong validator of a page. Compressed bytes are others, so they have another one."""
    suffix = "-gzip" if packed else ""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}{suffix}"'


def is_unchanged(headers: Mapping[str, str], tag: str, modified: datetime) -> bool:
    """Whether a conditional request is answered with 304 (RFC 9110, section 13.2.2).

    If-None-Match wins over If-Modified-Since; a date that can't be read is no condition.
    """
    known = headers.get("If-None-Match")
    if known is not None:
        tags = {one.strip().removeprefix("W/") for one in known.split(",")}
        return "*" in tags or tag in tags
    since = headers.get("If-Modified-Since")
    if since is None:
        return False
    try:
        moment = parsedate_to_datetime(since)
    except ValueError:
        return False
    return modified <= (moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def accepts_gzip(header: str) -> bool:
    """Whether `Accept-Encoding` asks for gzip (RFC 9110, section 12.5.3)."""
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        coding, _, parameter = part.partition(";")
        name, _, weight = parameter.strip().partition("=")
        try:
            weights[coding.strip()] = float(weight) if name.strip() == "q" else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def http_date(moment: datetime) -> str:
    """A UTC moment as HTTP writes it, like `Tue, 31 Dec 2024 23:59:59 GMT`."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


class CutAnswer(web.Response):
    """An answer that will be cut; until it is sent it may still get headers."""

    def __init__(self, answer: web.Response, cut: Cut) -> None:
        body = answer.body if isinstance(answer.body, bytes) else b""
        # The length is told, or not, when it is sent.
        headers = {name: text for name, text in answer.headers.items() if name != "Content-Length"}
        super().__init__(status=answer.status, headers=headers)
        self.planned = body
        self.how = cut

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Send the beginning, then close or reset the connection."""
        begun = web.StreamResponse(status=self.status, headers=self.headers)
        if self.how.chunked and request.version >= HttpVersion11:
            begun.enable_chunked_encoding()
        else:
            begun.content_length = len(self.planned)
        # A client that went away by itself is cut already.
        with suppress(ConnectionError):
            await begun.prepare(request)
            if kept := self.planned[: self.how.kept_bytes(len(self.planned))]:
                await begun.write(kept)
        if request.transport is not None:
            if self.how.reset:
                request.transport.abort()
            else:
                request.transport.close()
        return begun
