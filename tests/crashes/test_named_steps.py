"""Runs killed at every named step: the rerun ends as if nothing had been."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from techmart_fast.api import DataSources
from techmart_fast.contract.endpoint import Endpoint, Limits
from techmart_fast.dev.catalog_server import CatalogOptions, CatalogServer
from techmart_fast.records import Feed
from tests.crashes.conftest import Known, Target, without_interruption
from tests.crashes.feeds import Feeds
from tests.crashes.judge import everything, must_be_as
from tests.crashes.steps import BY_NAME, STEPS, Step

Make = Callable[..., Target]
KINDS = ("empty", "live")

EARLY = STEPS[: STEPS.index(BY_NAME["groups taken over"])]
"""What comes before the warehouse: runs that die there take little time."""

INDEX = ("index not put off", "index put off", "index owed", "index not committed", "index built")
"""Steps that a run into an empty table comes to."""

LATE = (
    "group stored",
    "load job submitted",
    "facts merged",
    "computed partial_orders",
    "refresh counted",
    "marked",
    "run finished",
)
"""Some of what comes then, for the short form."""


def needed(kind: str) -> list[Step]:
    return [step for step in STEPS if step.needs in ("", kind)]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_that_nobody_interrupts_comes_to_every_step(
    kind: str, target: Make, uninterrupted: Known
) -> None:
    await without_interruption(kind, target, uninterrupted)
    ended, _ = uninterrupted[kind]
    assert {step.name for step in needed(kind)} - ended.met == set()


async def test_killed_at_one_step_after_the_other_a_run_ends_as_if_nothing_had_been(
    target: Make, uninterrupted: Known
) -> None:
    expected = await without_interruption("live", target, uninterrupted)
    shop = target("live")
    early = [step.name for step in EARLY if step.needs in ("", "live")]
    for name in (*early, *LATE):
        assert shop.kill(name).killed, f"the run never came to: {name}"
    shop.finish()
    # It tells the warehouse of the twenty oldest runs that it has not heard of; the next does, too.
    shop.finish()
    shop.finish()
    await must_be_as(shop.shop, expected, after="one step after the other")


async def test_killed_around_the_index_of_a_first_load_a_run_ends_as_if_nothing_had_been(
    target: Make, uninterrupted: Known
) -> None:
    expected = await without_interruption("empty", target, uninterrupted)
    shop = target("empty")
    for name in INDEX:
        assert shop.kill(name).killed, f"the run never came to: {name}"
    shop.finish()
    await must_be_as(shop.shop, expected, after="the steps of the index")


@pytest.mark.torture
@pytest.mark.parametrize(
    ("step", "kind"),
    [
        pytest.param(step, kind, id=f"{step.name}-{kind}")
        for step in STEPS
        for kind in KINDS
        if step.needs in ("", "again", kind)
    ],
)
async def test_killed_at_a_step_twice_in_a_row_a_run_ends_as_if_nothing_had_been(
    step: Step, kind: str, target: Make, uninterrupted: Known
) -> None:
    expected = await without_interruption(kind, target, uninterrupted)
    shop = target(kind)
    if step.needs == "again":
        assert shop.kill("all merged").killed
        await forget_what_was_seen(shop)
    assert shop.kill(step.name).killed, "the run never came to this step"
    assert shop.kill(step.name).killed is not step.once, "whether a rerun comes there has changed"
    shop.finish()
    await must_be_as(shop.shop, expected, after=step.name)


async def forget_what_was_seen(target: Target) -> None:
    """As in a database of before schema version 8: what is done is decoded again, to be judged."""
    await target.shop.rows("UPDATE techmart_loader.batches SET seen = NULL RETURNING 1")


@pytest.fixture(scope="module")
def catalogue(feeds: Feeds, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The products of the later delivery, for a server."""
    file = tmp_path_factory.mktemp("catalogue") / "products.ndjson"
    products = json.loads(Path(feeds.later.products[0]).read_text())
    file.write_text("".join(json.dumps(one) + "\n" for one in products))
    return file


async def from_api(target: Make, feeds: Feeds, server: CatalogServer) -> Target:
    """An empty target whose products come from an API."""
    made = target("empty")
    endpoint = Endpoint(
        address=f"{server.address}/products",
        page_size=10,
        limits=Limits(requests_per_second=1000, answer_seconds=5),
    )
    return made.with_order(
        sources=DataSources(users=feeds.later.users, transactions=feeds.later.transactions),
        contract=feeds.contract.with_api(Feed.PRODUCTS, endpoint),
    )


@pytest.mark.torture
async def test_killed_where_it_asks_an_api_a_run_ends_as_if_nothing_had_been(
    target: Make, feeds: Feeds, catalogue: Path
) -> None:
    async with CatalogServer(CatalogOptions(file=catalogue)) as server:
        quiet = await from_api(target, feeds, server)
        ended = await asyncio.to_thread(quiet.finish)
        steps = [step for step in STEPS if step.needs == "api"]
        assert {step.name for step in steps} - ended.met == set()
        expected = await everything(quiet.shop)
        for step in steps:
            shop = await from_api(target, feeds, server)
            assert (await asyncio.to_thread(shop.kill, step.name)).killed, step.name
            again = await asyncio.to_thread(shop.kill, step.name)
            assert again.killed is not step.once, step.name
            await asyncio.to_thread(shop.finish)
            await must_be_as(shop.shop, expected, after=step.name)


def test_the_page_on_guarantees_names_every_step() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "guarantees.md").read_text(encoding="utf-8")
    told = page.partition("| step |")[2].splitlines()[2:]
    assert told == [f"| {step.name} | {step.sentence} |" for step in STEPS]
