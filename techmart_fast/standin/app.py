"""The web application: routes, errors in the service's shape, and whom it talks to."""

import ipaddress
import logging
import platform
from functools import partial

import duckdb
from aiohttp import web

from techmart_fast.standin import (
    SERVICE_NAME,
    dataset_routes,
    faults,
    job_routes,
    object_routes,
    table_routes,
    uploads,
)
from techmart_fast.standin.engine_errors import of_duckdb
from techmart_fast.standin.failure import ServiceError, not_found
from techmart_fast.standin.faults import Handler
from techmart_fast.standin.service import MAX_JSON_BYTES, SERVICE, Service, answer
from techmart_fast.standin.transfers import SESSIONS

log = logging.getLogger(__name__)


def build_app(service: Service, *, with_faults: bool = False) -> web.Application:
    """The application over a service. `with_faults` adds the endpoint that tests use."""
    middlewares = [_errors, _loopback_only]
    if with_faults:
        middlewares.append(faults.strike)
    app = web.Application(middlewares=middlewares, client_max_size=MAX_JSON_BYTES)
    app[SERVICE] = service
    app[SESSIONS] = {}
    app.router.add_get("/", _about)
    for area in (dataset_routes, table_routes, job_routes, uploads, object_routes):
        app.router.add_routes(area.routes)
    if with_faults:
        asked: list[faults.Fault] = []
        app[faults.FAULTS] = asked
        service.jobs.before_running = partial(faults.strike_job, asked)
        app.router.add_routes(faults.routes)
    app.on_response_prepare.append(_sign)
    return app


async def _about(request: web.Request) -> web.Response:
    return answer(
        {
            "service": SERVICE_NAME,
            "serviceVersion": f"DuckDB {duckdb.__version__}, Python {platform.python_version()}",
            "note": "This is a stand-in on this machine. It is not BigQuery.",
        }
    )


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVICE_NAME


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ServiceError as error:
        return answer(error.body(), status=error.http_status)
    except duckdb.Error as error:
        failure = of_duckdb(error, cancelled=False)
        return answer(failure.body(), status=failure.http_status)
    except web.HTTPNotFound:
        failure = not_found("Path", request.path)
        return answer(failure.body(), status=404)
    except web.HTTPException as error:
        failure = ServiceError("invalid", error.reason)
        return answer(failure.body(), status=error.status)
    except Exception as error:
        # A defect here must be an answer in the service's shape; a bare 500 looks like a hang.
        log.exception("%s %s failed unexpectedly", request.method, request.path)
        failure = ServiceError("internalError", f"The stand-in failed: {type(error).__name__}.")
        return answer(failure.body(), status=500)


@web.middleware
async def _loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests that name another host: a web page may have lured a browser here."""
    host = request.headers.get("Host", "")
    name = host.rsplit(":", 1)[0].strip("[]") if not host.endswith("]") else host.strip("[]")
    if name != "localhost" and not _is_loopback(name):
        raise ServiceError("accessDenied", "The stand-in answers on the loopback address only.")
    return await handler(request)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
