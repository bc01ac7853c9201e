"""The web application: who is let in, what befalls a request, and which handler answers it."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from aiohttp import web

from techmart_fast.dev.catalog_server.access import challenges, may_ask
from techmart_fast.dev.catalog_server.answers import (
    CutAnswer,
    answer_error,
    answer_json,
    http_date,
)
from techmart_fast.dev.catalog_server.listing import list_products
from techmart_fast.dev.catalog_server.loopback import is_loopback_host
from techmart_fast.dev.catalog_server.misbehave import wrong_answer
from techmart_fast.dev.catalog_server.options import Misbehaviour, Pagination, RetryAfter
from techmart_fast.dev.catalog_server.pagination import BadQueryError
from techmart_fast.dev.catalog_server.ratelimit import Admission
from techmart_fast.dev.catalog_server.state import STATE, State

SERVER_NAME = "techmart-catalog-server"
_ASIDE = frozenset({"/", "/stats", "/revise"})
"""Paths of the server about itself: not counted, not limited, and nothing befalls them."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(state: State) -> web.Application:
    """The application over a state."""
    app = web.Application(middlewares=[_loopback_only, _counted, _limited, _known, _fated])
    app[STATE] = state
    style = "{style:" + "|".join(Pagination) + "}"
    misbehave = "/misbehave/{kind:" + "|".join(Misbehaviour) + "}"
    for place in ("", f"/{style}", misbehave, f"{misbehave}/{style}"):
        app.router.add_get(f"{place}/products", _products)
    app.router.add_get("/", _about)
    app.router.add_get("/stats", _stats)
    app.router.add_post("/revise", _revise)
    app.on_response_prepare.append(_sign)
    return app


async def _products(request: web.Request) -> web.Response:
    state = request.app[STATE]
    kind, style = request.match_info.get("kind"), request.match_info.get("style")
    misbehave = state.options.misbehave if kind is None else Misbehaviour(kind)
    wrong = await wrong_answer(request, state, misbehave)
    if wrong is not None:
        return wrong
    named = None if style is None else Pagination(style)
    return list_products(request, state, style=named, misbehave=misbehave)


async def _about(request: web.Request) -> web.Response:
    styles = [f"/{style}/products" for style in Pagination]
    return answer_json(
        {
            "service": SERVER_NAME,
            "note": "A simulated catalogue on this machine, for trying out and for tests.",
            "products": ["/products", *styles],
            "misbehave": [f"/misbehave/{kind}/products" for kind in Misbehaviour],
            "stats": "/stats",
            "revise": "POST /revise?products=10",
        }
    )


async def _stats(request: web.Request) -> web.Response:
    return answer_json(request.app[STATE].tally.stats().as_object())


async def _revise(request: web.Request) -> web.Response:
    state = request.app[STATE]
    count = request.query.get("products", "1")
    if not (count.isascii() and count.isdigit() and len(count) <= 9):
        return answer_error(400, "bad_query", "products must be a whole number from 0 on.")
    state.products = state.products.revised(int(count))
    return answer_json(
        {
            "revised": min(int(count), state.products.count),
            "updated_at": f"{state.products.newest:%Y-%m-%dT%H:%M:%SZ}",
        }
    )


@web.middleware
async def _loopback_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests that name another host: a web page may have lured a browser here."""
    if not is_loopback_host(request.headers.get("Host", "")):
        return answer_error(403, "loopback_only", "The server answers on this machine only.")
    return await handler(request)


@web.middleware
async def _counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count a request and its answer, which is always one in the server's own shape."""
    if request.path in _ASIDE:
        return await handler(request)
    tally = request.app[STATE].tally
    tally.arrive()
    answer: web.StreamResponse | None = None
    try:
        answer = await _in_shape(request, handler)
    finally:
        if answer is None:
            tally.abandon()
        elif isinstance(answer, CutAnswer):
            tally.cut()
        else:
            tally.answer(answer.status)
    # Counted before it is sent: its client may look at the counts as soon as it has it.
    return await answer.send(request) if isinstance(answer, CutAnswer) else answer


async def _in_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadQueryError as error:
        return answer_error(400, "bad_query", str(error))
    except web.HTTPNotFound:
        return answer_error(404, "not_found", "There is nothing here; GET / tells what there is.")
    except web.HTTPMethodNotAllowed as error:
        return answer_error(
            405, "bad_method", "This only reads.", {"Allow": error.headers["Allow"]}
        )


@web.middleware
async def _limited(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Admit as many requests as the rolling second may have, over all clients."""
    state = request.app[STATE]
    if state.limit is None or request.path in _ASIDE:
        return await handler(request)
    admission = state.limit.admit()
    if admission.admitted:
        answer = await _in_shape(request, handler)
    else:
        later = _later(state, admission)
        answer = answer_error(429, "too_many_requests", "More than a second may have.", later)
    answer.headers["RateLimit-Limit"] = str(admission.limit)
    answer.headers["RateLimit-Remaining"] = str(admission.remaining)
    answer.headers["RateLimit-Reset"] = str(admission.wait_seconds)
    return answer


def _later(state: State, admission: Admission) -> dict[str, str]:
    match state.options.limit.retry_after:
        case RetryAfter.SECONDS:
            return {"Retry-After": str(admission.wait_seconds)}
        case RetryAfter.DATE:
            moment = state.now() + timedelta(microseconds=-(-admission.wait_ns // 1_000))
            # A date has whole seconds: rounded up, so that nobody who obeys comes too early.
            whole = moment.replace(microsecond=0)
            return {"Retry-After": http_date(whole + timedelta(seconds=int(whole < moment)))}
        case RetryAfter.NONE:
            return {}


@web.middleware
async def _known(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests without credentials, where some are needed."""
    access = request.app[STATE].options.access
    if request.path in _ASIDE or may_ask(request.headers, access):
        return await handler(request)
    answer = answer_error(401, "unauthorised", "Credentials are missing or wrong.")
    for challenge in challenges(access):
        answer.headers.add("WWW-Authenticate", challenge)
    return answer


@web.middleware
async def _fated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let happen to a request what its number and the seed say."""
    if request.path in _ASIDE:
        return await handler(request)
    state = request.app[STATE]
    fate = state.next_fate()
    if fate.delay_seconds > 0:
        await state.pause(fate.delay_seconds)
    if fate.status is not None:
        return answer_error(fate.status, "server_error", "A failure that was asked for.")
    answer = await _in_shape(request, handler)
    if fate.cut is None or not isinstance(answer, web.Response):
        return answer
    return CutAnswer(answer, fate.cut)


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER_NAME
