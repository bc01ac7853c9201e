"""Every kind of pagination gives all records once, in order, whatever the order of arrival."""

import asyncio
import json
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from api_support import (
    STYLES,
    Asked,
    Notes,
    QuickClock,
    endpoint,
    ids_of,
    ids_up_to,
    left_in,
    raw_server,
    records_of,
    reply,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from techmart_fast.contract import default_contract
from techmart_fast.contract.endpoint import Cursors, NextAddresses, NoPages, NumberedPages, Offsets
from techmart_fast.dev.catalog_server import CatalogOptions, CatalogServer, Faults, Pages
from techmart_fast.errors import SourceAnswerError
from techmart_fast.records import Feed
from techmart_fast.sources import discover
from techmart_fast.sources.api import PageFetched, fetch

SMALL = CatalogOptions(products=25, pages=Pages(size=10, max_size=20))


@pytest.mark.parametrize("style", STYLES)
async def test_every_pagination_gives_every_record_once_and_in_order(
    style: str, tmp_path: Path
) -> None:
    async with CatalogServer(SMALL) as server:
        asked = endpoint(server.address, f"/{style}/products", page_size=10, **STYLES[style])
        got = await fetch(asked, folder=tmp_path, required=["product_id", "price"])
    assert ids_of(got) == ids_up_to(25)
    assert (got.records, got.complete, got.unchanged) == (25, True, False)
    assert not any(change.breaking for change in got.changes)
    assert got.pages == (1 if style == "all" else 3)
    assert got.path is not None
    assert left_in(tmp_path) == [got.path.name]
    assert got.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("style", STYLES)
async def test_a_server_may_give_fewer_records_than_it_is_asked_for(
    style: str, tmp_path: Path
) -> None:
    async with CatalogServer(SMALL) as server:
        asked = endpoint(server.address, f"/{style}/products", page_size=1000, **STYLES[style])
        got = await fetch(asked, folder=tmp_path)
    assert ids_of(got) == ids_up_to(25)


@pytest.mark.parametrize("style", STYLES)
async def test_an_empty_catalogue_is_an_empty_file(style: str, tmp_path: Path) -> None:
    async with CatalogServer(CatalogOptions(products=0)) as server:
        asked = endpoint(server.address, f"/{style}/products", **STYLES[style])
        got = await fetch(asked, folder=tmp_path, required=["product_id"])
    assert (got.records, got.size_bytes, got.complete) == (0, 0, True)


@pytest.mark.parametrize("products", [0, 1, 19, 20, 21])
@pytest.mark.parametrize(
    ("path", "pages"),
    [
        ("/page/products", NumberedPages(total_pages="", total_records="")),
        ("/offset/products", Offsets(total_records="")),
    ],
)
async def test_pages_without_a_total_are_asked_for_until_one_is_empty(
    path: str, pages: NumberedPages | Offsets, products: int, tmp_path: Path
) -> None:
    async with CatalogServer(CatalogOptions(products=products)) as server:
        asked = endpoint(server.address, path, page_size=10, pagination=pages)
        got = await fetch(asked, folder=tmp_path)
    assert ids_of(got) == ids_up_to(products)
    assert got.complete


@pytest.mark.parametrize(
    ("sizes", "complete"), [((2, 2, 1), True), ((2, 2, 2), False), ((2, 1, 2), False)]
)
async def test_a_page_that_is_not_there_ends_the_list(
    sizes: tuple[int, ...], complete: bool, tmp_path: Path
) -> None:
    def answer(asked: Asked) -> bytes:
        page = asked.number("page")
        if page > len(sizes):
            return reply("{}", status=404)
        return reply(json.dumps([{"id": f"{page}-{n}"} for n in range(sizes[page - 1])]))

    async with raw_server(answer) as server:
        asked = endpoint(server.address, records="", page_size=2)
        got = await fetch(asked, folder=tmp_path)
    assert (got.records, got.complete) == (sum(sizes), complete)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.permutations(range(2, 9)), style=st.sampled_from(["page", "offset"]))
def test_any_order_of_arrival_gives_the_same_capture(order: list[int], style: str) -> None:
    async def captured() -> tuple[str, list[int]]:
        came: dict[int, asyncio.Event] = {page: asyncio.Event() for page in order}
        come: list[int] = []

        async def answer(asked: Asked) -> bytes:
            page = asked.number("page") if style == "page" else asked.number("offset") + 1
            if page > 1:
                # Each page waits for the one that the order has before it.
                place = order.index(page)
                if place:
                    await came[order[place - 1]].wait()
            come.append(page)
            if page in came:
                came[page].set()
            rows = f'[{{"id": "{page}", "price": {page}.10}}]'
            return reply(f'{{"data": {rows}, "total": 8}}')

        words = {"page": NumberedPages(total_pages=""), "offset": Offsets()}
        async with raw_server(answer) as server:
            asked = endpoint(
                server.address, pagination=words[style], page_size=1, limits={"concurrency": 7}
            )
            with tempfile.TemporaryDirectory() as folder:
                got = await fetch(asked, folder=Path(folder))
                assert got.path is not None
                return got.path.read_text(), come

    text, come = asyncio.run(captured())
    assert text == "".join(f'{{"id": "{page}", "price": {page}.10}}\n' for page in range(1, 9))
    assert come == [1, *order]


async def test_numbers_are_kept_to_the_last_digit(tmp_path: Path) -> None:
    rows = '[{"p": 19.990000000000000001, "q": 1e400, "r": -0.0, "s": 123456789012345678901234567}]'
    pretty = rows.replace(", ", ",\r\n    ")
    async with raw_server(reply(pretty)) as server:
        got = await fetch(
            endpoint(server.address, records="", pagination=NoPages()), folder=tmp_path
        )
    assert got.path is not None
    (line,) = got.path.read_text().splitlines()
    for text in ("19.990000000000000001", "1e400", "-0.0", "123456789012345678901234567"):
        assert text in line
    assert json.loads(line, parse_float=Decimal)["p"] == Decimal("19.990000000000000001")


@pytest.mark.parametrize(("products", "form"), [(25, "ndjson"), (1, "ndjson"), (0, "empty")])
async def test_a_capture_is_a_file_like_any_other(products: int, form: str, tmp_path: Path) -> None:
    async with CatalogServer(CatalogOptions(products=products)) as server:
        got = await fetch(endpoint(server.address), folder=tmp_path)
    (file,) = discover(Feed.PRODUCTS, [str(got.path)], contract=default_contract())
    assert (file.format, file.fingerprint, file.size_bytes) == (form, got.sha256, got.size_bytes)


async def test_records_may_be_deep_in_the_answer(tmp_path: Path) -> None:
    body = '{"meta": {"data": [9]}, "result": {"n": 1, "items": [{"a": 1}, {"a": [2]}]}}'
    async with raw_server(reply(body)) as server:
        asked = endpoint(server.address, records="result.items", pagination=NoPages())
        got = await fetch(asked, folder=tmp_path)
    assert records_of(got) == [{"a": 1}, {"a": [2]}]


async def test_a_cursor_may_be_a_field_of_the_last_record(tmp_path: Path) -> None:
    replies = [
        reply('{"data": [{"id": "a"}, {"id": "b&c"}], "has_more": true}'),
        reply('{"data": [{"id": "d"}], "has_more": false}'),
    ]
    pages = Cursors(parameter="starting_after", last_record="id", more="has_more")
    async with raw_server(*replies) as server:
        got = await fetch(endpoint(server.address, pagination=pages), folder=tmp_path)
    assert [record["id"] for record in records_of(got)] == ["a", "b&c", "d"]
    assert "starting_after=b%26c" in server.asked[1].target


async def test_a_next_address_may_be_relative(tmp_path: Path) -> None:
    replies = [reply('{"data": [{"id": 1}], "next": "?p=2%2F"}'), reply('{"data": [{"id": 2}]}')]
    async with raw_server(*replies) as server:
        asked = endpoint(server.address, "/v1/things", pagination=NextAddresses())
        got = await fetch(asked, folder=tmp_path)
    assert got.records == 2
    assert server.asked[1].target == "/v1/things?p=2%2F"


async def test_records_that_come_meanwhile_are_fetched_and_told(tmp_path: Path) -> None:
    totals = iter([4, 6, 6])

    def answer(asked: Asked) -> bytes:
        page = asked.number("page")
        rows = [{"id": 2 * page}, {"id": 2 * page + 1}]
        return reply(json.dumps({"data": rows, "total": next(totals)}))

    async with raw_server(answer) as server:
        got = await fetch(endpoint(server.address, page_size=2), folder=tmp_path)
    assert (got.records, got.first_total, got.last_total) == (6, 4, 6)
    assert got.shifted
    assert not got.complete


async def test_records_that_are_missing_make_the_catalogue_incomplete(tmp_path: Path) -> None:
    async with raw_server(reply('{"data": [{"id": 1}], "total": 1}')) as server:
        whole = await fetch(endpoint(server.address), folder=tmp_path)
    replies = [reply('{"data": [{"id": 1}, {"id": 2}], "total": 4}'), reply('{"data": []}')]
    async with raw_server(*replies) as server:
        part = await fetch(endpoint(server.address), folder=tmp_path)
    assert (whole.complete, part.complete) == (True, False)


async def test_a_short_first_page_may_be_an_exception(tmp_path: Path) -> None:
    def answer(asked: Asked) -> bytes:
        page = asked.number("page")
        if page > 3:
            return reply("{}", status=404)
        rows = [{"id": 10 * page + number} for number in range(1 if page == 1 else 2)]
        return reply(json.dumps({"data": rows, "total": 6}))

    async with raw_server(answer) as server:
        got = await fetch(endpoint(server.address, page_size=2), folder=tmp_path)
    assert (got.records, got.complete) == (5, False)


@pytest.mark.parametrize(
    ("pages", "rest", "complete"),
    [
        (NextAddresses(), "", False),
        (NextAddresses(), ', "next": null', True),
        (NextAddresses(), ', "total": 2', True),
        (Cursors(), "", False),
        (Cursors(), ', "next_cursor": ""', True),
        (Cursors(more="more"), ', "more": false', True),
    ],
)
async def test_a_full_page_that_says_nothing_of_the_next_one_may_not_be_the_last(
    pages: NextAddresses | Cursors, rest: str, complete: bool, tmp_path: Path
) -> None:
    async with raw_server(reply(f'{{"data": [{{"id": 1}}, {{"id": 2}}]{rest}}}')) as server:
        full = endpoint(server.address, pagination=pages, page_size=2)
        assert (await fetch(full, folder=tmp_path)).complete is complete
        if "more" not in rest:
            short = endpoint(server.address, pagination=pages, page_size=3)
            assert (await fetch(short, folder=tmp_path)).complete


async def test_more_records_than_announced_are_an_error(tmp_path: Path) -> None:
    body = '{"data": [{"id": 1}, {"id": 2}], "total": 1}'
    async with raw_server(reply(body)) as server:
        with pytest.raises(SourceAnswerError, match="announced 1 records, and has more"):
            await fetch(endpoint(server.address), folder=tmp_path)
    assert left_in(tmp_path) == []


async def test_query_and_headers_are_sent_with_every_request(tmp_path: Path) -> None:
    async with CatalogServer(SMALL) as server:
        asked = endpoint(server.address, query={"pagination": "offset"}, pagination=Offsets())
        got = await fetch(asked, folder=tmp_path)
    assert got.records == 25
    async with raw_server(reply("[]")) as raw:
        asked = endpoint(
            raw.address, "/p?v=1", records="", pagination=NoPages(), headers={"X-Shop": "7"}
        )
        await fetch(asked, folder=tmp_path)
    assert raw.asked[0].target == "/p?v=1"
    assert raw.asked[0].headers["X-Shop"] == "7"
    assert raw.asked[0].headers["Accept"].startswith("application/json")


async def test_pages_are_never_more_at_once_than_set(tmp_path: Path) -> None:
    options = CatalogOptions(
        products=300, pages=Pages(size=10), faults=Faults(latency_ms=4, jitter_ms=4)
    )
    notes = Notes()
    async with CatalogServer(options) as server:
        asked = endpoint(server.address, page_size=10, limits={"concurrency": 5})
        got = await fetch(asked, folder=tmp_path, observer=notes, clocks=QuickClock().clocks)
        assert 1 < server.stats.most_at_once <= 5
    assert ids_of(got) == ids_up_to(300)
    assert sorted(event.page for event in notes.of(PageFetched)) == list(range(1, 31))
