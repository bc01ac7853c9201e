"""A first load does without the index of users, whatever happens to it; after a run it is there."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from techmart_fast.api import replay, run
from techmart_fast.dev import ShopSpec, generate
from techmart_fast.errors import ExitCode, SinkError, WarehouseError
from techmart_fast.pipeline.progress import SilentObserver
from techmart_fast.postgres import BatchOutcome, BatchWrite, Lease, PostgresSink, indexes
from techmart_fast.records import Feed
from techmart_fast.results import RunResult, RunStatus
from techmart_fast.warehouse import WarehouseSink
from tests.shops import Row, Shop, sources_in

OWED = "SELECT index_name FROM techmart_loader.deferred_indexes"
INDEXES = """SELECT indexdef, obj_description((schemaname || '.' || indexname)::regclass)
    FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"""
THERE = "SELECT to_regclass('public.transactions_user_id') IS NOT NULL AS there"
WAITING = "SELECT entry_id FROM techmart_loader.outbox WHERE published_at IS NULL"
STAGE = "postgres index"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first-load")
    generate(ShopSpec(out=folder, transactions=300, users=20, products=10, days=2, seed=3))
    return folder


@pytest.fixture(scope="module")
def found_before() -> list[Row]:
    """What `of_schema` found, for all tests."""
    return []


@pytest.fixture
async def of_schema(
    make_shop: Callable[[], Shop], generated: Path, found_before: list[Row]
) -> list[Row]:
    """The indexes of a shop in which nothing was loaded but users."""
    if not found_before:
        quiet = make_shop()
        result = await quiet.run(replace(sources_in(generated), transactions=(), products=()))
        assert STAGE not in stages(result)
        found_before += await quiet.rows(INDEXES)
    return found_before


async def expect_built(shop: Shop, of_schema: list[Row]) -> None:
    assert await shop.rows(OWED) == []
    assert await shop.rows(INDEXES) == of_schema


def stages(result: RunResult) -> set[str]:
    return {stage.name for stage in result.stages}


async def test_it_is_gone_while_transactions_are_loaded_and_the_schema_is_the_same_afterwards(
    lean_shop: Shop, generated: Path, of_schema: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, seen = PostgresSink.write, []

    async def write(self: PostgresSink, writer: int, write: BatchWrite) -> BatchOutcome:
        outcome = await whole(self, writer, write)
        seen.append((write.identity.feed, (await lean_shop.rows(THERE))[0]["there"]))
        return outcome

    monkeypatch.setattr(PostgresSink, "write", write)
    first = await lean_shop.load(generated)
    assert set(seen) == {(Feed.USERS, True), (Feed.PRODUCTS, True), (Feed.TRANSACTIONS, False)}
    assert STAGE in stages(first)
    await expect_built(lean_shop, of_schema)


async def test_a_run_into_a_table_with_rows_puts_nothing_off(
    lean_shop: Shop, generated: Path, tmp_path: Path, of_schema: list[Row]
) -> None:
    await lean_shop.load(generated)
    generate(ShopSpec(out=tmp_path, transactions=100, users=20, products=10, days=2, seed=4))
    assert STAGE not in stages(await lean_shop.load(tmp_path))
    await expect_built(lean_shop, of_schema)


def broken(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The build fails."""
    whole = indexes.statement

    def instead(file: str, name: str, **parts: str) -> str:
        return "SELECT 1 / 0" if name == "build" else whole(file, name, **parts)

    monkeypatch.setattr(indexes, "statement", instead)
    return monkeypatch


async def test_a_build_that_fails_is_an_error_of_postgresql_and_the_next_run_builds(
    shop: Shop, generated: Path, of_schema: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as failing:
        broken(failing)
        failed = await shop.run(sources_in(generated))
    assert (failed.status, failed.exit_code) == (RunStatus.FAILED, ExitCode.FAILED)
    assert "building an index" in str(failed.error)
    assert await shop.rows(OWED) == [{"index_name": "transactions_user_id"}]
    # The warehouse went on all the same.
    assert await shop.rows(WAITING) == []
    [stored] = await shop.rows("SELECT count(*) FROM transactions")
    assert (await shop.warehouse_sums())[0] == stored["count"] > 0
    assert STAGE in stages(await shop.load(generated))
    await expect_built(shop, of_schema)


async def test_any_later_run_builds_whatever_it_loads(
    make_lean_shop: Callable[[], Shop],
    generated: Path,
    of_schema: list[Row],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def only_users(shop: Shop) -> None:
        sources = replace(sources_in(generated), transactions=(), products=())
        assert (await shop.run(sources)).error is None

    async def replays(shop: Shop) -> None:
        assert (await replay(settings=shop.settings)).run.error is None

    later: tuple[Callable[[Shop], Awaitable[None]], ...] = (only_users, replays)
    for do in later:
        shop = make_lean_shop()
        with monkeypatch.context() as failing:
            broken(failing)
            assert (await shop.run(sources_in(generated))).error
        await do(shop)
        await expect_built(shop, of_schema)


async def test_a_warehouse_out_of_order_does_not_keep_it_from_being_built(
    shop: Shop, generated: Path, of_schema: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise WarehouseError("out of order")

    observer, whole = Waiting(), PostgresSink.build_index

    async def slowly(self: PostgresSink, lease: Lease) -> None:
        # Until it is all that the run does.
        await asyncio.wait_for(observer.alone.wait(), 60)
        await whole(self, lease)

    with monkeypatch.context() as changed:
        changed.setattr(WarehouseSink, "merge", refuse)
        changed.setattr(PostgresSink, "build_index", slowly)
        behind = await run(sources_in(generated), settings=shop.settings, observer=observer)
    assert behind.exit_code == ExitCode.SINKS_DIFFER
    await expect_built(shop, of_schema)


async def test_of_two_troubles_the_warehouses_is_a_note(
    shop: Shop, generated: Path, of_schema: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise WarehouseError("out of order")

    with monkeypatch.context() as failing:
        broken(failing).setattr(WarehouseSink, "merge", refuse)
        failed = await shop.run(sources_in(generated))
    assert failed.exit_code == ExitCode.FAILED
    assert "building an index" in str(failed.error)
    assert any("The warehouse is behind: out of order" in note for note in failed.notes)
    await shop.load(generated)
    await expect_built(shop, of_schema)


async def test_a_run_whose_loading_fails_does_not_build_it(
    lean_shop: Shop, generated: Path, of_schema: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = PostgresSink.write

    async def write(self: PostgresSink, writer: int, write: BatchWrite) -> BatchOutcome:
        if write.identity.feed is Feed.TRANSACTIONS:
            raise SinkError("no more")
        return await whole(self, writer, write)

    with monkeypatch.context() as failing:
        failing.setattr(PostgresSink, "write", write)
        failed = await lean_shop.run(sources_in(generated))
    assert (failed.status, STAGE in stages(failed)) == (RunStatus.FAILED, False)
    assert any("still to be built: the next run" in note for note in failed.notes)
    assert await lean_shop.rows(OWED) == [{"index_name": "transactions_user_id"}]
    await lean_shop.load(generated)
    await expect_built(lean_shop, of_schema)


class Waiting(SilentObserver):
    """Knows when a run waits for the build alone."""

    def __init__(self) -> None:
        self.alone = asyncio.Event()

    def phase(self, name: str) -> None:
        if name == "Building the index of users":
            self.alone.set()


class StoppingAtTheEnd(SilentObserver):
    """Asks for a stop when transactions begin to be loaded."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()

    def phase(self, name: str) -> None:
        if name == "Loading transactions":
            self.stop.set()


async def test_a_run_that_is_to_stop_leaves_it_to_the_next_one_and_says_so(
    lean_shop: Shop, generated: Path, of_schema: list[Row]
) -> None:
    observer = StoppingAtTheEnd()
    stopped = await run(
        sources_in(generated), settings=lean_shop.settings, observer=observer, stop=observer.stop
    )
    assert stopped.status is RunStatus.STOPPED
    assert any("still to be built: the next run" in note for note in stopped.notes)
    assert await lean_shop.rows(OWED) == [{"index_name": "transactions_user_id"}]
    again = await lean_shop.load(generated)
    assert not any("still to be built" in note for note in again.notes)
    await expect_built(lean_shop, of_schema)


async def test_a_build_that_outlives_the_grace_time_is_left_to_the_next_run(
    make_lean_shop: Callable[..., Shop],
    generated: Path,
    of_schema: list[Row],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lean_shop, stop = make_lean_shop(stop_grace_seconds=0.2), asyncio.Event()

    async def for_ever(*_: object, **__: object) -> None:
        stop.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as hanging:
        hanging.setattr(PostgresSink, "build_index", for_ever)
        stopped = await asyncio.wait_for(lean_shop.run(sources_in(generated), stop=stop), 60)
    assert stopped.status is RunStatus.STOPPED
    assert any("still to be built: the next run" in note for note in stopped.notes)
    await lean_shop.load(generated)
    await expect_built(lean_shop, of_schema)
