"""Which pages are still to be asked for, and at which addresses: no waiting, no I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from yarl import URL

from techmart_fast.contract.endpoint import (
    Cursors,
    Endpoint,
    NoPages,
    NumberedPages,
    Offsets,
)
from techmart_fast.errors import SourceAnswerError
from techmart_fast.sources.api.entry import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A page to ask for. Pages count from 1, whatever the service calls them."""

    page: int
    address: URL


_MOST_EMPTY = 10
"""Pages without records, one after another, behind which none is expected."""


class Plan(Protocol):
    """Hands out requests; more of them while pages are in flight, if pagination allows it."""

    @property
    def first(self) -> URL:
        """The address of the first page."""

    @property
    def is_concurrent(self) -> bool:
        """Whether further requests are known while one is in flight."""

    def learn(self, entry: Entry) -> None:
        """Take note of a page that is here.

        Raises:
            SourceAnswerError: it leads to a page that was here before.
        """

    def next(self) -> Request | None:
        """The next page to ask for; None if there is none, or none yet.

        Raises:
            SourceAnswerError: there are more pages than allowed.
        """

    def is_wanted(self, page: int) -> bool:
        """Whether a page may belong to the list, by what is known now: also its empty end."""

    def is_guess(self, page: int) -> bool:
        """Whether nobody told that there is this page."""


def plan_for(endpoint: Endpoint, *, query: dict[str, str]) -> Plan:
    """The plan of an endpoint; `query` comes on top of its own."""
    base = URL(endpoint.address).update_query({**endpoint.query, **query})
    pages = endpoint.pagination
    size_word = "" if isinstance(pages, NoPages) else pages.size_parameter
    if size_word:
        base = base.update_query({size_word: str(endpoint.page_size)})
    if isinstance(pages, NumberedPages):
        parameter, first = pages.parameter, pages.first
        return Numbered(
            endpoint,
            lambda page, _size: base.update_query({parameter: str(first + page - 1)}),
        )
    if isinstance(pages, Offsets):
        word = pages.parameter
        return Numbered(
            endpoint, lambda page, size: base.update_query({word: str((page - 1) * size)})
        )
    if isinstance(pages, Cursors):
        name = pages.parameter
        return Chained(endpoint, base, lambda told: base.update_query({name: told}))
    return Chained(endpoint, base, lambda told: URL(told, encoded=True))


class Numbered:
    """Pages by number or offset: the first one alone, then as many at once as are allowed.

    How many there are is told by the service, or found out: behind the last page there are empty
    ones. A short page proves nothing, as a service may give fewer records than it was asked for.
    """

    is_concurrent = True

    def __init__(self, endpoint: Endpoint, address: Callable[[int, int], URL]) -> None:
        self._endpoint = endpoint
        self._address = address
        self.first = address(1, 0)
        self._known: set[int] = set()
        self._next = 1
        self._size = 0
        self._announced: int | None = None
        self._sure = 1
        self._first_empty: int | None = None
        self._last_full = 1
        self._most_empty = max(_MOST_EMPTY, 2 * endpoint.limits.concurrency)

    def learn(self, entry: Entry) -> None:
        """Take note of a page."""
        self._known.add(entry.page)
        if entry.page == 1:
            # Not what was asked for: that may be more than the service gives.
            self._size = entry.records
        if entry.total_pages is not None:
            self._announce(entry.total_pages, sure=entry.total_pages)
        elif entry.total_records is not None and self._size:
            # A first page that is short may be all that the service gives, or an exception.
            largest = max(self._size, self._endpoint.page_size)
            self._announce(
                -(-entry.total_records // self._size), sure=-(-entry.total_records // largest)
            )
        if entry.records:
            self._last_full = max(entry.page, self._last_full)
        else:
            self._first_empty = min(entry.page, self._first_empty or entry.page)

    def next(self) -> Request | None:
        """The lowest page that nobody asked for yet."""
        if self._next > 1 and 1 not in self._known:
            return None
        while self._next in self._known:
            self._next += 1
        page = self._next
        if not self.is_wanted(page):
            return None
        check_pages(page, self._endpoint)
        self._next += 1
        return Request(page=page, address=self._address(page, self._size))

    def is_wanted(self, page: int) -> bool:
        """Whether a page may belong to the list."""
        if page == 1:
            return True
        if self._announced is not None:
            # Some services filter what is on a page; but nothing after many empty ones is no page.
            ends = self._first_empty is not None and page > self._last_full + self._most_empty
            return page <= self._announced and not ends
        return self._first_empty is None or page <= self._first_empty

    def is_guess(self, page: int) -> bool:
        """Whether nobody told that there is this page."""
        return page > self._sure

    def _announce(self, pages: int, *, sure: int) -> None:
        self._sure = max(sure, self._sure)
        # Where records come or go meanwhile, the highest number counts: an empty page costs little.
        self._announced = max(pages, self._announced or 0)


class Chained:
    """Pages of which each one tells the next; `address` makes an address of what it tells."""

    is_concurrent = False

    def __init__(self, endpoint: Endpoint, first: URL, address: Callable[[str], URL]) -> None:
        self._endpoint = endpoint
        self._address = address
        self.first = first
        self._page = 1
        self._following: URL | None = first
        self._seen = {first: 1}

    def learn(self, entry: Entry) -> None:
        """Take note of a page."""
        self._page = entry.page + 1
        self._following = None if entry.following is None else self._address(entry.following)
        if self._following is None:
            return
        before = self._seen.setdefault(self._following, self._page)
        if before != self._page:
            raise SourceAnswerError(
                f"Page {entry.page} of {self._endpoint.where} leads back to page {before}: the "
                "pages go in a circle.",
                hint="Ask the service's operator, or check pagination in the contract.",
            )

    def next(self) -> Request | None:
        """The page that the last one told."""
        address, self._following = self._following, None
        if address is None:
            return None
        check_pages(self._page, self._endpoint)
        return Request(page=self._page, address=address)

    def is_wanted(self, page: int) -> bool:
        """Whether a page may hold records: every one that was told."""
        return page >= 1

    def is_guess(self, page: int) -> bool:
        """Whether nobody told that there is this page: never."""
        return page < 1


def check_pages(page: int, endpoint: Endpoint) -> None:
    """See that a page is not one too many.

    Raises:
        SourceAnswerError: it is.
    """
    most = endpoint.limits.max_pages
    if page > most:
        raise SourceAnswerError(
            f"{endpoint.where} has more than {most:,} pages (limits.max_pages).",
            hint="If they do not go on for ever, raise the limit or page_size.",
        )
