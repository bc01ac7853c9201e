"""The seam for tests: requests and jobs that fail, hang or lose their answer, as asked for before.

Only a stand-in started with `--faults` has it. `POST /standin/faults` takes a list of faults and
replaces the ones before; each is used up by matching requests or jobs. `GET` tells how far.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from techmart_fast.standin.failure import HTTP_STATUS, ServiceError
from techmart_fast.standin.jobs import Job
from techmart_fast.standin.service import answer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault. It strikes `times` requests whose method and path match, or `times` jobs.

    Attributes:
        method: e.g. `POST`, or empty for any.
        path: a regular expression, searched in the path.
        job: a regular expression, searched in a job's id: the job is struck, not a request.
        reason, status: the error to answer with; nothing is done of the request unless `after`.
            Of a job: it ends with this reason, and has done nothing.
        after: do the request, then answer with the error.
        drop: `before` closes the connection at once; `after` does the request, then closes it.
        delay_seconds: wait before anything else.
    """

    method: str = ""
    path: str = ""
    job: str = ""
    reason: str = ""
    status: int = 0
    after: bool = False
    drop: str = ""
    delay_seconds: float = 0.0
    times: int = 1

    def strikes(self, request: web.Request) -> bool:
        """Whether it applies to a request."""
        return (
            self.times > 0
            and not self.job
            and self.method in ("", request.method)
            and re.search(self.path, request.path) is not None
        )


FAULTS: web.AppKey[list[Fault]] = web.AppKey("faults", list)
routes = web.RouteTableDef()
PATH = "/standin/faults"


@routes.post(PATH)
async def replace(request: web.Request) -> web.Response:
    """Set the faults to come."""
    body = await request.json()
    request.app[FAULTS][:] = [Fault(**one) for one in body]
    return answer({"faults": len(request.app[FAULTS])})


@routes.get(PATH)
async def left(request: web.Request) -> web.Response:
    """How many strikes each of the faults has left, in their order."""
    return answer({"left": [fault.times for fault in request.app[FAULTS]]})


@web.middleware
async def strike(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the first fault that applies strike."""
    fault = None
    if request.path != PATH:
        fault = next((one for one in request.app[FAULTS] if one.strikes(request)), None)
    if fault is None:
        return await handler(request)
    fault.times -= 1
    if fault.delay_seconds:
        await asyncio.sleep(fault.delay_seconds)
    if fault.drop == "after" or fault.after:
        await handler(request)
    if fault.drop:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)
    if fault.reason or fault.status:
        reason = fault.reason or "backendError"
        error = ServiceError(reason, f"A fault that was asked for: {reason}.")
        return answer(error.body(), status=fault.status or HTTP_STATUS.get(reason, 500))
    return await handler(request)


async def strike_job(faults: list[Fault], job: Job) -> None:
    """Let the first fault that applies to a job about to run strike.

    Raises:
        ServiceError: the job shall fail, or was cancelled while it was held up.
    """
    fault = next(
        (one for one in faults if one.job and one.times > 0 and re.search(one.job, job.job_id)),
        None,
    )
    if fault is None:
        return
    fault.times -= 1
    if await asyncio.to_thread(job.cancelled.wait, fault.delay_seconds):
        raise ServiceError("stopped", "Job execution was cancelled.")
    if fault.reason:
        raise ServiceError(fault.reason, f"A fault that was asked for: {fault.reason}.")
