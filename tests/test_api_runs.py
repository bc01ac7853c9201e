"""Runs whose feeds come from an API: all of it, once, remembered behind its rows, or nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from techmart_fast.api import DataSources, plan
from techmart_fast.contract import Contract, default_contract, load_contract, parse_contract
from techmart_fast.contract.endpoint import Bearer, Endpoint, Incremental, Limits, NumberedPages
from techmart_fast.dev import ShopSpec, generate
from techmart_fast.dev.catalog_server import (
    Access,
    CatalogOptions,
    CatalogServer,
    Drift,
    DriftKind,
    Misbehaviour,
)
from techmart_fast.dev.spec import FileFormat
from techmart_fast.errors import ConfigError, ExitCode, SinkError
from techmart_fast.pipeline import work
from techmart_fast.pipeline.prepare import Stages
from techmart_fast.pipeline.progress import SilentObserver
from techmart_fast.pipeline.run import RunRequest, run_pipeline
from techmart_fast.records import Feed
from techmart_fast.results import RunStatus
from tests.shops import Shop

MakeShop = Callable[..., Shop]
Rows = list[dict[str, object]]

QUICK = Limits(requests_per_second=1000, retries=2, total_seconds=20, answer_seconds=5)


def described(server: CatalogServer, **more: Any) -> Contract:
    """The default contract, whose products come from the server."""
    endpoint = Endpoint(
        **{
            "address": f"{server.address}/products",
            "name": "catalogue",
            "page_size": 10,
            "limits": QUICK,
            **more,
        }
    )
    return default_contract().with_api(Feed.PRODUCTS, endpoint)


async def products(shop: Shop) -> dict[str, dict[str, object]]:
    columns = "product_id, name, price, inventory_count, is_active"
    rows = await shop.rows(f"SELECT {columns} FROM products")
    return {str(row["product_id"]): row for row in rows}


NOTHING = DataSources()


async def test_a_catalogue_is_loaded_once_and_then_only_what_changed(
    make_lean_shop: MakeShop,
) -> None:
    shop = make_lean_shop()
    async with CatalogServer(CatalogOptions(products=45)) as server:
        contract = described(server, incremental=Incremental())
        first = await shop.run(NOTHING, contract=contract)
        assert first.error is None
        assert first.feeds[Feed.PRODUCTS].loaded == 45
        report = first.fetched[Feed.PRODUCTS]
        assert (report.records, report.pages, report.complete) == (45, 5, True)
        loaded = await products(shop)
        assert len(loaded) == 45

        server.revise(3)
        second = await shop.run(NOTHING, contract=contract)
        assert second.exit_code is ExitCode.DONE
        assert second.feeds[Feed.PRODUCTS].loaded == 3
        assert second.feeds[Feed.PRODUCTS].corrected == 3
        assert second.fetched[Feed.PRODUCTS].complete is False
        changed = await products(shop)
        assert sum(loaded[name] != changed[name] for name in loaded) == 3

        third = await shop.run(NOTHING, contract=contract)
        # The overlap brings the newest records again: that is no fault of the data.
        assert third.feeds[Feed.PRODUCTS].duplicate == 3
        assert third.nothing_new
        assert third.exit_code is ExitCode.DONE


async def test_an_unchanged_catalogue_is_not_loaded_again_whatever_its_address(
    make_lean_shop: MakeShop,
) -> None:
    shop = make_lean_shop()
    for number in range(2):
        async with CatalogServer(CatalogOptions(products=12)) as server:
            result = await shop.run(NOTHING, contract=described(server))
        assert result.error is None
        assert result.fetched[Feed.PRODUCTS].unchanged is bool(number)
    assert result.feeds == {}
    assert any("nothing has changed" in note for note in result.notes)


async def test_a_catalogue_that_is_again_as_it_was_before_is_news(
    make_lean_shop: MakeShop, tmp_path: Path
) -> None:
    shop, file = make_lean_shop(), tmp_path / "products.ndjson"
    prices = []
    for price in ("1.00", "2.00", "1.00"):
        record = {"product_id": "lamp", "name": "Lamp", "price": float(price)}
        file.write_text(json.dumps(record) + "\n")
        async with CatalogServer(CatalogOptions(file=file)) as server:
            result = await shop.run(NOTHING, contract=described(server))
        assert result.feeds[Feed.PRODUCTS].loaded == 1
        prices.append(str((await products(shop))["lamp"]["price"]))
    assert prices == ["1.00", "2.00", "1.00"]


async def test_a_whole_catalogue_with_one_change_is_of_good_quality(
    make_lean_shop: MakeShop,
) -> None:
    shop = make_lean_shop()
    async with CatalogServer(CatalogOptions(products=60)) as server:
        await shop.run(NOTHING, contract=described(server))
        server.revise(1)
        result = await shop.run(NOTHING, contract=described(server))
    assert result.feeds[Feed.PRODUCTS].duplicate == 59
    assert result.exit_code is ExitCode.DONE
    assert result.quality["uniqueness"].value == 1


async def test_what_another_source_changed_is_set_right_by_an_unchanged_catalogue(
    make_lean_shop: MakeShop, tmp_path: Path
) -> None:
    shop = make_lean_shop()
    async with CatalogServer(CatalogOptions(products=8)) as server:
        contract = described(server, page_size=100)
        await shop.run(NOTHING, contract=contract)
        before = await products(shop)
        file = tmp_path / "products.json"
        file.write_text('[{"product_id": "prd_000001", "name": "Other", "price": 1}]')
        await shop.run(DataSources(products=(str(file),)), contract=contract)
        assert await products(shop) != before
        again = await shop.run(NOTHING, contract=contract)
        assert again.feeds[Feed.PRODUCTS].loaded == 1
        assert await products(shop) == before
        assert (await shop.run(NOTHING, contract=contract)).fetched[Feed.PRODUCTS].unchanged


async def test_a_capture_that_meets_a_limit_is_not_loaded_for_ever(
    make_lean_shop: MakeShop,
) -> None:
    shop = make_lean_shop()
    drift = Drift(kind=DriftKind.MISSING_FIELD, from_page=1, field="name")
    async with CatalogServer(CatalogOptions(products=20, drift=drift)) as server:
        contract = described(server, drift="quarantine")
        sources = NOTHING.by_feed()
        stopped = await run_pipeline(
            RunRequest(
                sources=sources,
                settings=shop.settings,
                contract=contract,
                observer=SilentObserver(),
                stages=Stages(),
                max_rejected=5,
            )
        )
    assert stopped.exit_code is ExitCode.LIMIT
    async with CatalogServer(CatalogOptions(products=20)) as server:
        result = await shop.run(NOTHING, contract=described(server, drift="quarantine"))
    assert result.error is None
    assert result.feeds[Feed.PRODUCTS].loaded == 20


async def test_a_list_with_a_record_twice_makes_nothing_inactive(
    make_lean_shop: MakeShop, tmp_path: Path
) -> None:
    shop, file = make_lean_shop(), tmp_path / "products.ndjson"
    lines = [json.dumps({"product_id": f"p{n}", "name": "Lamp", "price": 5}) for n in range(6)]
    for given in (lines, [*lines[:4], lines[0]]):
        file.write_text("\n".join(given) + "\n")
        async with CatalogServer(CatalogOptions(file=file)) as server:
            result = await shop.run(NOTHING, contract=described(server))
        assert result.error is None
    assert result.deactivated == 0
    assert any("came twice" in note for note in result.notes)


async def test_a_catalogue_with_a_nameless_record_makes_nothing_inactive(
    make_lean_shop: MakeShop, tmp_path: Path
) -> None:
    shop, file = make_lean_shop(), tmp_path / "products.ndjson"
    lines = [json.dumps({"product_id": f"p{n}", "name": "Lamp", "price": 5}) for n in range(6)]
    for given in (lines, [*lines[:5], '{"name": "Lamp", "price": 5}']):
        file.write_text("\n".join(given) + "\n")
        async with CatalogServer(CatalogOptions(file=file)) as server:
            result = await shop.run(NOTHING, contract=described(server))
        assert result.error is None
    assert result.feeds[Feed.PRODUCTS].rejected == 1
    assert result.deactivated == 0


async def test_an_incremental_fetch_makes_nothing_inactive_whatever_the_contract_says_of_files(
    make_lean_shop: MakeShop,
) -> None:
    shop = make_lean_shop()
    complete = parse_contract('[products]\ncatalogue = "complete"', name="complete")
    async with CatalogServer(CatalogOptions(products=20)) as server:
        asked = described(server, incremental=Incremental()).products.api
        assert asked is not None
        contract = complete.with_api(Feed.PRODUCTS, asked)
        await shop.run(NOTHING, contract=contract)
        server.revise(2)
        result = await shop.run(NOTHING, contract=contract)
    assert result.feeds[Feed.PRODUCTS].corrected == 2
    assert result.deactivated == 0


async def test_credentials_do_not_follow_another_address(make_lean_shop: MakeShop) -> None:
    asked = Endpoint(address="https://shop.example/p", auth=Bearer(environment="TOKEN"))
    contract = default_contract().with_api(Feed.PRODUCTS, asked)
    with pytest.raises(ConfigError, match=r"credentials for shop\.example"):
        await make_lean_shop().run(
            DataSources(products=("http://shop.example/p",)), contract=contract
        )


async def test_announced_records_that_do_not_come_are_told(make_lean_shop: MakeShop) -> None:
    shop = make_lean_shop()
    rows: Rows = [{"product_id": f"p{n}", "name": "Lamp", "price": 5} for n in range(3)]
    for given, words in ((rows, "announced 7 more"), ([], "announced 10 records, and gave none")):
        async with serving(products=given) as url:
            endpoint = Endpoint(
                address=f"{url}/products",
                name="told",
                records="result.items",
                limits=QUICK,
                pagination=NumberedPages(total_records="result.total", total_pages=""),
            )
            contract = default_contract().with_api(Feed.PRODUCTS, endpoint)
            result = await shop.run(NOTHING, contract=contract)
        assert words in f"{result.notes} {result.error}"
    assert len(await products(shop)) == 3


async def test_what_a_whole_catalogue_lacks_becomes_inactive(make_lean_shop: MakeShop) -> None:
    shop = make_lean_shop()
    for count in (12, 11):
        async with CatalogServer(CatalogOptions(products=count)) as server:
            result = await shop.run(NOTHING, contract=described(server))
        assert result.error is None
    assert result.deactivated == 1
    states = {name: row["is_active"] for name, row in (await products(shop)).items()}
    assert states.pop("prd_000012") is False
    assert all(states.values())
    async with CatalogServer(CatalogOptions(products=0)) as server:
        empty = await shop.run(NOTHING, contract=described(server))
    assert empty.deactivated == 0
    assert any("is empty" in note for note in empty.notes)


@pytest.mark.parametrize(
    ("more", "whole"),
    [
        ({}, True),
        ({"query": {"category": "toys"}}, False),
        ({"address": "https://shop.example/products?category=toys"}, False),
        ({"query": {"v": "2"}, "catalogue": "complete"}, True),
        ({"catalogue": "partial"}, False),
    ],
)
def test_a_list_that_is_selected_is_no_whole_catalogue(more: dict[str, Any], whole: bool) -> None:
    endpoint = Endpoint(**{"address": "https://shop.example/products", **more})
    assert endpoint.lists_everything is whole


async def test_half_a_catalogue_is_none(make_lean_shop: MakeShop) -> None:
    shop = make_lean_shop()
    options = CatalogOptions(products=100)
    told = {
        Misbehaviour.BROKEN_JSON: "Page 7",
        Misbehaviour.HTML_PAGE: "text/html",
        Misbehaviour.SAME_PAGE: "page",
        Misbehaviour.GZIP_BOMB: "max_answer_bytes",
    }
    for misbehave, words in told.items():
        async with CatalogServer(replace(options, misbehave=misbehave)) as server:
            failed = await shop.run(NOTHING, contract=described(server))
        assert (failed.status, failed.exit_code) == (RunStatus.FAILED, ExitCode.FAILED)
        assert words in str(failed.error)
        assert await products(shop) == {}
    async with CatalogServer(options) as server:
        assert (await shop.run(NOTHING, contract=described(server))).error is None
    assert len(await products(shop)) == 100


async def test_what_was_fetched_and_not_loaded_is_loaded_by_the_next_run(
    make_lean_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = make_lean_shop()

    async def lost(*_: object, **__: object) -> None:
        raise SinkError("the connection is gone")

    async with CatalogServer(CatalogOptions(products=30)) as server:
        contract = described(server)
        with monkeypatch.context() as patched:
            patched.setattr(work, "remember", lost)
            failed = await shop.run(NOTHING, contract=contract)
        assert failed.status is RunStatus.FAILED
        assert failed.feeds[Feed.PRODUCTS].loaded == 30
        asked = server.stats.requests
        again = await shop.run(NOTHING, contract=contract)
        assert again.error is None
        assert again.fetched[Feed.PRODUCTS].resumed
        assert again.feeds[Feed.PRODUCTS].loaded == 0
        assert server.stats.requests == asked, "nothing is fetched twice"
        assert (await shop.run(NOTHING, contract=contract)).fetched[Feed.PRODUCTS].unchanged
    [database] = await shop.rows("SELECT database_id FROM techmart_loader.identity")
    folder = shop.settings.home / "fetches" / str(database["database_id"]).replace("-", "")
    assert [path for path in folder.rglob("*") if path.is_file()] == []


async def test_another_contract_sees_every_record_again(make_lean_shop: MakeShop) -> None:
    shop = make_lean_shop()
    async with CatalogServer(CatalogOptions(products=20)) as server:
        contract = described(server, incremental=Incremental())
        await shop.run(NOTHING, contract=contract)
        other = parse_contract("[products]\nlow_stock_below = 1000", name="other")
        assert contract.products.api is not None
        other = other.with_api(Feed.PRODUCTS, contract.products.api)
        result = await shop.run(NOTHING, contract=other)
    assert result.feeds[Feed.PRODUCTS].read == 20


async def test_a_changed_shape_stops_or_is_told(make_lean_shop: MakeShop) -> None:
    shop = make_lean_shop()
    async with CatalogServer(CatalogOptions(products=30)) as server:
        assert (await shop.run(NOTHING, contract=described(server))).error is None
    drift = Drift(kind=DriftKind.RENAMED_FIELD, from_page=1, field="price")
    async with CatalogServer(CatalogOptions(products=31, drift=drift)) as server:
        stopped = await shop.run(NOTHING, contract=described(server))
        assert stopped.exit_code is ExitCode.FAILED
        assert "'price'" in str(stopped.error)
        assert "'price_v2'" in str(stopped.error)
        assert len(await products(shop)) == 30
        told = await shop.run(NOTHING, contract=described(server, drift="quarantine"))
    assert told.feeds[Feed.PRODUCTS].rejected == 31
    assert any("'price_v2'" in note for note in told.notes)
    # They are named by the catalogue, though nobody can read their prices.
    assert all(row["is_active"] for row in (await products(shop)).values())


async def test_secrets_open_the_door_and_are_told_nowhere(
    make_lean_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = make_lean_shop()
    access = Access(token="sesame-7f3a")
    async with CatalogServer(CatalogOptions(products=5, access=access)) as server:
        contract = described(server, auth=Bearer(environment="CATALOGUE_TOKEN"))
        monkeypatch.setenv("CATALOGUE_TOKEN", "barley-91c2")
        refused = await shop.run(NOTHING, contract=contract)
        assert refused.exit_code is ExitCode.USAGE
        assert "401" in str(refused.error)
        monkeypatch.setenv("CATALOGUE_TOKEN", "sesame-7f3a")
        result = await shop.run(NOTHING, contract=contract)
        assert result.error is None
    stored = await shop.rows("SELECT error FROM techmart_loader.runs")
    for text in (str(refused.to_dict()), str(result.to_dict()), str(stored)):
        assert "sesame" not in text
        assert "barley" not in text


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        (("http://user:secret@shop.example/p",), "credentials"),
        (("ftp://shop.example/secret",), "http"),
        (("http://a.example/secret", "http://b.example/secret"), "2 addresses"),
    ],
)
async def test_an_address_that_can_not_be_used_is_told_before_anything_begins(
    make_lean_shop: MakeShop, addresses: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        await make_lean_shop().run(DataSources(products=addresses))
    assert "secret" not in str(refused.value)


async def test_a_plan_fetches_and_remembers_nothing(make_shop: MakeShop) -> None:
    shop = make_shop()
    async with CatalogServer(CatalogOptions(products=25)) as server:
        contract = described(server)
        planned = await plan(NOTHING, settings=shop.settings, contract=contract)
        assert planned.feeds[Feed.PRODUCTS].loaded == 25
        result = await shop.run(NOTHING, contract=contract)
    assert result.feeds[Feed.PRODUCTS].loaded == 25


async def test_a_run_that_is_stopped_while_it_fetches_goes_on_with_the_next(
    make_lean_shop: MakeShop,
) -> None:
    shop, stop = make_lean_shop(), asyncio.Event()
    limits = QUICK.model_copy(update={"requests_per_second": 20, "concurrency": 1})
    async with CatalogServer(CatalogOptions(products=100)) as server:
        contract = described(server, limits=limits)
        running = asyncio.ensure_future(shop.run(NOTHING, contract=contract, stop=stop))
        while server.stats.requests < 4:
            await asyncio.sleep(0.01)
            assert not running.done()
        stop.set()
        stopped = await running
        assert stopped.exit_code is ExitCode.INTERRUPTED
        assert await products(shop) == {}
        asked = server.stats.requests
        result = await shop.run(NOTHING, contract=described(server))
        assert result.fetched[Feed.PRODUCTS].resumed
        assert server.stats.requests - asked < 10
    assert len(await products(shop)) == 100


@asynccontextmanager
async def serving(**records: Rows) -> AsyncIterator[str]:
    """An API with a list at `/NAME` for each name, whole, as a service of another team has it."""
    app = web.Application()
    for name, rows in records.items():

        async def answer(
            request: web.Request, rows: list[dict[str, object]] = rows
        ) -> web.Response:
            page = int(request.query.get("page", "1"))
            return web.json_response({"result": {"items": rows if page == 1 else [], "total": 10}})

        app.router.add_get(f"/{name}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_all_three_feeds_may_come_from_apis_that_a_contract_describes(
    make_shop: MakeShop, tmp_path: Path
) -> None:
    shop = make_shop()
    generate(
        ShopSpec(
            out=tmp_path, transactions=60, users=10, products=5, days=3, format=FileFormat.NDJSON
        )
    )
    truth = json.loads((tmp_path / "truth.json").read_text())

    def rows(feed: str) -> list[dict[str, object]]:
        (file,) = tmp_path.glob(f"{feed}*json")
        lines = file.read_text().splitlines()
        return [json.loads(line.rstrip(",")) for line in lines if line.startswith("{")]

    users = (tmp_path / "users.csv").read_text().splitlines()
    names = users[0].split(",")
    people = [dict(zip(names, line.split(","), strict=True)) for line in users[1:]]
    async with serving(
        users=people, products=rows("products"), transactions=rows("transactions")
    ) as url:
        contract = tmp_path / "shop.toml"
        contract.write_text(
            "\n".join(
                f"""[{feed}.api]
                address = "{url}/{feed}"
                records = "result.items"
                pagination = {{ kind = "none" }}
                limits = {{ requests_per_second = 100 }}"""
                for feed in Feed
            )
        )
        result = await shop.run(NOTHING, contract=load_contract(contract))
    assert result.error is None
    for feed in Feed:
        assert result.feeds[feed].adds_up
        assert result.feeds[feed].loaded == truth["feeds"][feed.value]["loaded"]
    sums = await shop.rows("SELECT count(*), sum(amount_usd) FROM transactions")
    assert await shop.warehouse_sums() == tuple(sums[0].values())
