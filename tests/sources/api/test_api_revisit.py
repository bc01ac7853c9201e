"""An unchanged catalogue costs one 304, and a watermark asks for no more than what changed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from api_support import (
    START,
    STYLES,
    Asked,
    QuickClock,
    endpoint,
    ids_of,
    ids_up_to,
    left_in,
    raw_server,
    records_of,
    reply,
)

from techmart_fast.contract.endpoint import Incremental, NoPages
from techmart_fast.dev.catalog_server import CatalogOptions, CatalogServer, Pages
from techmart_fast.errors import SourceAnswerError, SourceDriftError
from techmart_fast.sources.api import Checkpoint, fetch

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def stored(checkpoint: Checkpoint) -> Checkpoint:
    return Checkpoint.model_validate_json(checkpoint.model_dump_json())


# That there is no header `Link` is no part of a page, and none of what its ETag vouches for.
@pytest.mark.parametrize("style", [style for style in STYLES if style != "link"])
async def test_an_unchanged_catalogue_of_one_page_costs_one_304(style: str, tmp_path: Path) -> None:
    async with CatalogServer(CatalogOptions(products=25)) as server:
        asked = endpoint(server.address, f"/{style}/products", **STYLES[style])
        first = await fetch(asked, folder=tmp_path)
        assert first.path is not None
        requests = server.stats.requests
        again = await fetch(asked, folder=tmp_path, since=stored(first.checkpoint))
        assert server.stats.requests - requests == 1
        assert server.stats.answered[304] == 1
        assert (again.unchanged, again.path, again.records, again.complete) == (
            True,
            None,
            0,
            False,
        )
        assert again.checkpoint == first.checkpoint
        assert left_in(tmp_path) == [first.path.name]
        server.revise(3)
        changed = await fetch(asked, folder=tmp_path, since=stored(again.checkpoint))
    assert (changed.unchanged, changed.records) == (False, 25)


async def test_the_first_of_several_pages_does_not_vouch_for_the_others(tmp_path: Path) -> None:
    async with CatalogServer(CatalogOptions(products=30, pages=Pages(size=10))) as server:
        asked = endpoint(server.address, page_size=10)
        first = await fetch(asked, folder=tmp_path)
        assert first.checkpoint.validators is None
        again = await fetch(asked, folder=tmp_path, since=first.checkpoint)
        assert (again.unchanged, again.records) == (False, 30)


async def test_it_does_where_the_user_says_so(tmp_path: Path) -> None:
    async with CatalogServer(CatalogOptions(products=30, pages=Pages(size=10))) as server:
        asked = endpoint(server.address, page_size=10, etag_covers="list")
        first = await fetch(asked, folder=tmp_path)
        again = await fetch(asked, folder=tmp_path, since=first.checkpoint)
    assert (again.unchanged, again.requests) == (True, 1)


async def test_a_page_that_tells_no_total_vouches_for_nothing_even_if_it_is_short(
    tmp_path: Path,
) -> None:
    def answer(asked: Asked) -> bytes:
        body = '[{"id": 1}, {"id": 2}]' if asked.number("page") == 1 else "[]"
        return reply(body, headers={"ETag": '"x"'})

    for size in (2, 3):
        async with raw_server(answer) as server:
            got = await fetch(endpoint(server.address, records="", page_size=size), folder=tmp_path)
        assert got.checkpoint.validators is None


async def test_last_modified_serves_where_there_is_no_etag(tmp_path: Path) -> None:
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    whole = reply("[]", headers={"Last-Modified": date})
    async with raw_server(whole, reply(status=304)) as server:
        asked = endpoint(server.address, records="", pagination=NoPages())
        first = await fetch(asked, folder=tmp_path)
        again = await fetch(asked, folder=tmp_path, since=stored(first.checkpoint))
    assert again.unchanged
    assert server.asked[1].headers["If-Modified-Since"] == date


async def test_a_304_that_nobody_asked_for_is_an_error(tmp_path: Path) -> None:
    async with raw_server(reply(status=304)) as server:
        with pytest.raises(SourceAnswerError, match="status 304"):
            await fetch(endpoint(server.address), folder=tmp_path)


async def test_a_checkpoint_of_another_endpoint_is_worth_nothing(tmp_path: Path) -> None:
    async with CatalogServer(CatalogOptions(products=25)) as server:
        asked = endpoint(server.address, incremental=Incremental())
        first = await fetch(asked, folder=tmp_path)
        other = endpoint(server.address, incremental=Incremental(), query={"x": "1"})
        got = await fetch(other, folder=tmp_path, since=first.checkpoint)
    assert (got.records, got.complete) == (25, True)


@pytest.mark.parametrize("style", STYLES)
async def test_only_what_changed_is_fetched_after_the_first_time(
    style: str, tmp_path: Path
) -> None:
    async with CatalogServer(CatalogOptions(products=95, pages=Pages(size=10))) as server:
        asked = endpoint(
            server.address,
            f"/{style}/products",
            page_size=10,
            incremental=Incremental(overlap_seconds=0),
            **STYLES[style],
        )
        first = await fetch(asked, folder=tmp_path)
        assert (first.records, first.complete) == (95, True)
        newest = max(record["updated_at"] for record in records_of(first))
        assert first.checkpoint.watermark == datetime.fromisoformat(newest)
        server.revise(12)
        second = await fetch(asked, folder=tmp_path, since=stored(first.checkpoint))
        assert 12 <= second.records < 95
        assert (second.complete, second.unchanged) == (False, False)
        third = await fetch(asked, folder=tmp_path, since=stored(second.checkpoint))
        assert third.records == 12
    assert first.checkpoint.watermark is not None
    assert second.checkpoint.watermark is not None
    assert first.checkpoint.watermark < second.checkpoint.watermark
    assert third.checkpoint.watermark == second.checkpoint.watermark


async def test_an_unchanged_catalogue_with_a_watermark_costs_one_304(tmp_path: Path) -> None:
    async with CatalogServer(CatalogOptions(products=500, pages=Pages(size=100))) as server:
        asked = endpoint(server.address, incremental=Incremental(overlap_seconds=0))
        first = await fetch(asked, folder=tmp_path)
        second = await fetch(asked, folder=tmp_path, since=first.checkpoint)
        assert second.records < 100
        third = await fetch(asked, folder=tmp_path, since=second.checkpoint)
    assert (third.unchanged, third.requests) == (True, 1)


def rows(*moments: str) -> bytes:
    listed = ", ".join(f'{{"id": {n}, "updated_at": {text}}}' for n, text in enumerate(moments))
    return reply(f"[{listed}]")


@pytest.mark.parametrize(
    ("moments", "watermark"),
    [
        (['"2025-03-01T12:00:00Z"', '"2025-03-01T14:00:00+03:00"'], "2025-03-01T12:00:00+00:00"),
        (['"2025-03-01T12:00:00.123456Z"'], "2025-03-01T12:00:00.123456+00:00"),
        (['"2025-03-01T12:00:00"'], "2025-03-01T12:00:00+00:00"),
        (['"yesterday"', "7", "null", '"2025-03-01"'], "2025-03-01T00:00:00+00:00"),
        (['"9999-12-31T23:59:59-12:00"'], None),
        (["null"], None),
        (["20250301"], None),
        # A damaged record from the future must not hide what comes until then.
        (['"2999-01-01T00:00:00Z"'], START.isoformat()),
    ],
)
async def test_the_watermark_is_the_newest_moment_that_can_be(
    moments: list[str], watermark: str | None, tmp_path: Path
) -> None:
    async with raw_server(rows(*moments)) as server:
        asked = endpoint(
            server.address, records="", pagination=NoPages(), incremental=Incremental()
        )
        got = await fetch(asked, folder=tmp_path, clocks=QuickClock().clocks)
    found = got.checkpoint.watermark
    assert (found and found.isoformat()) == watermark


async def test_the_watermark_never_goes_back_and_is_asked_with_its_overlap(tmp_path: Path) -> None:
    watermark = datetime(2025, 3, 1, 12, tzinfo=UTC)
    words: dict[str, Any] = {
        "records": "",
        "pagination": NoPages(),
        "incremental": Incremental(parameter="since", overlap_seconds=90),
    }
    async with raw_server(rows('"2025-02-01T00:00:00Z"'), rows()) as server:
        asked = endpoint(server.address, **words)
        since = Checkpoint(selection=asked.selection, watermark=watermark)
        for _ in range(2):
            got = await fetch(asked, folder=tmp_path, since=since)
            assert got.checkpoint.watermark == watermark
    assert server.asked[0].target == "/products?since=2025-03-01T11:58:30Z"


async def test_records_without_the_field_of_the_watermark_are_drift(tmp_path: Path) -> None:
    async with CatalogServer(CatalogOptions(products=25)) as server:
        asked = endpoint(server.address, incremental=Incremental(field="changed_at"))
        with pytest.raises(SourceDriftError, match="lacks the field 'changed_at'"):
            await fetch(asked, folder=tmp_path)


async def test_a_fetch_that_fails_moves_no_watermark(tmp_path: Path) -> None:
    """The checkpoint is a value of the result: there is none without it."""
    async with CatalogServer(CatalogOptions(products=25, pages=Pages(size=10))) as server:
        asked = endpoint(server.address, page_size=10, incremental=Incremental())
        first = await fetch(asked, folder=tmp_path)
        before = first.checkpoint.model_dump_json()
        broken = endpoint(
            server.address, page_size=10, incremental=Incremental(), limits={"max_answer_bytes": 9}
        )
        with pytest.raises(SourceAnswerError):
            await fetch(broken, folder=tmp_path, since=first.checkpoint)
    assert first.checkpoint.model_dump_json() == before
    assert first.checkpoint.watermark is not None
    assert first.checkpoint.watermark <= NOW + timedelta(days=1)
    assert ids_of(first) == ids_up_to(25)


@pytest.mark.parametrize(
    ("form", "written", "asked_for"),
    [
        ("epoch_seconds", "1700000000", "1699999940"),
        ("epoch_milliseconds", "1700000000500", "1699999940000"),
        ("iso", '"2023-11-14T22:13:20Z"', "2023-11-14T22:12:20Z"),
    ],
)
async def test_times_are_read_and_asked_for_as_the_service_writes_them(
    form: str, written: str, asked_for: str, tmp_path: Path
) -> None:
    body = f'{{"data": [{{"id": 1, "meta": {{"at": {written}}}}}], "total": 1}}'
    incremental = {"field": "meta.at", "format": form}
    async with raw_server(reply(body), reply('{"data": [], "total": 0}')) as server:
        asked = endpoint(server.address, incremental=incremental)
        first = await fetch(asked, folder=tmp_path)
        await fetch(asked, folder=tmp_path, since=stored(first.checkpoint))
    query = parse_qs(urlsplit(server.asked[1].target).query)
    assert query["updated_since"] == [asked_for]


async def test_of_two_clocks_the_one_behind_decides(tmp_path: Path) -> None:
    """A record that changes while others are fetched must not be older than the watermark."""
    body = '{"data": [{"id": 1, "updated_at": "2026-01-01T00:00:30Z"}], "total": 1}'
    behind = reply(body, headers={"Date": "Thu, 01 Jan 2026 00:00:10 GMT"})
    clock = QuickClock()  # says 2026-01-01T00:00:00
    clock.seconds += 300
    async with raw_server(behind) as server:
        asked = endpoint(server.address, incremental={})
        got = await fetch(asked, folder=tmp_path, clocks=clock.clocks)
    assert got.checkpoint.watermark == datetime(2026, 1, 1, 0, 0, 9, tzinfo=UTC)
