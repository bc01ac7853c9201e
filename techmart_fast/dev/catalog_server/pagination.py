"""Which products a request asks for, and where the pages before and after them are."""

import binascii
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from techmart_fast.dev.catalog_server.options import Misbehaviour, Pages, Pagination

_MAX_NUMBER = 1 << 53
_LOOPS_AFTER = 3
"""The page after which a looping cursor leads back to the page before it."""


class BadQueryError(ValueError):
    """A request asks for what makes no sense; the message tells its author what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request asks for. `start` and `size` count records; a `size` of 0 is all of them."""

    style: Pagination
    start: int
    size: int
    since: datetime | None

    @property
    def number(self) -> int:
        """The page that begins here, counted from 1 in pages of this size."""
        return 1 if self.size == 0 else self.start // self.size + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The records of a page: those from `start` up to (not with) `end`, of `total`.

    `before` and `after` are where the neighbouring pages begin, None where there is none. With
    endless pages `end` goes beyond `total`: the products come again, under new ids.
    """

    start: int
    end: int
    total: int
    before: int | None
    after: int | None


def parse(query: Mapping[str, str], style: Pagination | None, pages: Pages) -> Asked:
    """What a query asks for. `style` is the one that the path names, if it does.

    Otherwise the query decides: `pagination=…`, or the words of a style; else it is `pages.style`.

    Raises:
        BadQueryError: a number, a cursor, a moment or a style can't be read.
    """
    style = style or _style(query, pages)
    since = _moment(query.get("updated_since"))
    if style is Pagination.ALL:
        return Asked(style=style, start=0, size=0, since=since)
    by_record = style in (Pagination.OFFSET, Pagination.CURSOR)
    size_word = "limit" if by_record else "per_page"
    size = min(_number(query, size_word, pages.size, least=1), pages.max_size)
    if style is Pagination.OFFSET:
        start = _number(query, "offset", 0, least=0)
    elif style is Pagination.CURSOR:
        start = read_cursor(query["cursor"], since) if query.get("cursor") else 0
    else:
        start = (_number(query, "page", 1, least=1) - 1) * size
    return Asked(style=style, start=start, size=size, since=since)


def window(asked: Asked, total: int, misbehave: Misbehaviour | None = None) -> Window:
    """The part of `total` records that a request gets, perhaps the wrong one."""
    size, start = asked.size or max(1, total), asked.start
    if misbehave is Misbehaviour.ENDLESS_PAGES:
        end = start + size if total else start
        return Window(
            start=start, end=end, total=total, before=_before(start, size), after=start + size
        )
    if misbehave is Misbehaviour.SAME_PAGE:
        # A start beyond the second page is taken for it; so every page leads to itself for ever.
        shown = min(start, size if total > size else 0)
        return Window(
            start=shown,
            end=min(shown + size, total),
            total=total,
            before=_before(start, size),
            after=start + size,
        )
    end = min(start + size, total)
    after = end if end < total and start < total else None
    if misbehave is Misbehaviour.LOOPING_CURSOR and (
        after is None or start // size + 1 >= _LOOPS_AFTER
    ):
        after = max(0, min(start, total) - size)
    return Window(
        start=min(start, total),
        end=max(min(start, total), end),
        total=total,
        before=_before(min(start, total + size), size),
        after=after,
    )


def place(asked: Asked, start: int) -> dict[str, str]:
    """The words of a query that ask for the page that begins at `start`, in the same style."""
    if asked.style is Pagination.ALL:
        return {}
    if asked.style is Pagination.OFFSET:
        return {"offset": str(start), "limit": str(asked.size)}
    if asked.style is Pagination.CURSOR:
        return {"cursor": cursor(start, asked.since), "limit": str(asked.size)}
    return {"page": str(start // asked.size + 1), "per_page": str(asked.size)}


def cursor(start: int, since: datetime | None) -> str:
    """An opaque cursor for the page that begins at `start`; it is of use with the same filter."""
    return urlsafe_b64encode(f"{start}.{_check(start, since)}".encode()).decode().rstrip("=")


def read_cursor(text: str, since: datetime | None) -> int:
    """Where the page of a cursor begins.

    Raises:
        BadQueryError: it is not one of the server's, or was given for another filter.
    """
    try:
        plain = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        plain = ""
    start, _, check = plain.partition(".")
    if not start.isdigit() or len(start) > 16 or check != _check(int(start), since):
        raise BadQueryError("The cursor is not one that this catalogue gave for this filter.")
    return int(start)


def _check(start: int, since: datetime | None) -> str:
    filtered = "" if since is None else str(since.timestamp())
    return hashlib.sha256(f"{start} {filtered}".encode()).hexdigest()[:10]


def _before(start: int, size: int) -> int | None:
    return max(0, start - size) if start > 0 else None


def _style(query: Mapping[str, str], pages: Pages) -> Pagination:
    named = query.get("pagination")
    if named is not None:
        try:
            return Pagination(named)
        except ValueError:
            kinds = ", ".join(Pagination)
            raise BadQueryError(f"There is no such pagination; there are {kinds}.") from None
    if "cursor" in query:
        return Pagination.CURSOR
    if "offset" in query:
        return Pagination.OFFSET
    # `per_page` is a word of three styles: it alone does not change the server's own.
    numbered = (Pagination.PAGE, Pagination.LINK, Pagination.NEXT)
    if ("page" in query or "per_page" in query) and pages.style not in numbered:
        return Pagination.PAGE
    if "limit" in query and pages.style not in (Pagination.OFFSET, Pagination.CURSOR):
        return Pagination.OFFSET
    return pages.style


def _number(query: Mapping[str, str], word: str, otherwise: int, *, least: int) -> int:
    text = query.get(word)
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise BadQueryError(f"{word} must be a whole number from {least} on.")
    number = int(text)
    if not least <= number <= _MAX_NUMBER:
        raise BadQueryError(f"{word} must be a whole number from {least} on.")
    return number


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadQueryError(
            "updated_since must be a time with an offset, like 2024-12-31T00:00:00Z "
            "(in an address a plus is written %2B)."
        )
    return moment
