"""What a service can do wrong ends in a clear error, soon, with nothing applied, memory flat."""

import asyncio
import gzip
import json
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
from api_support import (
    Asked,
    FakeResolver,
    Notes,
    QuickClock,
    endpoint,
    left_in,
    raw_server,
    reply,
)
from pydantic import ValidationError

from techmart_fast.contract.endpoint import (
    Cursors,
    Endpoint,
    Limits,
    Links,
    NextAddresses,
    NoPages,
    Offsets,
)
from techmart_fast.dev.catalog_server import CatalogOptions, CatalogServer, Misbehaviour, Pages
from techmart_fast.errors import (
    SourceAnswerError,
    SourceDriftError,
    SourceError,
    SourceUnavailableError,
    TechmartError,
)
from techmart_fast.sources.api import PageFetched, fetch
from techmart_fast.sources.api.coding import BoundedBody, CodingError, CutError, TooLargeError

MIB = 1 << 20


def captures(folder: Path) -> list[str]:
    return [name for name in left_in(folder) if name.startswith("api-")]


@pytest.mark.parametrize(
    ("kind", "style", "words"),
    [
        (Misbehaviour.SAME_PAGE, {}, "same records as page 2, byte for byte"),
        (Misbehaviour.SAME_PAGE, {"pagination": NextAddresses()}, "same records as page 2"),
        (Misbehaviour.ENDLESS_PAGES, {}, "announced 95 records, and has more"),
        (Misbehaviour.ENDLESS_PAGES, {"pagination": NextAddresses()}, "announced 95 records"),
        (Misbehaviour.ENDLESS_PAGES, {"pagination": Cursors()}, r"more than 12 pages"),
        (Misbehaviour.LOOPING_CURSOR, {"pagination": Cursors()}, "Page 3 .* leads back to page 2"),
        (Misbehaviour.BROKEN_JSON, {}, r"Page 7 of 127.0.0.1:\d+/misbehave.* is not JSON"),
        (Misbehaviour.HTML_PAGE, {}, "came as text/html with status 200"),
        (Misbehaviour.WRONG_TYPE, {}, "came as text/plain with status 200"),
        (Misbehaviour.REDIRECT_LOOP, {}, "redirects in a circle"),
        (Misbehaviour.GZIP_BOMB, {}, "more than 1,048,576 bytes"),
        (Misbehaviour.NESTED_BOMB, {}, "compressed several times over"),
    ],
)
async def test_misbehaviour_is_a_clear_error(
    kind: Misbehaviour, style: dict[str, Any], words: str, tmp_path: Path
) -> None:
    pages = style.get("pagination", Offsets() if kind is Misbehaviour.ENDLESS_PAGES else None)
    name = getattr(pages, "kind", "page")
    limits = {"max_answer_bytes": MIB, "max_pages": 12}
    async with CatalogServer(CatalogOptions(products=95, pages=Pages(size=10))) as server:
        asked = endpoint(
            server.address,
            f"/misbehave/{kind}/{name}/products",
            page_size=10,
            limits=limits,
            **({"pagination": pages} if pages else {}),
        )
        with pytest.raises(SourceAnswerError, match=words) as caught:
            await fetch(asked, folder=tmp_path, clocks=QuickClock().clocks)
    assert not caught.value.transient
    assert caught.value.hint
    assert captures(tmp_path) == []


async def test_pages_before_a_broken_one_are_kept(tmp_path: Path) -> None:
    async with CatalogServer(CatalogOptions(products=100, pages=Pages(size=10))) as server:
        path = "/misbehave/broken-json/page/products"
        asked = endpoint(server.address, path, page_size=10, limits={"concurrency": 1})
        for _attempt in range(2):
            with pytest.raises(SourceAnswerError, match=r"Page 7 .* not JSON"):
                await fetch(asked, folder=tmp_path)
        assert server.stats.requests == 8


@pytest.mark.parametrize("kind", [Misbehaviour.GZIP_BOMB, Misbehaviour.NESTED_BOMB])
async def test_a_bomb_does_not_expand(kind: Misbehaviour, tmp_path: Path) -> None:
    async with CatalogServer() as server:
        asked = endpoint(
            server.address, f"/misbehave/{kind}/products", limits={"max_answer_bytes": 2 * MIB}
        )
        # The server makes its bomb once.
        with pytest.raises(SourceAnswerError):
            await fetch(asked, folder=tmp_path)
        tracemalloc.start()
        try:
            with pytest.raises(SourceAnswerError):
                await fetch(asked, folder=tmp_path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 12 * MIB


async def test_memory_is_bounded_by_what_is_in_flight(tmp_path: Path) -> None:
    rows = ",".join(f'{{"id": {number}, "text": "{"x" * 900}"}}' for number in range(250))

    def answer(asked: Asked) -> bytes:
        return reply(f'{{"data": [{{"p": {asked.number("page")}}}, {rows}], "total": 10040}}')

    async with raw_server(answer) as server:
        asked = endpoint(server.address, limits={"concurrency": 4, "max_answer_bytes": 256 << 10})
        tracemalloc.start()
        try:
            got = await fetch(asked, folder=tmp_path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # 9 MiB came, a quarter of one each; the server has its answers in memory, too.
    assert got.size_bytes > 8 * MIB
    assert peak < 5 * MIB


async def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    async with CatalogServer() as server:
        asked = endpoint(
            server.address,
            "/misbehave/never-answers/products",
            limits={"answer_seconds": 0.02, "retries": 2},
        )
        with pytest.raises(
            SourceUnavailableError, match=r"no whole answer within 0.02 s"
        ) as caught:
            await fetch(asked, folder=tmp_path, clocks=QuickClock().clocks)
    assert caught.value.transient


async def test_the_deadline_ends_what_never_answers(tmp_path: Path) -> None:
    async with CatalogServer() as server:
        asked = endpoint(
            server.address,
            "/misbehave/never-answers/products",
            limits={"total_seconds": 0.05, "answer_seconds": 30},
        )
        with pytest.raises(SourceUnavailableError, match=r"not all pages came within 0.05 s"):
            await fetch(asked, folder=tmp_path)


async def test_a_body_that_trickles_is_given_up(tmp_path: Path) -> None:
    async def trickle(_asked: object) -> bytes:
        return reply("[" + " " * 100)[:-50]

    async with raw_server(trickle) as server:
        asked = endpoint(
            server.address,
            records="",
            pagination=NoPages(),
            limits={"answer_seconds": 0.02, "retries": 1},
        )
        with pytest.raises(SourceUnavailableError, match="no whole answer"):
            await fetch(asked, folder=tmp_path, clocks=QuickClock().clocks)


async def test_a_dead_server_is_told_as_such(tmp_path: Path) -> None:
    listening = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    clock = QuickClock()
    asked = endpoint(f"http://127.0.0.1:{port}")
    with pytest.raises(SourceUnavailableError, match=r"7 attempts: no connection \(.*refused\)"):
        await fetch(asked, folder=tmp_path, clocks=clock.clocks)


NEXT, CURSOR = NextAddresses(), Cursors()
MORE = Cursors(more="more")
LAST = Cursors(more="more", last_record="id")


@pytest.mark.parametrize(
    ("pages", "rest", "words"),
    [
        (NEXT, '"next": {"href": "/2"}', "at 'next' should be text, and is of type object"),
        (NEXT, '"next": ["/2"]', "should be text, and is of type array"),
        (NEXT, '"next": true', "should be text, and is of type boolean"),
        (NEXT, '"next": "\\ud800"', "a next page that can't be asked for"),
        (NEXT, f'"next": "{"x" * 9_000}"', "a next page that can't be asked for"),
        (NEXT, '"next": "http://["', "leads on to what is no address"),
        (CURSOR, '"next_cursor": {}', "at 'next_cursor' should be text"),
        (MORE, '"next_cursor": "a"', "at 'more' should be true or false, and is absent"),
        (MORE, '"more": "yes"', "at 'more' should be true or false, and is of type string"),
        (MORE, '"more": true', "says that there are more pages, and tells no cursor"),
        (LAST, '"more": true', "says that there are more pages, and tells no cursor"),
    ],
)
async def test_a_next_page_that_is_not_understood_is_no_end(
    pages: Any, rest: str, words: str, tmp_path: Path
) -> None:
    async with raw_server(reply(f'{{"data": [{{"a": 1}}], {rest}}}')) as server:
        with pytest.raises(SourceAnswerError, match=words):
            await fetch(endpoint(server.address, pagination=pages), folder=tmp_path)


async def test_a_link_that_is_not_understood_is_no_end(tmp_path: Path) -> None:
    strange = reply("[]", headers={"Link": '<http://[>; rel="next"'})
    async with raw_server(strange) as server:
        asked = endpoint(server.address, records="", pagination=Links())
        with pytest.raises(SourceAnswerError, match="a Link header with no address"):
            await fetch(asked, folder=tmp_path)


async def test_odd_names_and_headers_do_no_harm(tmp_path: Path) -> None:
    names = {"\ud800": 1, "a\nb": 2, "x" * 999: 3, "fine": 4}
    body = json.dumps({"data": [names], "\udfff": None, "total": 1})
    odd = {"ETag": '"\xe9"', "Last-Modified": "x" * 2_000}
    async with raw_server(reply(body, headers=odd)) as server:
        got = await fetch(endpoint(server.address), folder=tmp_path)
    assert set(got.checkpoint.shape.fields) == {"fine"}
    assert got.checkpoint.validators is None
    assert got.checkpoint.model_dump_json()


async def test_what_is_not_http_is_told_as_such(tmp_path: Path) -> None:
    async with raw_server(b"220 mail.example.com ESMTP\r\nConnection: close\r\n\r\n") as server:
        asked = endpoint(server.address, limits={"retries": 1})
        with pytest.raises(SourceUnavailableError, match="not HTTP"):
            await fetch(asked, folder=tmp_path, clocks=QuickClock().clocks)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON: expecting value at character 0"),
        (b'{"data": [1, 2', "not JSON"),
        (b'{"data": [NaN]}', "not JSON: NaN is not a JSON number"),
        (b'{"data": ["\xff"]}', "not UTF-8 at byte 11"),
        (b'{"data": ' + b"[" * 100_000, "nested too deep"),
        (b'{"data": []} {}', "something follows"),
    ],
)
async def test_what_is_not_json_is_told_with_its_place(
    body: bytes, words: str, tmp_path: Path
) -> None:
    async with raw_server(reply(body.decode("latin-1").encode("latin-1"))) as server:
        with pytest.raises(SourceAnswerError, match=words):
            await fetch(endpoint(server.address), folder=tmp_path)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"rows": [{"id": 1}]}', "an object with 'rows'.*There is one at 'rows' now"),
        ('[{"id": 1}]', "of type array.*The answer itself is one now"),
        ('{"a": {"b": [{}]}, "c": [1]}', "an object with 'a', 'c'.*There is one at 'a.b' now"),
        ('{"error": "denied"}', "an object with 'error'.*Look at what"),
        ('{"data": null}', "an object with 'data'"),
        ("7", "of type number"),
        ("{}", "an object with no members"),
    ],
)
async def test_an_answer_without_the_list_is_told_with_what_is_there(
    body: str, words: str, tmp_path: Path
) -> None:
    async with raw_server(reply(body)) as server:
        with pytest.raises(SourceDriftError, match=words) as caught:
            await fetch(endpoint(server.address), folder=tmp_path)
    assert len(caught.value.changes) == 1


@pytest.mark.parametrize(
    ("kind", "fine"),
    [
        ("application/json; charset=utf-8", True),
        ("Application/JSON", True),
        ("application/problem+json", True),
        ("application/vnd.shop.v2+json", True),
        ("text/json", False),
        ("application/json-seq", False),
        ("", False),
    ],
)
async def test_only_json_is_read(kind: str, fine: bool, tmp_path: Path) -> None:
    async with raw_server(reply('{"data": []}', kind=kind)) as server:
        asked = endpoint(server.address)
        if fine:
            await fetch(asked, folder=tmp_path)
        else:
            with pytest.raises(SourceAnswerError, match="status 200, not as JSON"):
                await fetch(asked, folder=tmp_path)


async def test_a_type_of_the_users_choice_is_read(tmp_path: Path) -> None:
    async with raw_server(reply('{"data": [{"a": 1}]}', kind="text/plain")) as server:
        asked = endpoint(server.address, pagination=NoPages(), content_types=("text/plain",))
        assert (await fetch(asked, folder=tmp_path)).records == 1


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_answer_that_is_too_long_is_not_read(chunked: bool, tmp_path: Path) -> None:
    body = "[" + " " * MIB + "]"
    answer = reply(body)
    if chunked:
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
        answer = f"{head}\r\n\r\n{len(body):x}\r\n{body}\r\n0\r\n\r\n".encode()
    async with raw_server(answer) as server:
        asked = endpoint(server.address, limits={"max_answer_bytes": 1000})
        with pytest.raises(SourceAnswerError, match=r"more than 1,000 bytes.*page_size"):
            await fetch(asked, folder=tmp_path)


async def test_all_pages_together_are_bounded(tmp_path: Path) -> None:
    async with CatalogServer(CatalogOptions(products=100, pages=Pages(size=10))) as server:
        asked = endpoint(server.address, page_size=10, limits={"max_total_bytes": 5_000})
        with pytest.raises(SourceAnswerError, match="more than 5,000 bytes"):
            await fetch(asked, folder=tmp_path)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(b"[1, 2]")),
        ("x-gzip", gzip.compress(b"[1,") + gzip.compress(b" 2]")),
        ("deflate", zlib.compress(b"[1, 2]")),
        ("deflate", zlib.compress(b"[1, 2]")[2:-4]),
        ("", b"[1, 2]"),
        ("identity", b"[1, 2]"),
    ],
    # The packed bytes hold the time, and would name the tests.
    ids=["gzip", "members", "zlib", "deflate", "plain", "identity"],
)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_compressed_bodies_are_expanded_piece_by_piece(
    coding: str, packed: bytes, step: int
) -> None:
    body = BoundedBody(coding, max_bytes=100)
    for start in range(0, len(packed), step):
        body.feed(packed[start : start + step])
    assert body.close() == b"[1, 2]"


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 300_000, 1_000_000])
def test_the_bound_is_exact(size: int) -> None:
    for most in (100, 300_000):
        body = BoundedBody("gzip", max_bytes=most)
        packed = gzip.compress(b" " * size)
        if size > most:
            with pytest.raises(TooLargeError):
                body.feed(packed)
            assert len(body.data) <= most + 1
        else:
            body.feed(packed)
            assert len(body.close()) == size


def test_damaged_and_unasked_codings_are_told_apart() -> None:
    with pytest.raises(CodingError, match="several times"):
        BoundedBody("gzip, gzip", max_bytes=9)
    with pytest.raises(CodingError, match="not asked for"):
        BoundedBody("br", max_bytes=9)
    with pytest.raises(CodingError, match="damaged gzip"):
        BoundedBody("gzip", max_bytes=9).feed(b"no gzip")
    with pytest.raises(CodingError, match="behind"):
        BoundedBody("deflate", max_bytes=99).feed(zlib.compress(b"1") + b"2")
    for coding in ("gzip", "deflate"):
        cut = BoundedBody(coding, max_bytes=99)
        cut.feed((gzip.compress if coding == "gzip" else zlib.compress)(b"[1, 2]")[:-5])
        with pytest.raises(CutError):
            cut.close()


async def test_a_folder_that_cannot_be_used_is_an_error_of_the_spool(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TechmartError, match="Can't store the pages"):
        await fetch(endpoint("http://127.0.0.1:1"), folder=tmp_path / "file")


async def test_an_observer_is_told_of_pages_only_when_they_are_stored(tmp_path: Path) -> None:
    notes = Notes()
    seen: list[int] = []
    notes.on_event = lambda _event: seen.append(len(list(tmp_path.glob(".fetch-*/pages.log"))))
    async with CatalogServer(CatalogOptions(products=5)) as server:
        await fetch(endpoint(server.address), folder=tmp_path, observer=notes)
    assert seen == [1] * len(notes.events)
    assert [event.total_records for event in notes.of(PageFetched)] == [5]


async def test_an_unknown_host_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no host of this name"):
        await fetch(
            endpoint("http://shop.invalid"), folder=tmp_path, resolver=FakeResolver({"x": ["::1"]})
        )


@pytest.mark.parametrize("value", ["{}", "0", "[]", '{"a":[[],[],[]]}'])
async def test_a_bomb_of_tiny_values_is_refused_before_they_are_made(
    tmp_path: Path, value: str
) -> None:
    body = '{"data": [' + ",".join([value] * 1_200_000) + "]}"
    packed = gzip.compress(body.encode())
    headers = {"Content-Encoding": "gzip"}
    async with raw_server(reply(packed, headers=headers)) as server:
        asked = endpoint(server.address, limits={"max_answer_bytes": 64 << 20})
        with pytest.raises(SourceAnswerError, match="too many tiny values"):
            await fetch(asked, folder=tmp_path)


async def test_a_strange_link_header_does_not_matter_where_pages_have_numbers(
    tmp_path: Path,
) -> None:
    headers = {"Link": '<http://[::1>; rel="canonical"'}
    body = '{"data": [{"product_id": "a"}], "total": 1, "total_pages": 1}'
    async with raw_server(reply(body, headers=headers)) as server:
        got = await fetch(endpoint(server.address), folder=tmp_path)
    assert got.records == 1


@pytest.mark.parametrize("host", ["a..b", ".x", "x" * 70])
async def test_a_host_that_can_not_be_one_is_told(tmp_path: Path, host: str) -> None:
    location = reply(status=302, headers={"Location": f"http://{host}/products"})
    async with raw_server(location) as server:
        with pytest.raises(SourceError):
            await fetch(endpoint(server.address, limits={"retries": 0}), folder=tmp_path)
    with pytest.raises(ValidationError, match="host name"):
        Endpoint(address=f"http://{host}/products")


def test_an_interrupted_fetch_may_be_older_than_its_deadline() -> None:
    with pytest.raises(ValidationError, match="resume_seconds"):
        Limits(total_seconds=100, resume_seconds=100)
    assert Limits().resume_seconds > Limits().total_seconds


@pytest.mark.parametrize(
    "empty", [reply('{"data": null, "total": 0}'), reply(status=204)], ids=["null", "no content"]
)
async def test_an_empty_list_may_be_null_or_no_content(empty: bytes, tmp_path: Path) -> None:
    async with raw_server(empty) as server:
        got = await fetch(endpoint(server.address), folder=tmp_path)
    assert (got.records, got.pages) == (0, 1)
