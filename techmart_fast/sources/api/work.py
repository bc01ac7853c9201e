"""One attempt at a fetch: pages are asked for, stored as they come, and judged in their order."""

import asyncio
import hashlib
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

from techmart_fast.contract.endpoint import Endpoint, Links, NextAddresses
from techmart_fast.errors import SourceAnswerError, SourceError
from techmart_fast.sources.api.checkpoint import Checkpoint
from techmart_fast.sources.api.entry import Entry
from techmart_fast.sources.api.events import Observer, PageFetched, Resumed
from techmart_fast.sources.api.fetch_folder import Capture, FetchFolder
from techmart_fast.sources.api.following import Following
from techmart_fast.sources.api.page import PageContent, read_page
from techmart_fast.sources.api.plan import Request, plan_for
from techmart_fast.sources.api.redirects import follow
from techmart_fast.sources.api.requester import Requester
from techmart_fast.sources.api.review import Review
from techmart_fast.sources.api.revisit import (
    conditions,
    next_validators,
    next_watermark,
    since_query,
)
from techmart_fast.sources.api.server_hints import http_date
from techmart_fast.sources.api.shape import Shape
from techmart_fast.sources.api.transport import Answer
from techmart_fast.together import task_group

_NO_CONTENT, _NOT_MODIFIED, _NOT_FOUND = 204, 304, 404
_ENTRIES_AT_ONCE = 100
_DATE_PRECISION = timedelta(seconds=1)
_QUICK_BYTES = 32 << 10
_MOST_VALIDATOR_CHARACTERS = 1_000
_Result = TypeVar("_Result")


class Disk(Protocol):
    """Runs what blocks in the one thread that may touch the folder, to its end."""

    async def __call__(
        self,
        work: Callable[[], _Result],
        *,
        quick: bool = False,
        on_cancel: Callable[[], object] | None = None,
    ) -> _Result:
        """The result of the work. What is `quick` may run in the caller's thread."""


class Work:
    """Gets the pages of an endpoint into a folder."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        since: Checkpoint | None,
        required: Collection[str],
        fields: Collection[str] | None,
        observer: Observer,
        stored: FetchFolder,
        disk: Disk,
        requester: Requester,
    ) -> None:
        query = since_query(endpoint, since)
        self._endpoint = endpoint
        self._since = since
        self._observer = observer
        self._stored = stored
        self._disk = disk
        self._requester = requester
        self._plan = plan_for(endpoint, query=query)
        self._first_address = self._plan.first
        self._is_partial = bool(query)
        self._review = Review(
            endpoint,
            known=since.shape if since else Shape(),
            required=required,
            fields=fields,
            observer=observer,
            is_wanted=self._plan.is_wanted,
        )

    @property
    def review(self) -> Review:
        """What was judged until now."""
        return self._review

    @property
    def is_complete(self) -> bool:
        """Whether all records that the service has are there, as far as it tells."""
        return not self._is_partial and self._is_consistent

    @property
    def _is_consistent(self) -> bool:
        totals = self._review.totals
        return not (totals.shifted or totals.missing or self._review.ends_doubtfully)

    async def run(self, entries: Sequence[Entry]) -> bool:
        """Get the pages that are missing; False if the service says that nothing has changed.

        Raises:
            SourceError: they can't be had, or make no sense.
        """
        for number, entry in enumerate(entries):
            await self._learn(entry)
            if number % _ENTRIES_AT_ONCE == 0:
                await asyncio.sleep(0)  # others have their turn: heartbeats, signals
        if entries:
            records = sum(entry.records for entry in entries)
            self._observer.saw(Resumed(pages=len(entries), records=records))
        else:
            headers = conditions(self._first_address, self._since)
            first = self._plan.next()
            if first is not None and not await self._get(first, headers):
                return False
        workers = self._endpoint.limits.concurrency if self._plan.is_concurrent else 1
        async with task_group() as tasks:
            for number in range(workers):
                tasks.create_task(self._work(), name=f"techmart-api-{number}")
        totals = self._review.totals
        if totals.missing and not totals.records:
            await self._discard()
            raise SourceAnswerError(
                f"{self._endpoint.where} announced {totals.missing:,} records, and gave none.",
                hint="Check `records` and the pagination in the contract, or ask the operator.",
            )
        return True

    async def capture(self, folder: Path) -> Capture:
        """Write all pages into one file, and remove them."""
        stop = threading.Event()
        captured = await self._disk(
            lambda: self._stored.capture(
                folder, pages=self._review.totals.pages, is_stopped=stop.is_set
            ),
            on_cancel=stop.set,
        )
        if captured is None:  # only who is cancelled stops it, and is not here any more
            raise SourceError("The capture was stopped.", transient=True)
        await self._disk(self._stored.remove)
        return captured

    def next_checkpoint(self) -> Checkpoint:
        """What the next fetch needs to know of this one."""
        first, totals = self._review.first, self._review.totals
        if not self._is_consistent:
            # What did not come this time is asked for again.
            return Checkpoint(
                selection=self._endpoint.selection,
                watermark=self._since.watermark if self._since else None,
                shape=self._review.next_shape(),
            )
        return Checkpoint(
            selection=self._endpoint.selection,
            watermark=next_watermark(self._since, totals.newest, started=self._started(first)),
            validators=next_validators(
                self._endpoint, address=self._first_address, first=first, records=totals.records
            )
            if first is not None
            else None,
            shape=self._review.next_shape(),
        )

    def _started(self, first: Entry | None) -> datetime:
        """When the fetch began, by the clock that is behind: this machine's or the service's."""
        started = self._stored.state.started
        if first is None or first.served_at is None:
            return started
        return min(started, first.served_at - _DATE_PRECISION)

    async def _work(self) -> None:
        while (request := await self._next()) is not None:
            await self._get(request, {})

    async def _next(self) -> Request | None:
        try:
            return self._plan.next()
        except SourceAnswerError:
            await self._discard()
            raise

    async def _get(self, request: Request, headers: Mapping[str, str]) -> bool:
        """Get a page; False if the service says that it has not changed."""
        page = request.page

        def is_wanted() -> bool:
            return self._plan.is_wanted(page)

        try:
            answer = await self._requester.get(
                request.address,
                page=page,
                conditions=headers,
                may_be_absent=self._plan.is_guess(page),
                is_wanted=is_wanted,
            )
            if answer is None or not is_wanted():
                return True
            if answer.status == _NOT_MODIFIED:
                return False
            quick = len(answer.body) <= _QUICK_BYTES and not self._stored.is_sync_due
            entry = await self._disk(lambda: self._store(page, answer), quick=quick)
        except SourceError:
            # What goes wrong behind the last page is nobody's trouble.
            if is_wanted():
                raise
            return True
        self._observer.saw(
            PageFetched(page=page, records=entry.records, total_records=entry.total_records)
        )
        await self._learn(entry)
        return True

    async def _learn(self, entry: Entry) -> None:
        try:
            self._plan.learn(entry)
            self._review.take(entry)
        except SourceAnswerError:
            # The pages make no sense together: going on with them would fail for ever.
            await self._discard()
            raise

    async def _discard(self) -> None:
        await self._disk(self._stored.remove)

    def _store(self, page: int, answer: Answer) -> Entry:
        absent = answer.status == _NOT_FOUND
        is_empty = absent or answer.status == _NO_CONTENT
        content = _NOTHING if is_empty else read_page(answer.body, self._endpoint, page=page)
        self._check_size(len(content.lines))
        entry = Entry(
            page=page,
            offset=self._stored.next_offset,
            size_bytes=len(content.lines),
            sha256=hashlib.sha256(content.lines).hexdigest(),
            records=content.records,
            total_records=content.total_records,
            total_pages=content.total_pages,
            following=self._following(page, answer, content),
            newest=content.newest,
            shape=content.shape,
            etag=_validator(answer, "ETag"),
            last_modified=_validator(answer, "Last-Modified"),
            ends=content.following.ends,
            absent=absent,
            served_at=http_date(answer.headers.get("Date", "")),
        )
        self._stored.add(entry, content.lines)
        return entry

    def _check_size(self, more_bytes: int) -> None:
        most = self._endpoint.limits.max_total_bytes
        if self._stored.next_offset + more_bytes > most:
            self._stored.remove()
            raise SourceAnswerError(
                f"The records of {self._endpoint.where} have more than {most:,} bytes "
                "(limits.max_total_bytes).",
                hint="Raise the limit if that is right and the disk has room.",
            )

    def _following(self, page: int, answer: Answer, content: PageContent) -> str | None:
        told = content.following.told
        if isinstance(self._endpoint.pagination, Links):
            told = answer.next_address
        elif not isinstance(self._endpoint.pagination, NextAddresses):
            return told
        if told is None:
            return None
        place = f"Page {page} of {self._endpoint.where}"
        return str(follow(answer.address, told, what=f"{place} leads on"))


def _validator(answer: Answer, name: str) -> str | None:
    value = answer.headers.get(name, "")
    fits = value.isascii() and value.isprintable() and len(value) <= _MOST_VALIDATOR_CHARACTERS
    return value if value and fits else None


_NOTHING = PageContent(
    lines=b"",
    records=0,
    total_records=None,
    total_pages=None,
    following=Following(),
    newest=None,
    shape=Shape(),
)
