"""The catalogue server's limits, credentials, faults, misbehaviours, and how it begins and ends."""

import asyncio
import gzip
import json
import signal
import socket
import subprocess
import sys
import zlib
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import aiohttp
import pytest
import requests
from catalog_support import Client, HandClock, serving
from hypothesis import given
from hypothesis import strategies as st

from techmart_fast.cli import catalog_command as command
from techmart_fast.cli.cataloguing import catalog_options
from techmart_fast.dev.catalog_server import (
    Access,
    CatalogOptions,
    CatalogServer,
    Clocks,
    Drift,
    DriftKind,
    Faults,
    Misbehaviour,
    Pages,
    Pagination,
    RateLimit,
    RetryAfter,
)
from techmart_fast.dev.catalog_server.bomb import EXPANDED_BYTES, bomb, nested_bomb
from techmart_fast.dev.catalog_server.faults import fate_of
from techmart_fast.dev.catalog_server.products import request_dice
from techmart_fast.dev.catalog_server.ratelimit import SECOND_NS, RollingLimit, RollingPeak
from techmart_fast.errors import ConfigError

SMALL = Pages(size=2)


@given(
    limit=st.integers(1, 5),
    steps=st.lists(st.integers(0, SECOND_NS // 2), min_size=1, max_size=60),
)
def test_no_rolling_second_has_more_than_the_limit_and_none_less_than_it_could(
    limit: int, steps: list[int]
) -> None:
    clock = HandClock()
    window, admitted = RollingLimit(limit, clock), []
    for step in steps:
        clock.now_ns += step
        recent = [moment for moment in admitted if clock.now_ns - moment < SECOND_NS]
        said = window.admit()
        assert said.admitted is (len(recent) < limit)
        if said.admitted:
            admitted.append(clock.now_ns)
            recent.append(clock.now_ns)
        assert said.remaining == limit - len(recent)
        assert said.wait_ns == recent[0] + SECOND_NS - clock.now_ns


def test_the_busiest_rolling_second_is_remembered() -> None:
    clock = HandClock()
    peak = RollingPeak(clock)
    for step in (0, SECOND_NS - 1, 1, 0, 5 * SECOND_NS):
        clock.now_ns += step
        peak.arrive()
    assert peak.most == 3


@pytest.mark.parametrize(
    ("form", "told"),
    [
        (RetryAfter.SECONDS, "1"),
        (RetryAfter.DATE, "Wed, 01 Jan 2025 00:00:02 GMT"),
        (RetryAfter.NONE, None),
    ],
)
async def test_too_many_requests_are_told_when_to_come_again(
    form: RetryAfter, told: str | None
) -> None:
    ticks = HandClock()
    clocks = Clocks(ticks=ticks, now=lambda: datetime(2025, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC))
    options = CatalogOptions(products=5, limit=RateLimit(rate=2, retry_after=form))
    async with serving(options, clocks=clocks) as client:
        said = [await client.get("/products") for _ in range(3)]
        assert [one.status for one in said] == [200, 200, 429]
        assert [one.headers["RateLimit-Remaining"] for one in said] == ["1", "0", "0"]
        assert {one.headers["RateLimit-Limit"] for one in said} == {"2"}
        assert {one.headers["RateLimit-Reset"] for one in said} == {"1"}
        assert said[2].headers.get("Retry-After") == told
        ticks.now_ns += SECOND_NS - 1
        assert (await client.get("/nothing")).status == 429
        ticks.now_ns += 1
        missing = await client.get("/nothing")
        assert (missing.status, missing.headers["RateLimit-Remaining"]) == (404, "1")
        stats = client.server.stats
    assert (stats.requests, stats.answered) == (5, {200: 2, 429: 2, 404: 1})
    assert stats.most_in_one_second == 4


ACCESS = Access(token="t0ken", api_key="k3y", basic="ann:pässword")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic t0ken"}, 401),
        ({"Authorization": "Basic !"}, 401),
        ({"X-Api-Key": ""}, 401),
        ({"X-Api-Key": "t0ken"}, 401),
        ({"Authorization": "bearer t0ken"}, 200),
        ({"X-Api-Key": "k3y"}, 200),
        ({"Authorization": "Basic " + b64encode("ann:pässword".encode()).decode()}, 200),
    ],
)
async def test_any_of_the_credentials_opens_and_nothing_else(
    headers: dict[str, str], status: int
) -> None:
    async with serving(CatalogOptions(products=1, access=ACCESS)) as client:
        said = await client.get("/products", headers=headers)
        assert said.status == status
        assert ("WWW-Authenticate" in said.headers) is (status == 401)
        assert (await client.get("/stats")).status == 200


def test_credentials_are_not_shown() -> None:
    assert "t0ken" not in repr(CatalogOptions(access=ACCESS))


async def outcomes(client: Client, count: int) -> list[str]:
    """What became of requests one after the other: a status, or `cut`."""
    seen = []
    for _ in range(count):
        try:
            seen.append(str((await client.get("/products")).status))
        except aiohttp.ClientError:
            seen.append("cut")
    return seen


async def test_requests_fail_and_are_cut_as_the_seed_says() -> None:
    faults = Faults(fail=Decimal("0.2"), cut=Decimal("0.2"))
    options = CatalogOptions(products=50, faults=faults, seed=5)
    async with serving(options) as client:
        first, stats = await outcomes(client, 60), client.server.stats
    async with serving(options) as client:
        assert await outcomes(client, 60) == first
    assert first.count("cut") == stats.cut > 0
    assert stats.answered == {
        int(status): first.count(status) for status in set(first) if status != "cut"
    }
    assert set(first) == {"200", "500", "502", "503", "504", "cut"}
    assert stats.requests == 60
    assert stats.in_flight == 0


async def test_every_answer_can_be_cut() -> None:
    options = CatalogOptions(products=50, faults=Faults(cut=Decimal(1)))
    async with serving(options) as client:
        assert set(await outcomes(client, 20)) == {"cut"}
        assert client.server.stats.cut == 20


@given(seed=st.integers(0, (1 << 63) - 1), ordinal=st.integers(1, 10**6))
def test_a_delay_stays_within_the_jitter_and_a_cut_within_the_body(seed: int, ordinal: int) -> None:
    faults = Faults(latency_ms=80, jitter_ms=60, cut=Decimal(1))
    fate = fate_of(request_dice(seed, ordinal), faults)
    assert 0.02 <= fate.delay_seconds <= 0.14
    assert fate == fate_of(request_dice(seed, ordinal), faults)
    assert fate.cut is not None
    for size in (2, 3, 1000):
        assert 1 <= fate.cut.kept_bytes(size) < size
    assert fate.cut.kept_bytes(0) == fate.cut.kept_bytes(1) == 0


async def until(is_so: Callable[[], bool]) -> None:
    """Let the event loop work until something is so."""
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - the server has no event for its counts
            await asyncio.sleep(0)


async def test_requests_under_way_at_once_are_counted() -> None:
    options = CatalogOptions(products=1)
    async with serving(options) as client:
        never = [
            asyncio.create_task(client.get("/misbehave/never-answers/products")) for _ in range(3)
        ]
        await until(lambda: client.server.stats.in_flight == 3)
        never[0].cancel()
        await until(lambda: client.server.stats.in_flight == 2)
        stats = client.server.stats
        assert (stats.most_at_once, stats.abandoned, stats.requests) == (3, 1, 3)
        told = (await client.get("/stats")).json()
        assert told == stats.as_object()
        await client.server.__aexit__(None, None, None)
        await asyncio.gather(*never, return_exceptions=True)


async def follow(client: Client, place: str, pages: int) -> list[list[str]]:
    """Ids of some pages, following `next`."""
    seen = []
    while place and len(seen) < pages:
        body = (await client.get(place)).json()
        seen.append([one["product_id"][-3:].lstrip("0") for one in body["data"]])
        place = body["next"]
    return seen


async def test_endless_pages_bring_new_products_for_ever() -> None:
    async with serving(CatalogOptions(products=5, pages=SMALL)) as client:
        pages = await follow(client, "/misbehave/endless-pages/next/products", 9)
    records = [one for page in pages for one in page]
    assert (len(records), len(set(records))) == (18, 18)


async def test_the_second_page_repeats_for_ever() -> None:
    async with serving(CatalogOptions(products=5, pages=SMALL)) as client:
        pages = await follow(client, "/misbehave/same-page/next/products", 5)
    assert pages == [["1", "2"], *[["3", "4"]] * 4]


async def test_a_cursor_leads_back() -> None:
    seen, more = [], ""
    async with serving(CatalogOptions(products=9, pages=SMALL)) as client:
        for _ in range(6):
            place = f"/misbehave/looping-cursor/cursor/products?{more}"
            body = (await client.get(place)).json()
            seen.append(int(body["data"][0]["product_id"][-3:]))
            more = f"cursor={body['next_cursor']}"
    assert seen == [1, 3, 5, 3, 5, 3]


async def test_page_seven_is_no_json() -> None:
    options = CatalogOptions(products=20, pages=SMALL, misbehave=Misbehaviour.BROKEN_JSON)
    async with serving(options) as client:
        for page in (6, 8):
            assert (await client.get(f"/products?page={page}")).json()["data"]
        broken = await client.get("/products?page=7")
    assert (broken.status, broken.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(json.JSONDecodeError):
        broken.json()


async def test_wrong_pages_and_types_come_with_status_200() -> None:
    async with serving(CatalogOptions(products=2)) as client:
        html = await client.get("/misbehave/html-page/products")
        text = await client.get("/misbehave/wrong-type/products")
        right = await client.get("/products")
    assert (html.status, html.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert html.body.startswith(b"<!DOCTYPE html>")
    assert text.headers["Content-Type"].startswith("text/plain")
    assert text.body == right.body


async def test_redirects_lead_to_another_origin_or_nowhere() -> None:
    async with serving(CatalogOptions(products=2)) as client:
        port = client.server.address.rpartition(":")[2]
        away = await client.get("/misbehave/redirect/products?page=1")
        assert (away.status, away.headers["Location"]) == (
            302,
            f"http://localhost:{port}/products",
        )
        loop = await client.get("/misbehave/redirect-loop/products")
        assert (
            loop.headers["Location"] == f"{client.server.address}/misbehave/redirect-loop/products"
        )
    options = CatalogOptions(
        products=2, misbehave=Misbehaviour.REDIRECT, redirect_to="http://example.com/x"
    )
    async with serving(options) as client:
        assert (await client.get("/products")).headers["Location"] == "http://example.com/x"


@pytest.mark.parametrize("size", [2, 1000, 1 << 20, (3 << 20) + 5])
def test_a_bomb_is_a_right_gzip_file_of_white_space(size: int) -> None:
    expanded = gzip.decompress(bomb(size))
    assert len(expanded) == size
    assert json.loads(expanded) == []
    assert gzip.decompress(nested_bomb(size)) == bomb(size)


async def test_the_bombs_that_are_served_are_small() -> None:
    async with serving(CatalogOptions(products=1)) as client:
        for kind, coding, most in (
            ("gzip-bomb", "gzip", 600_000),
            ("nested-bomb", "gzip, gzip", 16_384),
        ):
            async with client.session.get(
                f"{client.server.address}/misbehave/{kind}/products", auto_decompress=False
            ) as answer:
                assert answer.headers["Content-Encoding"] == coding
                body = await answer.read()
            assert len(body) < most
    assert int.from_bytes(bomb()[-4:], "little") == EXPANDED_BYTES
    assert zlib.decompressobj(31).decompress(bomb(), 10) == b"[         "


async def test_other_hosts_are_refused() -> None:
    async with serving(CatalogOptions(products=1)) as client:
        for host, status in (("shop.example", 403), ("localhost", 200), ("[::1]:80", 200)):
            assert (await client.get("/products", headers={"Host": host})).status == status


async def test_the_server_tells_what_it_has() -> None:
    async with serving(CatalogOptions(products=1)) as client:
        about = (await client.get("/")).json()
        for place in about["products"]:
            assert (await client.get(place)).status == 200
        assert (await client.get("/products", method="POST")).status == 405
        assert (await client.get("/revise?products=x", method="POST")).status == 400
        assert (await client.get("/products")).headers["Server"] == "techmart-catalog-server"


async def test_the_end_leaves_no_task_and_no_socket() -> None:
    before = asyncio.all_tasks()
    slow = CatalogOptions(products=1, faults=Faults(latency_ms=600_000))
    async with aiohttp.ClientSession() as session:
        async with CatalogServer(slow) as server:
            address = server.address
            asked = asyncio.create_task(session.get(address + "/products"))
            await until(lambda: server.stats.in_flight == 1)
        await asyncio.gather(asked, return_exceptions=True)
        assert "stopped" in repr(server)
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(address)
    assert asyncio.all_tasks() == before


async def test_a_taken_port_is_a_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="Choose another port"):
            async with CatalogServer(CatalogOptions(port=port)):
                pass


@pytest.mark.parametrize(
    "make",
    [
        lambda: CatalogOptions(port=70_000),
        lambda: CatalogOptions(products=-1),
        lambda: CatalogOptions(seed=-1),
        lambda: CatalogOptions(redirect_to="elsewhere"),
        lambda: Pages(size=501),
        lambda: Pages(max_size=0),
        lambda: RateLimit(rate=-1),
        lambda: Faults(fail=Decimal("1.1")),
        lambda: Faults(cut=Decimal("NaN")),
        lambda: Faults(latency_ms=-1),
        lambda: Faults(latency_ms=5, jitter_ms=6),
        lambda: Drift(kind=DriftKind.NEW_FIELD, from_page=0),
        lambda: Drift(kind=DriftKind.MISSING_FIELD, field="colour"),
        lambda: Access(token=""),
        lambda: Access(api_key="a b"),
        lambda: Access(basic="ann"),
    ],
)
def test_options_that_make_no_sense_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigError):
        make()


def test_the_words_and_defaults_of_the_command_are_those_of_the_options() -> None:
    assert tuple(Pagination) == command.PAGINATIONS
    assert tuple(RetryAfter) == command.RETRY_AFTER
    assert tuple(DriftKind) == command.DRIFTS
    assert tuple(Misbehaviour) == command.MISBEHAVIOURS
    context = command.catalog_server.make_context("catalog-server", [])
    assert catalog_options(context.params) == CatalogOptions()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_a_signal_and_ends_with_0(number: signal.Signals) -> None:
    arguments = ("dev", "catalog-server", "--json", "--products", "7")
    with subprocess.Popen(
        [sys.executable, "-m", "techmart_fast", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        told = json.loads(child.stdout.readline())
        answer = requests.get(told["url"] + "/all/products", timeout=60)
        assert len(answer.json()) == told["products"] == 7
        child.send_signal(number)
        assert child.wait(timeout=60) == 0
        assert child.stdout.read() == ""
