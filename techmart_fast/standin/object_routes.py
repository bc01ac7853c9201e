"""Routes of Cloud Storage: make a bucket; upload, look at and delete objects.

https://cloud.google.com/storage/docs/json_api/v1
"""

import base64
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import google_crc32c
from aiohttp import web

from techmart_fast.standin.failure import ServiceError
from techmart_fast.standin.service import SERVICE, Service, answer, json_body
from techmart_fast.standin.transfers import begin_resumable, read_multipart, resume

routes = web.RouteTableDef()
_UPLOAD = "/upload/storage/v1/b/{bucket}/o"
_OBJECT = "/storage/v1/b/{bucket}/o/{object}"
_CHUNK = 1 << 20
routes.put(_UPLOAD)(resume)

_T = TypeVar("_T")
_extended: Callable[[int, bytes], int] = google_crc32c.extend  # it has no types of its own


@routes.post("/storage/v1/b")
async def make_bucket(request: web.Request) -> web.Response:
    """Make a bucket."""
    service, body = request.app[SERVICE], await json_body(request)
    name = str(body.get("name") or "")
    await _do(service, lambda: service.objects.make_bucket(name))
    return answer(_bucket(name))


@routes.get("/storage/v1/b/{bucket}")
async def get_bucket(request: web.Request) -> web.Response:
    """Look at a bucket."""
    service, name = request.app[SERVICE], request.match_info["bucket"]
    await _do(service, lambda: service.objects.bucket(name))
    return answer(_bucket(name))


@routes.post(_UPLOAD)
async def upload(request: web.Request) -> web.Response:
    """A whole multipart upload of an object, or the begin of a resumable one."""
    service, bucket = request.app[SERVICE], request.match_info["bucket"]
    await _do(service, lambda: service.objects.bucket(bucket))
    match request.query.get("uploadType"):
        case "multipart":
            body, file = await read_multipart(request)
            name = str(body.get("name") or request.query.get("name") or "")
            return await _store(service, bucket, name, file)
        case "resumable":
            body = await json_body(request)
            name = str(body.get("name") or request.query.get("name") or "")
            return begin_resumable(request, partial(_store, service, bucket, name))
        case kind:
            raise ServiceError("invalid", f"Unknown uploadType {kind}.")


@routes.get(_OBJECT)
async def get_object(request: web.Request) -> web.Response:
    """Look at an object; its bytes are for load jobs only."""
    service = request.app[SERVICE]
    if request.query.get("alt", "json") != "json":
        raise ServiceError("notImplemented", "The stand-in does not hand out objects.")
    bucket, name = request.match_info["bucket"], request.match_info["object"]

    def described() -> dict[str, object]:
        return _resource(bucket, name, service.objects.existing(bucket, name))

    return answer(await _do(service, described))


@routes.delete(_OBJECT)
async def delete_object(request: web.Request) -> web.Response:
    """Delete an object."""
    service = request.app[SERVICE]
    bucket, name = request.match_info["bucket"], request.match_info["object"]
    await _do(service, lambda: service.objects.existing(bucket, name).unlink())
    return web.Response(status=204)


async def _store(service: Service, bucket: str, name: str, file: Path) -> web.Response:
    def stored() -> dict[str, object]:
        try:
            return _resource(bucket, name, service.objects.put(bucket, name, file))
        except ServiceError:
            file.unlink(missing_ok=True)
            raise

    return answer(await _do(service, stored))


async def _do(service: Service, call: Callable[[], _T]) -> _T:
    return await service.jobs.in_thread(call)


def _bucket(name: str) -> dict[str, object]:
    return {"kind": "storage#bucket", "id": name, "name": name, "location": "US"}


def _resource(bucket: str, name: str, file: Path) -> dict[str, object]:
    about = file.stat()
    checksum = 0
    with file.open("rb") as data:
        while chunk := data.read(_CHUNK):
            checksum = _extended(checksum, chunk)
    return {
        "kind": "storage#object",
        "id": f"{bucket}/{name}/{about.st_mtime_ns}",
        "bucket": bucket,
        "name": name,
        "generation": str(about.st_mtime_ns),
        "metageneration": "1",
        "size": str(about.st_size),
        "crc32c": base64.b64encode(checksum.to_bytes(4, "big")).decode(),
    }
