"""Answers a request for products: which page, in which shape, with which links."""

from collections.abc import Callable, Sequence

from aiohttp import web

from techmart_fast.dev.catalog_server.answers import answer_page
from techmart_fast.dev.catalog_server.options import Misbehaviour, Pagination
from techmart_fast.dev.catalog_server.pagination import Asked, Window, cursor, parse, place, window
from techmart_fast.dev.catalog_server.products import Products
from techmart_fast.dev.catalog_server.shape import page_text
from techmart_fast.dev.catalog_server.state import State

_BROKEN_PAGE = 7
_To = Callable[[int], str]


def list_products(
    request: web.Request,
    state: State,
    *,
    style: Pagination | None,
    misbehave: Misbehaviour | None,
) -> web.Response:
    """The page of products that a request asks for.

    Raises:
        BadQueryError: it asks for what makes no sense.
    """
    products, options = state.products, state.options
    asked = parse(request.query, style, options.pages)
    found = products.since(asked.since)
    part = window(asked, len(found), misbehave)

    def to(start: int) -> str:
        return str(request.url.update_query(place(asked, start)))

    text = page_text(
        [_record(products, found, position) for position in range(part.start, part.end)],
        _around(asked, part, to),
        number=asked.number,
        drift=options.drift,
    )
    body = text.encode()
    if misbehave is Misbehaviour.BROKEN_JSON and asked.number == _BROKEN_PAGE:
        body = body[: len(body) * 2 // 3]
    shown = {found[position % len(found)] for position in range(part.start, part.end)}
    return answer_page(
        request,
        body,
        modified=max(map(products.updated_at, shown), default=products.newest),
        headers=_headers(asked, part, to),
        content_type="text/plain" if misbehave is Misbehaviour.WRONG_TYPE else "application/json",
    )


def _record(products: Products, found: Sequence[int], position: int) -> dict[str, str]:
    lap, place_in_lap = divmod(position, len(found))
    values = products.values(found[place_in_lap])
    if lap:  # endless pages bring ever new products
        values["product_id"] += f"x{lap}"
    return values


def _around(asked: Asked, part: Window, to: _To) -> dict[str, object] | None:
    """What stands beside the records in a page's object; None where the page is a bare array."""
    match asked.style:
        case Pagination.PAGE:
            return {
                "page": asked.number,
                "per_page": asked.size,
                "total": part.total,
                "total_pages": -(-part.total // asked.size),
            }
        case Pagination.OFFSET:
            return {"offset": asked.start, "limit": asked.size, "total": part.total}
        case Pagination.CURSOR:
            after = None if part.after is None else cursor(part.after, asked.since)
            return {"next_cursor": after, "has_more": after is not None}
        case Pagination.NEXT:
            return {
                "next": None if part.after is None else to(part.after),
                "previous": None if part.before is None else to(part.before),
                "total": part.total,
            }
        case Pagination.LINK | Pagination.ALL:
            return None


def _headers(asked: Asked, part: Window, to: _To) -> dict[str, str]:
    if asked.style is Pagination.ALL:
        return {"X-Total-Count": str(part.total)}
    if asked.style is not Pagination.LINK:
        return {}
    last = max(0, part.total - 1) // asked.size * asked.size
    places = {"first": 0, "prev": part.before, "next": part.after, "last": last}
    links = [f'<{to(start)}>; rel="{rel}"' for rel, start in places.items() if start is not None]
    return {"Link": ", ".join(links), "X-Total-Count": str(part.total)}
