"""Fetches all records of an endpoint into one file: the parts, and how they are put together."""

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from aiohttp.abc import AbstractResolver

from techmart_fast.contract.endpoint import Endpoint
from techmart_fast.sources.api.checkpoint import Checkpoint
from techmart_fast.sources.api.clocks import Clocks
from techmart_fast.sources.api.credentials import read_secret
from techmart_fast.sources.api.deadline import Deadline
from techmart_fast.sources.api.entry import Entry
from techmart_fast.sources.api.events import Observer, Unobserved
from techmart_fast.sources.api.fetch_folder import FetchFolder
from techmart_fast.sources.api.limiter import RateLimiter
from techmart_fast.sources.api.requester import Requester
from techmart_fast.sources.api.result import Fetched
from techmart_fast.sources.api.revisit import since_query
from techmart_fast.sources.api.transport import Transport
from techmart_fast.sources.api.work import Work
from techmart_fast.together import to_its_end

_Result = TypeVar("_Result")


async def fetch(
    endpoint: Endpoint,
    *,
    folder: Path,
    since: Checkpoint | None = None,
    required: Collection[str] = (),
    fields: Collection[str] | None = None,
    observer: Observer | None = None,
    clocks: Clocks | None = None,
    resolver: AbstractResolver | None = None,
) -> Fetched:
    """Fetch every page of an endpoint and write its records, exactly, into one file in `folder`.

    `since` is the checkpoint of the last fetch whose rows are committed. `required` are the names
    that the records' required fields have at the service, `fields` those of all that are read
    (None: every one). The file is the same whatever the order in which pages come. If the fetch is
    interrupted, by a failure of the service, cancellation or a crash, the pages stay, and the next
    call goes on with those that are missing. Memory: an answer for every request in flight, and
    what it takes to read one of them. `resolver` replaces the system's.

    Raises:
        ConfigError: the secret is not where the endpoint says.
        SourceAccessError: the service refuses, or leads to an address that must not be asked.
        SourceDriftError: the shape has changed, and the endpoint's policy is to stop.
        SourceAnswerError: an answer, or all of them together, make no sense.
        SourceUnavailableError: the service is down, too slow or too busy for the limits.
        SourceError: another process fetches the same; there is no such host; TLS fails.
        SpoolError: the pages can't be stored.
    """
    clocks, observer = clocks or Clocks(), observer or Unobserved()
    if since is not None and since.selection != endpoint.selection:
        since = None
    secret = await asyncio.to_thread(read_secret, endpoint.auth)
    limits = endpoint.limits
    deadline = Deadline(limits.total_seconds, clocks=clocks, where=endpoint.where)
    limiter = RateLimiter(
        limits.requests_per_second, clocks=clocks, deadline=deadline, observer=observer
    )
    with ThreadPoolExecutor(1, thread_name_prefix="techmart-api") as pool, ExitStack() as opened:
        disk = _Disk(pool)

        def open_folder() -> tuple[FetchFolder, list[Entry]]:
            stored, entries = FetchFolder.open(
                folder,
                identity=endpoint.identity,
                since="".join(since_query(endpoint, since).values()),
                now=clocks.now(),
                resume_seconds=limits.resume_seconds,
            )
            # Here, as a cancelled caller would never see what was opened.
            return opened.enter_context(stored), entries

        stored, entries = await disk(open_folder)
        transport = Transport(endpoint, secret=secret, limiter=limiter, resolver=resolver)
        requester = Requester(
            endpoint,
            transport=transport,
            limiter=limiter,
            deadline=deadline,
            observer=observer,
            clocks=clocks,
        )
        work = Work(
            endpoint,
            since=since,
            required=required,
            fields=fields,
            observer=observer,
            stored=stored,
            disk=disk,
            requester=requester,
        )
        async with transport:
            try:
                # The deadline's clock may be a test's; what never answers is up to the loop's own.
                async with asyncio.timeout(limits.total_seconds):
                    changed = await work.run(entries)
            except TimeoutError:
                raise deadline.passed("the service was too slow") from None
        capture = await work.capture(folder) if changed else None
        if capture is None:
            await disk(stored.remove)
        totals = work.review.totals
        return Fetched(
            path=capture.path if capture else None,
            sha256=capture.sha256 if capture else "",
            size_bytes=capture.size_bytes if capture else 0,
            fetch_id=stored.state.fetch_id,
            records=totals.records,
            pages=totals.pages,
            resumed_pages=len(entries),
            requests=transport.requests,
            retries=requester.retries,
            waited_seconds=deadline.waited_seconds,
            unchanged=not changed,
            complete=changed and work.is_complete,
            first_total=totals.first_total,
            last_total=totals.last_total,
            shifted=totals.shifted,
            missing=totals.missing if changed else 0,
            doubtful=changed and work.review.ends_doubtfully,
            changes=work.review.changes,
            checkpoint=work.next_checkpoint() if changed or since is None else since,
        )


class _Disk:
    """Runs what blocks in one thread, one after another, each to its end.

    What is `quick` (well under a millisecond) runs here if the thread has nothing to do: with both
    at work on small pages they take the interpreter's lock from each other, and a page takes twice
    as long.
    """

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._running = 0

    async def __call__(
        self,
        work: Callable[[], _Result],
        *,
        quick: bool = False,
        on_cancel: Callable[[], object] | None = None,
    ) -> _Result:
        if quick and not self._running:
            return work()
        loop = asyncio.get_running_loop()
        self._running += 1
        try:
            running = loop.run_in_executor(self._pool, work)
            return await to_its_end(running, on_cancel=on_cancel)
        finally:
            self._running -= 1
