"""The catalogue server's products and pages: every kind of pagination gives all of them once."""

import gzip
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import pytest
from catalog_support import Client, serving
from hypothesis import given
from hypothesis import strategies as st

from techmart_fast.dev.catalog_server import (
    CatalogOptions,
    Drift,
    DriftKind,
    Misbehaviour,
    Pages,
    Pagination,
)
from techmart_fast.dev.catalog_server.answers import accepts_gzip
from techmart_fast.dev.catalog_server.pagination import (
    BadQueryError,
    cursor,
    parse,
    read_cursor,
    window,
)
from techmart_fast.dev.catalog_server.products import Products

SMALL = CatalogOptions(products=25, pages=Pages(size=10, max_size=20))
IDS = [f"prd_{number:06d}" for number in range(1, 26)]


def ids(records: list[dict[str, object]]) -> list[object]:
    return [record["product_id"] for record in records]


async def by_page(client: Client) -> list[list[object]]:
    first = (await client.get("/products?page=1&per_page=10")).json()
    pages = [ids(first["data"])]
    for page in range(2, first["total_pages"] + 1):
        body = (await client.get(f"/products?page={page}&per_page=10")).json()
        pages.append(ids(body["data"]))
    assert (first["total"], first["page"], first["per_page"]) == (25, 1, 10)
    return pages


async def by_offset(client: Client) -> list[list[object]]:
    pages: list[list[object]] = []
    while True:
        place = f"/products?offset={sum(map(len, pages))}&limit=10"
        body = (await client.get(place)).json()
        pages.append(ids(body["data"]))
        if sum(map(len, pages)) >= body["total"]:
            return pages


async def by_cursor(client: Client) -> list[list[object]]:
    pages, more = [], ""
    while True:
        body = (await client.get(f"/cursor/products?limit=10{more}")).json()
        pages.append(ids(body["data"]))
        assert body["has_more"] is (body["next_cursor"] is not None)
        if not body["has_more"]:
            return pages
        more = f"&cursor={quote(body['next_cursor'])}"


async def by_link(client: Client) -> list[list[object]]:
    pages, place = [], client.server.address + "/products?pagination=link"
    while True:
        async with client.session.get(place) as answer:
            pages.append(ids(await answer.json()))
            assert answer.headers["X-Total-Count"] == "25"
            assert {"first", "last"} <= set(answer.links)
            assert ("prev" in answer.links) is (len(pages) > 1)
            if "next" not in answer.links:
                return pages
            place = str(answer.links["next"]["url"])


async def by_next(client: Client) -> list[list[object]]:
    pages, place, before = [], "/next/products", None
    while place:
        body = (await client.get(place)).json()
        pages.append(ids(body["data"]))
        assert (body["previous"] is None) is (before is None)
        before, place = place, body["next"]
    return pages


@pytest.mark.parametrize("walk", [by_page, by_offset, by_cursor, by_link, by_next])
async def test_every_pagination_gives_every_product_once(walk: object) -> None:
    async with serving(SMALL) as client:
        assert await walk(client) == [IDS[:10], IDS[10:20], IDS[20:]]  # type: ignore[operator]


async def test_all_products_come_in_one_answer_where_that_is_asked_for() -> None:
    async with serving(SMALL) as client:
        said = await client.get("/all/products")
    assert ids(said.json()) == IDS
    assert said.headers["X-Total-Count"] == "25"


async def test_a_bare_address_gives_the_pages_that_the_options_name() -> None:
    options = CatalogOptions(products=3, pages=Pages(style=Pagination.CURSOR))
    async with serving(options) as client:
        assert set((await client.get("/products")).json()) == {"data", "next_cursor", "has_more"}
        assert "total_pages" in (await client.get("/products?page=1")).json()


async def test_a_page_never_has_more_than_the_limit_and_says_so() -> None:
    async with serving(SMALL) as client:
        body = (await client.get("/products?page=1&per_page=1000")).json()
    assert (len(body["data"]), body["per_page"], body["total_pages"]) == (20, 20, 2)


async def test_a_page_after_the_last_is_empty() -> None:
    async with serving(SMALL) as client:
        assert (await client.get("/products?page=9")).json()["data"] == []
        assert (await client.get("/products?offset=99")).json()["data"] == []
        last = (await client.get("/next/products?page=9")).json()
    assert (last["data"], last["next"]) == ([], None)


async def test_an_empty_catalogue_has_one_empty_page_of_each_kind() -> None:
    async with serving(CatalogOptions(products=0)) as client:
        for style in Pagination:
            said = await client.get(f"/{style}/products")
            body = said.json()
            assert said.status == 200
            assert (body if isinstance(body, list) else body["data"]) == []


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=x",
        "page=-1",
        "page=1&per_page=0",
        "offset=-1",
        "offset=99999999999999999999",
        "offset=0&limit=0",
        "cursor=bm9uc2Vuc2U",
        "cursor=%FF%00",
        "pagination=leaves",
        "updated_since=yesterday",
        "updated_since=2024-12-31T00:00:00",
    ],
)
async def test_a_query_that_makes_no_sense_is_told_so(query: str) -> None:
    async with serving(SMALL) as client:
        said = await client.get(f"/products?{query}")
        assert said.status == 400
        assert said.json()["error"]["code"] == "bad_query"
        assert client.server.stats.answered == {400: 1}


@given(start=st.integers(0, 10**9), since=st.none() | st.datetimes(timezones=st.just(UTC)))
def test_a_cursor_leads_where_it_was_made_for(start: int, since: datetime | None) -> None:
    assert read_cursor(cursor(start, since), since) == start
    with pytest.raises(BadQueryError):
        read_cursor(cursor(start, since), datetime(1999, 1, 1, tzinfo=UTC))


@given(text=st.text(max_size=40))
def test_other_texts_are_no_cursors(text: str) -> None:
    with pytest.raises(BadQueryError):
        read_cursor(text, None)


@given(
    total=st.integers(0, 60),
    start=st.integers(0, 90),
    size=st.integers(1, 30),
    misbehave=st.none() | st.sampled_from(Misbehaviour),
)
def test_a_window_lies_within_the_products_unless_pages_are_endless(
    total: int, start: int, size: int, misbehave: Misbehaviour | None
) -> None:
    query = {"offset": str(start), "limit": str(size)}
    part = window(parse(query, None, Pages()), total, misbehave)
    assert 0 <= part.start <= part.end <= part.start + size
    if misbehave is not Misbehaviour.ENDLESS_PAGES:
        assert part.end <= total
    if misbehave is None:
        assert part.after is None or start < part.after < total
        assert (part.after is None) is (start + size >= total)
    assert part.before is None or 0 <= part.before < max(1, start)


async def test_products_are_those_of_the_seed_with_exact_prices() -> None:
    async with serving(CatalogOptions(products=40, seed=7)) as client:
        first = await client.get("/all/products")
    async with serving(CatalogOptions(products=40, seed=7)) as client:
        again = await client.get("/all/products")
    async with serving(CatalogOptions(products=40, seed=8)) as client:
        other = await client.get("/all/products")
    assert first == again
    assert first.body != other.body
    for record in first.json():
        assert isinstance(record["price"], Decimal)
        assert record["price"].as_tuple().exponent == -2
        assert record["price"] > 0
        assert record["updated_at"].endswith("Z")
        assert {"product_id", "name", "category", "inventory_count", "supplier_id"} <= set(record)


async def test_updated_since_gives_what_changed_then_or_later() -> None:
    async with serving(CatalogOptions(products=200, pages=Pages(max_size=500))) as client:
        everything = (await client.get("/all/products")).json()
        moment = sorted(record["updated_at"] for record in everything)[150]
        expected = ids([record for record in everything if record["updated_at"] >= moment])
        found = (await client.get(f"/products?page=1&updated_since={moment}")).json()
        assert ids(found["data"]) == expected
        assert found["total"] == len(expected) >= 50
        place, walked = f"/next/products?per_page=7&updated_since={moment}", []
        while place:
            body = (await client.get(place)).json()
            walked += ids(body["data"])
            place = body["next"]
    assert walked == expected


async def test_revised_products_are_the_ones_updated_since() -> None:
    async with serving(CatalogOptions(products=30)) as client:
        before = (await client.get("/all/products")).json()
        told = (await client.get("/revise?products=4", method="POST")).json()
        after = (await client.get("/all/products")).json()
        since = f"/all/products?updated_since={told['updated_at']}"
        changed = (await client.get(since)).json()
        client.server.revise(2)
        assert len((await client.get(since)).json()) in range(4, 7)
    assert told["revised"] == 4
    assert changed == [new for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == 4


def test_a_revision_leaves_the_products_it_was_made_of() -> None:
    products = Products(count=10, seed=3)
    plain = [products.values(index) for index in range(10)]
    revised = products.revised(99).revised(1)
    assert [products.values(index) for index in range(10)] == plain
    assert len(revised.since(revised.newest)) == 1
    assert all(revised.values(index) != plain[index] for index in range(10))


async def test_a_page_the_client_has_is_not_sent_again() -> None:
    async with serving(SMALL) as client:
        whole = await client.get("/products")
        tag, modified = whole.headers["ETag"], whole.headers["Last-Modified"]
        assert tag.startswith('"')
        for headers in (
            {"If-None-Match": tag},
            {"If-None-Match": f'"other", W/{tag}'},
            {"If-None-Match": "*"},
            {"If-Modified-Since": modified},
        ):
            said = await client.get("/products", headers=headers)
            assert (said.status, said.body, said.headers["ETag"]) == (304, b"", tag)
        for headers in (
            {"If-None-Match": '"other"'},
            {"If-None-Match": '"other"', "If-Modified-Since": modified},
            {"If-Modified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"},
            {"If-Modified-Since": "some day"},
        ):
            assert (await client.get("/products", headers=headers)).body == whole.body


async def test_validators_change_with_the_page_and_with_its_products() -> None:
    async with serving(SMALL) as client:
        first = await client.get("/products?page=1")
        second = await client.get("/products?page=2")
        newest = max(record["updated_at"] for record in first.json()["data"])
        moment = parsedate_to_datetime(first.headers["Last-Modified"])
        assert moment == datetime.fromisoformat(newest)
        assert first.headers["ETag"] != second.headers["ETag"]
        client.server.revise(25)
        later = await client.get(
            "/products?page=1",
            headers={"If-None-Match": first.headers["ETag"]},
        )
    assert later.status == 200
    assert parsedate_to_datetime(later.headers["Last-Modified"]) > moment


async def test_answers_are_gzipped_for_those_who_ask_and_have_their_own_etag() -> None:
    async with serving(SMALL) as client:
        plain = await client.get("/products")
        async with client.session.get(
            client.server.address + "/products",
            headers={"Accept-Encoding": "gzip"},
            auto_decompress=False,
        ) as answer:
            packed = await answer.read()
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert answer.headers["ETag"] != plain.headers["ETag"]
        known = {"Accept-Encoding": "gzip", "If-None-Match": answer.headers["ETag"]}
        assert (await client.get("/products", headers=known)).status == 304
    assert gzip.decompress(packed) == plain.body
    assert "Content-Encoding" not in plain.headers


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", False),
        ("identity", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=nonsense", False),
    ],
)
def test_gzip_is_asked_for_as_http_says(header: str, wanted: bool) -> None:
    assert accepts_gzip(header) is wanted


@pytest.mark.parametrize("kind", DriftKind)
@pytest.mark.parametrize("style", [Pagination.PAGE, Pagination.LINK])
async def test_products_drift_from_the_page_on_that_was_asked_for(
    kind: DriftKind, style: Pagination
) -> None:
    steady = CatalogOptions(products=6, pages=Pages(size=2))
    drifting = CatalogOptions(
        products=6, pages=Pages(size=2), drift=Drift(kind=kind, from_page=2, field="price")
    )
    pages: dict[CatalogOptions, list[object]] = {steady: [], drifting: []}
    for options, seen in pages.items():
        async with serving(options) as client:
            for number in (1, 2, 3):
                seen.append((await client.get(f"/{style}/products?page={number}")).json())
    assert pages[steady][0] == pages[drifting][0]
    for before, after in zip(pages[steady][1:], pages[drifting][1:], strict=True):
        old = before if isinstance(before, list) else before["data"]  # type: ignore[index]
        new = after if isinstance(after, list) else after.get("data")  # type: ignore[attr-defined]
        if kind is DriftKind.ENVELOPE:
            assert new is None
            items = after["items"] if style is Pagination.LINK else after["result"]["items"]  # type: ignore[call-overload,index]
            assert items == old
            continue
        for one, other in zip(old, new, strict=True):
            price = one["price"]
            rest = {name: value for name, value in one.items() if name != "price"}
            assert other == {
                DriftKind.NEW_FIELD: {**one, "discount_percent": Decimal("12.5")},
                DriftKind.MISSING_FIELD: rest,
                DriftKind.RENAMED_FIELD: {**rest, "price_v2": price},
                DriftKind.TYPE_CHANGE: {**rest, "price": {"value": price}},
            }.get(kind)
