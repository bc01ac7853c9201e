"""Answers that are wrong as a whole, whatever page was asked for."""

import asyncio

from aiohttp import web

from techmart_fast.dev.catalog_server.answers import answer_error
from techmart_fast.dev.catalog_server.bomb import bomb, nested_bomb
from techmart_fast.dev.catalog_server.options import Misbehaviour
from techmart_fast.dev.catalog_server.state import State

_HTML = (
    "<!DOCTYPE html>\n<html><head><title>Maintenance</title></head>"
    "<body><h1>We will be back soon</h1></body></html>\n"
)


async def wrong_answer(
    request: web.Request, state: State, misbehave: Misbehaviour | None
) -> web.Response | None:
    """The wrong answer of a misbehaviour; None where pages are listed, rightly or not."""
    answer: web.Response | None = None
    match misbehave:
        case Misbehaviour.NEVER_ANSWERS:
            await state.pause(None)
            answer = answer_error(503, "closing", "The server is closing.")
        case Misbehaviour.HTML_PAGE:
            answer = web.Response(text=_HTML, content_type="text/html")
        case Misbehaviour.GZIP_BOMB:
            answer = _packed(await asyncio.to_thread(bomb), "gzip")
        case Misbehaviour.NESTED_BOMB:
            answer = _packed(await asyncio.to_thread(nested_bomb), "gzip, gzip")
        case Misbehaviour.REDIRECT:
            answer = _redirect(state.options.redirect_to or _same_server_by_another_name(request))
        case Misbehaviour.REDIRECT_LOOP:
            answer = _redirect(str(request.url))
        case _:
            pass
    return answer


def _packed(body: bytes, coding: str) -> web.Response:
    headers = {"Content-Encoding": coding}
    return web.Response(body=body, headers=headers, content_type="application/json")


def _redirect(to: str) -> web.Response:
    return web.Response(status=302, headers={"Location": to})


def _same_server_by_another_name(request: web.Request) -> str:
    """The well-behaved products at another origin: where no credentials should follow."""
    other = "127.0.0.1" if request.url.host == "localhost" else "localhost"
    return str(request.url.with_host(other).with_path("/products"))
