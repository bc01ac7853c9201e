"""Routes of uploads: multipart in one request, or resumable in pieces. Bytes go to a spool file.

https://cloud.google.com/bigquery/docs/reference/api-uploads
"""

import os
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from aiohttp import BodyPartReader, MultipartReader, web

from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.failure import ServiceError, not_found
from techmart_fast.standin.job_routes import new_job, start
from techmart_fast.standin.jobs import Plan
from techmart_fast.standin.load import plan_load
from techmart_fast.standin.service import SERVICE, Body, Service, json_body

routes = web.RouteTableDef()
_UPLOAD = "/upload/bigquery/v2/projects/{project}/jobs"
_CHUNK = 1 << 20
_SESSION_MS = 7 * 24 * 3600 * 1000
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(slots=True, kw_only=True)
class Session:
    """A resumable upload: the job that it ends in, and the file that grows until then."""

    project: str
    body: Body
    file: Path
    received: int = 0
    begun_ms: int = field(default_factory=now_ms)


SESSIONS: web.AppKey[dict[str, Session]] = web.AppKey("sessions", dict)


@routes.post(_UPLOAD)
async def begin(request: web.Request) -> web.Response:
    """A whole multipart upload, or the begin of a resumable one."""
    kind = request.query.get("uploadType")
    if kind == "multipart":
        return await _multipart(request)
    if kind != "resumable":
        raise ServiceError("invalid", f"Unknown uploadType {kind}.")
    service = request.app[SERVICE]
    body = await json_body(request)
    _forget_abandoned(request.app[SESSIONS])
    new_job(service, request.match_info["project"], body)
    name = secrets.token_urlsafe(24)
    file = _spool_file(service)
    request.app[SESSIONS][name] = Session(
        project=request.match_info["project"], body=body, file=file
    )
    location = request.url.with_query({"uploadType": "resumable", "upload_id": name})
    headers = {"Location": str(location), "X-GUploader-UploadID": name}
    return web.Response(status=200, headers=headers)


def _forget_abandoned(sessions: dict[str, Session]) -> None:
    """End uploads that nobody finished within a week."""
    oldest = now_ms() - _SESSION_MS
    for name in [name for name, session in sessions.items() if session.begun_ms < oldest]:
        sessions.pop(name).file.unlink(missing_ok=True)


@routes.put(_UPLOAD)
async def resume(request: web.Request) -> web.Response:
    """The next piece of a resumable upload, or the question how far it is."""
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
    return await _started(request.app[SERVICE], session)


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


async def _multipart(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    try:
        reader = MultipartReader(request.headers, request.content)
        head = await reader.next()
        if not isinstance(head, BodyPartReader):
            raise ServiceError("invalid", "A multipart upload begins with the job's JSON.")
        body = orjson.loads(bytes(await head.read()))
        media = await reader.next()
        if not isinstance(media, BodyPartReader):
            raise ServiceError("invalid", "A multipart upload has two parts.")
        session = Session(
            project=request.match_info["project"], body=body, file=_spool_file(service)
        )
        await _append(session.file, _chunks(media))
    except (ValueError, AssertionError):
        raise ServiceError("invalid", "The multipart upload can't be read.") from None
    return await _started(service, session)


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(_CHUNK):
        yield bytes(chunk)


async def _append(file: Path, chunks: AsyncIterator[bytes]) -> int:
    """Add bytes to a spool file; returns how many."""
    size = 0
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    # A write into the page cache takes less time than handing it over to a thread.
    with os.fdopen(handle, "ab") as out:
        async for chunk in chunks:
            out.write(chunk)
            size += len(chunk)
    return size


def _spool_file(service: Service) -> Path:
    return service.spool / f"{secrets.token_hex(12)}.upload"


async def _started(service: Service, session: Session) -> web.Response:
    """Insert the load job of a finished upload. Its file goes away with the job's end."""
    file = session.file
    try:
        job = new_job(service, session.project, session.body)
        if job.kind != "load":
            raise ServiceError("invalid", "Only load jobs take an upload.")

        def prepare() -> Plan:
            with service.storage.work() as work:
                return plan_load(work, job.configuration, file, project=job.project)

        job.at_end.append(lambda: file.unlink(missing_ok=True))
        return await start(service, job, prepare)
    except ServiceError:
        file.unlink(missing_ok=True)
        raise
