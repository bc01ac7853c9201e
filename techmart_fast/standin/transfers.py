"""Bytes that come in: all at once beside a JSON part, or in pieces that can be resumed.

Google's APIs share this; what a finished transfer becomes (a load job, an object) is its owner's.
https://cloud.google.com/bigquery/docs/reference/api-uploads
https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

import os
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from aiohttp import BodyPartReader, MultipartReader, web

from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.failure import ServiceError, not_found
from techmart_fast.standin.service import SERVICE, Body, Service

Finish = Callable[[Path], Awaitable[web.Response]]
"""Makes of the whole file what it is for; the file is then its own."""

_CHUNK = 1 << 20
_SESSION_MS = 7 * 24 * 3600 * 1000
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(slots=True, kw_only=True)
class Session:
    """A resumable transfer: the file that grows, and what becomes of it."""

    file: Path
    finish: Finish
    received: int = 0
    begun_ms: int = field(default_factory=now_ms)


SESSIONS: web.AppKey[dict[str, Session]] = web.AppKey("sessions", dict)


def begin_resumable(request: web.Request, finish: Finish) -> web.Response:
    """Open a resumable transfer; the answer says where its pieces go."""
    _forget_abandoned(request.app[SESSIONS])
    name = secrets.token_urlsafe(24)
    request.app[SESSIONS][name] = Session(file=_new_file(request.app[SERVICE]), finish=finish)
    location = request.url.with_query({"uploadType": "resumable", "upload_id": name})
    headers = {"Location": str(location), "X-GUploader-UploadID": name}
    return web.Response(status=200, headers=headers)


def _forget_abandoned(sessions: dict[str, Session]) -> None:
    """End transfers that nobody finished within a week."""
    oldest = now_ms() - _SESSION_MS
    for name in [name for name, session in sessions.items() if session.begun_ms < oldest]:
        sessions.pop(name).file.unlink(missing_ok=True)


async def resume(request: web.Request) -> web.Response:
    """Take the next piece of a resumable transfer, or say how far it is."""
    name = request.query.get("upload_id", "")
    session = request.app[SESSIONS].get(name)
    if session is None:
        raise not_found("Upload session", name)
    given = request.headers.get("Content-Range")
    first, last, total = _content_range(given, request.content_length)
    if first is not None and first != session.received:
        # Only what comes next is taken; the answer tells the client where to go on.
        await request.read()
    elif first is not None:
        session.received += await _append(session.file, request.content.iter_chunked(_CHUNK))
        if last is not None and session.received < last + 1:
            return _incomplete(session)
    if total is None or session.received < total:
        return _incomplete(session)
    del request.app[SESSIONS][name]
    return await session.finish(session.file)


def _incomplete(session: Session) -> web.Response:
    headers = {"Range": f"bytes=0-{session.received - 1}"} if session.received else {}
    return web.Response(status=308, reason="Resume Incomplete", headers=headers)


def _content_range(
    header: str | None, length: int | None
) -> tuple[int | None, int | None, int | None]:
    """First and last byte of a piece (None: only a question), and the whole size if it is known."""
    if header is None:
        return 0, None if length is None else length - 1, length
    found = _RANGE.fullmatch(header.strip())
    if found is None:
        raise ServiceError("invalid", f"Invalid Content-Range: {header[:60]}")
    first, last, total = found.groups()
    return (
        int(first) if first else None,
        int(last) if last else None,
        int(total) if total != "*" else None,
    )


async def read_multipart(request: web.Request) -> tuple[Body, Path]:
    """The JSON part and the file of a transfer in one request.

    Raises:
        ServiceError: it has not these two parts.
    """
    try:
        reader = MultipartReader(request.headers, request.content)
        head = await reader.next()
        if not isinstance(head, BodyPartReader):
            raise ServiceError("invalid", "A multipart upload begins with a JSON part.")
        body = orjson.loads(bytes(await head.read()))
        media = await reader.next()
        if not isinstance(media, BodyPartReader):
            raise ServiceError("invalid", "A multipart upload has two parts.")
        file = _new_file(request.app[SERVICE])
        await _append(file, _chunks(media))
    except (ValueError, AssertionError):
        raise ServiceError("invalid", "The multipart upload can't be read.") from None
    return body, file


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(_CHUNK):
        yield bytes(chunk)


async def _append(file: Path, chunks: AsyncIterator[bytes]) -> int:
    """Add bytes to a file; returns how many."""
    size = 0
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    # A write into the page cache takes less time than handing it over to a thread.
    with os.fdopen(handle, "ab") as out:
        async for chunk in chunks:
            out.write(chunk)
            size += len(chunk)
    return size


def _new_file(service: Service) -> Path:
    return service.spool / f"{secrets.token_hex(12)}.upload"
