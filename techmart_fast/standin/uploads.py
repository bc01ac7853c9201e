"""Routes of uploads of load jobs: multipart in one request, or resumable in pieces.

https://cloud.google.com/bigquery/docs/reference/api-uploads
"""

from functools import partial
from pathlib import Path

from aiohttp import web

from techmart_fast.standin.failure import ServiceError
from techmart_fast.standin.job_routes import new_job, start
from techmart_fast.standin.jobs import Plan
from techmart_fast.standin.load import plan_load
from techmart_fast.standin.service import SERVICE, Body, Service, json_body
from techmart_fast.standin.transfers import begin_resumable, read_multipart, resume

routes = web.RouteTableDef()
_UPLOAD = "/upload/bigquery/v2/projects/{project}/jobs"
routes.put(_UPLOAD)(resume)


@routes.post(_UPLOAD)
async def begin(request: web.Request) -> web.Response:
    """A whole multipart upload, or the begin of a resumable one."""
    service, project = request.app[SERVICE], request.match_info["project"]
    match request.query.get("uploadType"):
        case "multipart":
            body, file = await read_multipart(request)
            return await _start(service, project, body, file)
        case "resumable":
            body = await json_body(request)
            new_job(service, project, body)
            return begin_resumable(request, partial(_start, service, project, body))
        case kind:
            raise ServiceError("invalid", f"Unknown uploadType {kind}.")


async def _start(service: Service, project: str, body: Body, file: Path) -> web.Response:
    """Insert the load job of a finished upload. Its file goes away with the job's end."""
    try:
        job = new_job(service, project, body)
        if job.kind != "load":
            raise ServiceError("invalid", "Only load jobs take an upload.")

        def prepare() -> Plan:
            with service.storage.work() as work:
                return plan_load(work, job.configuration, [file], project=job.project)

        job.at_end.append(lambda: file.unlink(missing_ok=True))
        return await start(service, job, prepare)
    except ServiceError:
        await service.jobs.in_thread(partial(file.unlink, missing_ok=True))
        raise
