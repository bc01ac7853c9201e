"""Routes of jobs and query results: insert, list, get, cancel, getQueryResults, query.

https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs
"""

import re
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web

from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.failure import ServiceError, not_implemented
from techmart_fast.standin.jobs import Job, Plan
from techmart_fast.standin.labels import check_labels
from techmart_fast.standin.load import plan_load
from techmart_fast.standin.query import QueryPlan, plan_query
from techmart_fast.standin.results import PAGE_ROWS, Page, columns_of, encoded_page, first_row
from techmart_fast.standin.service import (
    SERVICE,
    Body,
    Service,
    answer,
    answer_page,
    json_body,
    whole_number,
    within,
)

routes = web.RouteTableDef()
_PROJECT = "/bigquery/v2/projects/{project}"
ANSWER_SECONDS = 0.2
"""How long the answer to an insertion waits for the job's end: most need no second request."""
RESULT_SECONDS = 10.0
"""The service's default of `timeoutMs`."""
LONGEST_SECONDS = 200.0
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,1024}")


def new_job(service: Service, project: str, body: Body) -> Job:
    """A job that a request asks for, not yet inserted.

    Raises:
        ServiceError: the request is incomplete.
    """
    configuration = body.get("configuration")
    if not isinstance(configuration, Mapping):
        raise ServiceError("required", "Required parameter is missing: configuration")
    kinds = [one for one in ("query", "load", "copy", "extract") if configuration.get(one)]
    if len(kinds) != 1:
        raise ServiceError(
            "required", "Job configuration must contain exactly one job-specific part"
        )
    if kinds[0] in ("copy", "extract"):
        raise not_implemented(f"{kinds[0]} jobs")
    reference = body.get("jobReference")
    reference = reference if isinstance(reference, Mapping) else {}
    job_id = str(reference.get("jobId") or f"job_{uuid.uuid4().hex}")
    if not _JOB_ID.fullmatch(job_id):
        raise ServiceError("invalid", f"Invalid job ID: {job_id[:80]}")
    check_labels(configuration.get("labels"))
    settings = configuration.get("query")
    if isinstance(settings, Mapping) and not settings.get("query"):
        raise ServiceError("required", "Required parameter is missing: query")
    return Job(
        project=project,
        job_id=job_id,
        location=str(reference.get("location") or _location(service, project, configuration)),
        configuration={**configuration, "jobType": kinds[0].upper()},
        created_ms=now_ms(),
        is_placed=bool(reference.get("location")),
    )


def _location(service: Service, project: str, configuration: Body) -> str:
    """Where a job runs that does not say: where its dataset is, or all of them are."""
    for kind, key in (("query", "defaultDataset"), ("load", "destinationTable")):
        settings = configuration.get(kind)
        given = settings.get(key) if isinstance(settings, Mapping) else None
        if isinstance(given, Mapping):
            owner, name = str(given.get("projectId") or project), str(given.get("datasetId"))
            found = service.storage.location_of(owner, name)
            if found is not None:
                return found
    return service.storage.location_of(project, None) or "US"


def _planned(service: Service, job: Job) -> QueryPlan:
    settings = job.configuration.get("query")
    asked = settings.get("defaultDataset") if isinstance(settings, Mapping) else None
    return plan_query(
        job.configuration,
        job_id=job.job_id,
        project=job.project,
        location=job.location if asked or job.is_placed else None,
        results=service.results,
    )


@routes.post(_PROJECT + "/jobs")
async def insert(request: web.Request) -> web.Response:
    """Insert a query job or a load from Cloud Storage, or plan a query (`dryRun`)."""
    service = request.app[SERVICE]
    job = new_job(service, request.match_info["project"], await json_body(request))
    if job.kind == "load":
        return await _load_objects(service, job)
    if job.configuration.get("dryRun"):
        return answer(await _dry_run(service, job))
    return await start(service, job, lambda: _planned(service, job))


async def _load_objects(service: Service, job: Job) -> web.Response:
    settings = job.configuration.get("load")
    uris = settings.get("sourceUris") if isinstance(settings, Mapping) else None
    if not isinstance(uris, list) or not uris:
        raise ServiceError("required", "A load job needs an upload or sourceUris.")
    files: list[Path] = []

    def prepare() -> Plan:
        files.extend(service.objects.linked(uris, service.spool))
        with service.storage.work() as work:
            return plan_load(work, job.configuration, files, project=job.project)

    def forget() -> None:
        for file in files:
            file.unlink(missing_ok=True)

    job.at_end.append(forget)
    return await start(service, job, prepare)


async def _dry_run(service: Service, job: Job) -> dict[str, object]:
    def run() -> None:
        plan = _planned(service, job)
        with service.storage.work() as work:
            job.outcome = plan.run(work)

    await service.jobs.in_thread(run)
    job.state = "DONE"
    resource = job.resource()
    # The service gives a plan no id: it is not a job that one could look up.
    resource["jobReference"] = {"projectId": job.project, "location": job.location}
    return resource


async def start(service: Service, job: Job, prepare: Callable[[], Plan]) -> web.Response:
    """Insert a job, and answer with its state a moment later."""
    service.jobs.insert(job, prepare)
    await within(ANSWER_SECONDS, job.done)
    return answer(job.resource())


@routes.get(_PROJECT + "/jobs")
async def list_all(request: web.Request) -> web.Response:
    """The newest jobs of a project, page by page."""
    jobs, query = request.app[SERVICE].jobs, request.query
    if query.get("parentJobId"):
        parent = await jobs.find(query["parentJobId"])
        if _is_script(parent):
            raise not_implemented("the child jobs of scripts")
        return answer({"kind": "bigquery#jobList", "jobs": []})
    states = {one.upper() for one in query.getall("stateFilter", [])}
    earliest = whole_number(request, "minCreationTime") or 0
    latest = whole_number(request, "maxCreationTime")
    found = [
        job
        for job in await jobs.all_jobs()
        if job.project == request.match_info["project"]
        and (not states or job.state in states)
        and earliest <= job.created_ms
        and (latest is None or job.created_ms <= latest)
    ]
    first = first_row(token=query.get("pageToken"), start_index=None, total=len(found))
    end = first + (whole_number(request, "maxResults") or 50)
    listed = [
        job.resource() | {"state": job.state, "errorResult": job.error} for job in found[first:end]
    ]
    body: dict[str, object] = {"kind": "bigquery#jobList", "jobs": listed}
    if end < len(found):
        body["nextPageToken"] = str(end)
    return answer(body)


def _is_script(job: Job) -> bool:
    statistics = job.outcome.statistics.get("query")
    return isinstance(statistics, Mapping) and statistics.get("statementType") == "SCRIPT"


@routes.get(_PROJECT + "/jobs/{job}")
async def get(request: web.Request) -> web.Response:
    """One job."""
    found = await request.app[SERVICE].jobs.find(
        request.match_info["job"], location=request.query.get("location")
    )
    return answer(found.resource())


@routes.post(_PROJECT + "/jobs/{job}/cancel")
async def cancel(request: web.Request) -> web.Response:
    """Ask a job to end."""
    jobs = request.app[SERVICE].jobs
    found = await jobs.find(request.match_info["job"], location=request.query.get("location"))
    jobs.cancel(found)
    await within(ANSWER_SECONDS, found.done)
    return answer({"kind": "bigquery#jobCancelResponse", "job": found.resource()})


@routes.get(_PROJECT + "/queries/{job}")
async def results(request: web.Request) -> web.Response:
    """The result of a query, when it is there, page by page."""
    service, query = request.app[SERVICE], request.query
    job = await service.jobs.find(request.match_info["job"], location=query.get("location"))
    timeout_ms = whole_number(request, "timeoutMs")
    seconds = RESULT_SECONDS if timeout_ms is None else timeout_ms / 1000
    return await answer_result(
        service,
        job,
        seconds=seconds,
        limit=whole_number(request, "maxResults"),
        token=query.get("pageToken"),
        start_index=query.get("startIndex"),
        int64_timestamps=query.get("formatOptions.useInt64Timestamp", "").lower() == "true",
    )


@routes.post(_PROJECT + "/queries")
async def query(request: web.Request) -> web.Response:
    """Run a query and answer with the first page, if it ends in time."""
    service, body = request.app[SERVICE], await json_body(request)
    asked = {key: value for key, value in body.items() if key not in _OF_THE_REQUEST}
    configuration: dict[str, object] = {"query": asked}
    for key in ("labels", "dryRun"):
        if body.get(key):
            configuration[key] = body[key]
    reference = {"location": body["location"]} if body.get("location") else {}
    job = new_job(
        service,
        request.match_info["project"],
        {"configuration": configuration, "jobReference": reference},
    )
    options = body.get("formatOptions")
    int64 = bool(isinstance(options, Mapping) and options.get("useInt64Timestamp"))
    if body.get("dryRun"):
        await _dry_run(service, job)
        job.done.set()
        return answer(_result_body(job) | {"jobReference": {"projectId": job.project}})
    service.jobs.insert(job, lambda: _planned(service, job))
    timeout_ms, limit = body.get("timeoutMs"), body.get("maxResults")
    return await answer_result(
        service,
        job,
        seconds=RESULT_SECONDS if timeout_ms is None else int(str(timeout_ms)) / 1000,
        limit=None if limit is None else int(str(limit)),
        token=None,
        start_index=None,
        int64_timestamps=int64,
    )


_OF_THE_REQUEST = (
    "kind",
    "labels",
    "dryRun",
    "location",
    "maxResults",
    "timeoutMs",
    "requestId",
    "formatOptions",
    "jobCreationMode",
)


def _result_body(job: Job) -> dict[str, object]:
    statistics = job.outcome.statistics.get("query")
    statistics = statistics if isinstance(statistics, Mapping) else {}
    body: dict[str, object] = {
        "kind": "bigquery#getQueryResultsResponse",
        "jobReference": job.resource()["jobReference"],
        "jobComplete": True,
        "cacheHit": False,
        "totalBytesProcessed": statistics.get("totalBytesProcessed", "0"),
    }
    for key in ("schema", "numDmlAffectedRows", "dmlStats"):
        if key in statistics:
            body[key] = statistics[key]
    if job.outcome.rows is not None:
        body["totalRows"] = str(job.outcome.rows)
    return body


async def answer_result(
    service: Service,
    job: Job,
    *,
    seconds: float,
    limit: int | None,
    token: str | None,
    start_index: str | None,
    int64_timestamps: bool,
) -> web.Response:
    """The answer to a question for a query's result.

    Raises:
        ServiceError: the job failed, with its error; or it is no query.
    """
    if job.kind != "query":
        raise ServiceError("invalid", f"Job {job.job_id} is not a query job.")
    if not await within(min(seconds, LONGEST_SECONDS), job.done):
        reference = job.resource()["jobReference"]
        return answer({"jobReference": reference, "jobComplete": False})
    failure = job.failure()
    if failure is not None:
        raise failure
    if job.outcome.fields is None or job.outcome.rows is None or limit == 0:
        return answer(_result_body(job))
    total, fields = job.outcome.rows, job.outcome.fields
    first = first_row(token=token, start_index=start_index, total=total)
    size = min(PAGE_ROWS if limit is None else limit, PAGE_ROWS)

    def read() -> Page:
        rows = service.results.rows(job.job_id).slice(first, size)
        with service.storage.cursor() as cursor:
            return encoded_page(
                cursor,
                rows,
                columns_of(fields),
                first=first,
                total=total,
                int64_timestamps=int64_timestamps,
            )

    return answer_page(_result_body(job), await service.jobs.in_thread(read))
