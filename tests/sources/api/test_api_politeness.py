"""The loader keeps to rates, obeys what services say, and does not hammer what is down."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from api_support import Asked, Notes, QuickClock, endpoint, ids_of, ids_up_to, raw_server, reply
from hypothesis import given, settings
from hypothesis import strategies as st

from techmart_fast.contract.endpoint import NoPages
from techmart_fast.dev.catalog_server import (
    CatalogOptions,
    CatalogServer,
    Faults,
    Pages,
    RateLimit,
    RetryAfter,
)
from techmart_fast.errors import SourceUnavailableError
from techmart_fast.sources.api import Paused, Retrying, fetch
from techmart_fast.sources.api.deadline import Deadline
from techmart_fast.sources.api.events import Unobserved
from techmart_fast.sources.api.limiter import SAFETY_SECONDS, Grant, RateLimiter
from techmart_fast.sources.api.server_hints import Quota, quota, retry_after

ONE = reply('[{"id": 1}]')
NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_ten_thousand_products_come_once_through_failures_and_never_too_fast(
    tmp_path: Path,
) -> None:
    clock = QuickClock()
    options = CatalogOptions(
        products=10_000,
        pages=Pages(size=10),
        limit=RateLimit(rate=50),
        faults=Faults(fail=Decimal("0.05"), cut=Decimal("0.01")),
    )
    async with CatalogServer(options, clocks=clock.of_server) as server:
        asked = endpoint(
            server.address, page_size=10, limits={"requests_per_second": 50, "concurrency": 8}
        )
        got = await fetch(asked, folder=tmp_path, clocks=clock.clocks)
        stats = server.stats
    assert ids_of(got) == ids_up_to(10_000)
    assert got.complete
    assert stats.most_in_one_second <= 50
    assert 429 not in stats.answered
    assert stats.most_at_once <= 8
    assert (got.requests, got.retries) == (stats.requests, stats.requests - 1000)
    assert {500, 502, 503, 504} <= set(stats.answered)
    assert stats.cut > 0


async def test_the_rate_holds_by_the_clock_on_the_wall(tmp_path: Path) -> None:
    options = CatalogOptions(
        products=900,
        pages=Pages(size=10),
        limit=RateLimit(rate=80),
        faults=Faults(latency_ms=15, jitter_ms=15),
    )
    async with CatalogServer(options) as server:
        asked = endpoint(
            server.address, page_size=10, limits={"requests_per_second": 80, "concurrency": 8}
        )
        got = await fetch(asked, folder=tmp_path)
        # Sent evenly, they are under way for different times: as many more may arrive in a second.
        assert server.stats.most_in_one_second <= 80 + 8
    assert ids_of(got) == ids_up_to(900)


def limiter_of(rate: float, clock: QuickClock) -> RateLimiter:
    deadline = Deadline(1e6, clocks=clock.clocks, where="a service")
    return RateLimiter(rate, clocks=clock.clocks, deadline=deadline, observer=Unobserved())


@settings(max_examples=30, deadline=None)
@given(
    rate=st.integers(1, 60),
    delays=st.lists(st.floats(0, SAFETY_SECONDS), min_size=80, max_size=80),
    late=st.lists(st.floats(0, 0.05), min_size=80, max_size=80),
)
def test_no_second_of_the_server_has_more_even_where_latency_varies(
    rate: int, delays: list[float], late: list[float]
) -> None:
    clock = QuickClock()
    arrived: list[float] = []

    async def ask() -> None:
        limiter = limiter_of(rate, clock)
        for delay, idle in zip(delays, late, strict=True):
            grant = await limiter.admit()
            grant.sent()
            arrived.append(clock.seconds + delay)
            clock.seconds += idle

    asyncio.run(ask())
    arrived.sort()
    for first, later in zip(arrived, arrived[rate:], strict=False):
        assert later - first >= 1.0


@pytest.mark.parametrize("latency", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("rate", [0.5, 1, 3, 10, 50])
async def test_more_than_nine_tenths_of_the_rate_are_used(rate: float, latency: float) -> None:
    clock = QuickClock()
    pending: list[tuple[float, Grant]] = []
    limiter = limiter_of(rate, clock)
    begun, count = clock.seconds, max(20, int(10 * rate))
    for _ in range(count):
        grant = await limiter.admit()
        grant.sent()
        clock.seconds += latency / 100  # of this one, while others are in flight
        pending.append((clock.seconds + latency, grant))
        while pending and pending[0][0] <= clock.seconds:
            pending.pop(0)[1].answered()
    assert (count - 1) / (clock.seconds - begun) >= 0.9 * rate


async def test_a_request_counts_from_when_it_is_sent_not_from_its_grant() -> None:
    clock = QuickClock()
    limiter = limiter_of(1, clock)
    grant = await limiter.admit()
    clock.seconds += 5  # a slow connection
    waiting = asyncio.create_task(limiter.admit())
    await asyncio.sleep(0)
    assert not waiting.done()
    grant.sent()
    sent = clock.seconds
    await waiting
    assert clock.seconds >= sent + 1


async def test_a_stall_on_the_way_counts_as_long_as_it_may_have_been() -> None:
    clock = QuickClock()
    limiter = limiter_of(2, clock)
    for latency in (0.01, 0.01, 0.01, 0.1):
        grant = await limiter.admit()
        grant.sent()
        clock.seconds += latency
        grant.answered()
    answered = clock.seconds
    await limiter.admit()
    await limiter.admit()
    assert clock.seconds >= answered + 1


@pytest.mark.parametrize("form", [RetryAfter.SECONDS, RetryAfter.DATE])
async def test_the_server_is_asked_again_when_it_says(form: RetryAfter, tmp_path: Path) -> None:
    clock = QuickClock()
    options = CatalogOptions(
        products=100, pages=Pages(size=10), limit=RateLimit(rate=5, retry_after=form)
    )
    async with CatalogServer(options, clocks=clock.of_server) as server:
        # Faster than it allows, and blind to its quota: it has to say 429.
        asked = endpoint(server.address, page_size=10, limits={"requests_per_second": 6})
        got = await fetch(asked, folder=tmp_path, clocks=clock.clocks)
        answered = server.stats.answered
    assert ids_of(got) == ids_up_to(100)
    assert answered.get(429, 0) <= 4


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        (
            {
                "Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT",
                "Date": "Wed, 21 Oct 2026 07:28:00 GMT",
            },
            30,
        ),
        ({"Retry-After": "Thu, 01 Jan 2026 00:00:10 GMT"}, 10),
        ({"Retry-After": "Thu, 01 Jan 2025 00:00:10 GMT"}, 0),
        ({"Retry-After": "99999999999"}, 7 * 86_400),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Thu, 99 Jan 2026 00:00:10 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_both_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "9", "RateLimit-Limit": "5"}, (0, 9, 5)),
        ({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": "1767225660"}, (3, 60, None)),
        ({"RateLimit": '"default";r=0;t=30'}, (0, 30, None)),
        ({"RateLimit": "limit=100, remaining=50, reset=5"}, (50, 5, 100)),
        ({"RateLimit": "nonsense"}, None),
        ({"RateLimit-Remaining": "many", "RateLimit-Reset": "9"}, None),
        ({}, None),
    ],
)
def test_quotas_are_read_in_every_form(
    headers: dict[str, str], told: tuple[int, float, int | None] | None
) -> None:
    said = quota(headers, now=NOW)
    assert (said and (said.remaining, said.reset_seconds, said.limit)) == told


async def test_a_quota_that_is_used_up_is_waited_for_unless_it_is_kept_anyway() -> None:
    clock = QuickClock()
    limiter = limiter_of(5, clock)
    begun = clock.seconds
    limiter.respect(Quota(remaining=0, reset_seconds=1, limit=5))
    await limiter.admit()
    assert clock.seconds == begun
    limiter.respect(Quota(remaining=1, reset_seconds=100, limit=None))
    limiter.respect(Quota(remaining=0, reset_seconds=40, limit=100))
    await limiter.admit()
    assert clock.seconds == pytest.approx(begun + 40)


@pytest.mark.parametrize("status", [429, 503, 403])
async def test_everybody_waits_when_the_service_asks_for_it(status: int, tmp_path: Path) -> None:
    clock, notes = QuickClock(), Notes()
    busy = reply("{}", status=status, headers={"Retry-After": "11"})
    async with raw_server(busy, ONE) as server:
        asked = endpoint(server.address, records="", pagination=NoPages())
        got = await fetch(asked, folder=tmp_path, clocks=clock.clocks, observer=notes)
    assert (got.records, got.retries) == (1, 1)
    assert got.waited_seconds == pytest.approx(11)
    assert [round(event.seconds) for event in notes.of(Paused)] == [11]


async def test_a_wait_beyond_the_deadline_is_not_begun(tmp_path: Path) -> None:
    clock = QuickClock()
    busy = reply("{}", status=429, headers={"Retry-After": "4000"})
    async with raw_server(busy) as server:
        asked = endpoint(server.address, records="", pagination=NoPages())
        with pytest.raises(SourceUnavailableError, match=r"3600 s .*come later \(status 429\)"):
            await fetch(asked, folder=tmp_path, clocks=clock.clocks)
    assert clock.slept == []
    assert len(server.asked) == 1


async def test_a_service_that_refuses_for_ever_is_given_up(tmp_path: Path) -> None:
    clock = QuickClock()
    async with raw_server(reply("{}", status=429)) as server:
        asked = endpoint(server.address, records="", pagination=NoPages())
        with pytest.raises(SourceUnavailableError, match="in a row as too many"):
            await fetch(asked, folder=tmp_path, clocks=clock.clocks)
    assert len(server.asked) < 40


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again_with_a_growing_wait(
    status: int, tmp_path: Path
) -> None:
    clock, notes = QuickClock(chance=0.999), Notes()
    failing = reply("{}", status=status)
    async with raw_server(failing, failing, failing, ONE) as server:
        asked = endpoint(server.address, records="", pagination=NoPages())
        got = await fetch(asked, folder=tmp_path, clocks=clock.clocks, observer=notes)
    assert got.retries == 3
    waits = [event.seconds for event in notes.of(Retrying)]
    assert waits == pytest.approx([0.5, 1, 2], rel=0.01)
    assert [event.reason for event in notes.of(Retrying)] == [f"status {status}"] * 3


@pytest.mark.parametrize("status", [400, 404, 410, 405, 501, 304, 206])
async def test_what_does_not_pass_is_not_tried_again(status: int, tmp_path: Path) -> None:
    async with raw_server(reply(status=status)) as server:
        asked = endpoint(server.address, records="", pagination=NoPages())
        with pytest.raises(Exception, match=f"status {status}"):
            await fetch(asked, folder=tmp_path, clocks=QuickClock().clocks)
    assert len(server.asked) == 1


async def test_a_page_is_given_up_after_its_retries(tmp_path: Path) -> None:
    async with raw_server(reply("{}", status=500)) as server:
        asked = endpoint(server.address, limits={"retries": 2})
        with pytest.raises(SourceUnavailableError, match="did not come in 3 attempts: status 500"):
            await fetch(asked, folder=tmp_path, clocks=QuickClock().clocks)
    assert len(server.asked) == 3


async def test_a_dead_service_is_not_hammered(tmp_path: Path) -> None:
    clock, notes = QuickClock(), Notes()
    first = '{"data": [{"id": 1}], "total": 100}'

    async with raw_server(reply(first), reply("{}", status=502)) as server:
        asked = endpoint(
            server.address, limits={"retries": 100, "failures_in_a_row": 10, "concurrency": 8}
        )
        with pytest.raises(SourceUnavailableError, match=r"seems to be down: .* status 502"):
            await fetch(asked, folder=tmp_path, clocks=clock.clocks, observer=notes)
    # Page 1, ten failures, what was in flight by then, and three probes.
    assert len(server.asked) <= 1 + 10 + 8 + 3
    assert [event.seconds for event in notes.of(Paused)] == [5, 10, 20]


async def test_a_service_that_comes_back_is_asked_on(tmp_path: Path) -> None:
    clock, notes = QuickClock(), Notes()
    counts: Counter[str] = Counter()

    def answer(asked: Asked) -> bytes:
        counts["all"] += 1
        if 2 <= counts["all"] <= 10:
            return reply("{}", status=503)
        page = asked.number("page")
        return reply(f'{{"data": [{{"id": {page}}}], "total": 20}}')

    async with raw_server(answer) as server:
        asked = endpoint(
            server.address,
            page_size=1,
            limits={"failures_in_a_row": 8, "concurrency": 4, "retries": 20},
        )
        got = await fetch(asked, folder=tmp_path, clocks=clock.clocks, observer=notes)
    assert got.records == 20
    assert notes.of(Paused)


async def test_cut_answers_are_asked_for_again(tmp_path: Path) -> None:
    cut = reply('[{"id": 1}]')[:-3]
    chunked = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b'Transfer-Encoding: chunked\r\n\r\n5\r\n[{"id\r\n'
    )
    closing = cut.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    no_length = closing.replace(b"Content-Length", b"X-Length")
    async with raw_server(closing, chunked, no_length, b"Connection: close", ONE) as server:
        asked = endpoint(server.address, records="", pagination=NoPages())
        got = await fetch(asked, folder=tmp_path, clocks=QuickClock().clocks)
    assert (got.records, got.retries, len(server.asked)) == (1, 4, 5)


async def test_no_request_is_repeated_beside_the_rate_limit(tmp_path: Path) -> None:
    """A connection that is closed while it is idle: aiohttp would ask again by itself."""
    first = '{"data": [{"id": 1}, {"id": 2}], "total": 3}'
    last = '{"data": [{"id": 3}], "total": 3}'
    async with raw_server(reply(first), b"Connection: close", reply(last)) as server:
        asked = endpoint(server.address, page_size=2)
        got = await fetch(asked, folder=tmp_path, clocks=QuickClock().clocks)
    assert (got.records, got.retries, got.requests) == (3, 1, 3)
    assert len(server.asked) == 3
