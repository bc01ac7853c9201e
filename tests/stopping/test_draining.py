"""The first request to stop: nothing more is read, what was read is committed and published."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from techmart_fast.api import run
from techmart_fast.contract import parse_contract
from techmart_fast.errors import ExitCode, WarehouseError
from techmart_fast.pipeline.progress import FeedProgress, SilentObserver
from techmart_fast.postgres import BatchOutcome, BatchWrite, PostgresSink
from techmart_fast.records import Feed
from techmart_fast.results import RunResult, RunStatus
from techmart_fast.warehouse import WarehouseSink
from tests.shops import Shop, sources_in
from tests.stopping.conftest import SMALL

MakeShop = Callable[..., Shop]
Expect = Callable[[Shop], Awaitable[None]]

WAITING = "SELECT count(*) AS entries FROM techmart_loader.outbox WHERE published_at IS NULL"


class Stopping(SilentObserver):
    """Asks for a stop at the first sign of something: a batch of a feed, or a phase."""

    def __init__(self, at: Feed | str) -> None:
        self.at = at
        self.stop = asyncio.Event()

    def phase(self, name: str) -> None:
        if name == self.at:
            self.stop.set()

    def progress(self, progress: FeedProgress) -> None:
        if progress.feed is self.at:
            self.stop.set()


async def stopped_at(at: Feed | str, shop: Shop, folder: Path) -> RunResult:
    observer = Stopping(at)
    return await run(
        sources_in(folder), settings=shop.settings, observer=observer, stop=observer.stop
    )


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(Feed.USERS, marks=pytest.mark.torture),
        pytest.param("Loading transactions", marks=pytest.mark.torture),
        Feed.TRANSACTIONS,
    ],
)
async def test_what_was_read_is_committed_and_published_and_the_next_run_does_the_rest(
    at: Feed | str, make_shop: MakeShop, generated: Path, expect_whole: Expect
) -> None:
    shop = make_shop(block_bytes=SMALL, channel_bytes=SMALL)
    result = await stopped_at(at, shop, generated)
    assert (result.status, result.exit_code) == (RunStatus.STOPPED, ExitCode.INTERRUPTED)
    assert "the next run carries on" in str(result.error)
    [stored] = await shop.rows("SELECT count(*), sum(amount_usd) FROM transactions")
    assert bool(stored["count"]) is (at is Feed.TRANSACTIONS)
    assert (await shop.warehouse_sums())[0] == stored["count"]
    assert await shop.rows(WAITING) == [{"entries": 0}]
    [row] = await shop.rows("SELECT status, error FROM techmart_loader.runs")
    assert row["status"] == "stopped"
    # Every batch that was prepared was committed: no lane is ahead of another one.
    lanes = await shop.rows(
        "SELECT DISTINCT end_byte FROM techmart_loader.checkpoints WHERE feed = 'transactions'"
    )
    assert len(lanes) == (1 if at is Feed.TRANSACTIONS else 0)
    await shop.load(generated)
    await expect_whole(shop)


@pytest.mark.torture
async def test_a_stop_after_the_last_block_leaves_nothing_undone_and_is_a_completed_run(
    shop: Shop, generated: Path
) -> None:
    result = await stopped_at("Merging and computing the rollups", shop, generated)
    assert (result.status, result.exit_code) == (RunStatus.COMPLETED, ExitCode.DONE)
    assert await shop.rows(WAITING) == [{"entries": 0}]


@pytest.mark.torture
async def test_what_is_not_done_when_the_grace_time_is_over_is_cancelled(
    make_shop: MakeShop,
    generated: Path,
    expect_whole: Expect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = make_shop(block_bytes=SMALL, channel_bytes=SMALL, stop_grace_seconds=0.2)
    whole, written = PostgresSink.write, 0

    async def stuck(self: PostgresSink, writer: int, write: BatchWrite) -> BatchOutcome:
        nonlocal written
        written += write.identity.feed is Feed.TRANSACTIONS
        if written > 3:
            await asyncio.Event().wait()
        return await whole(self, writer, write)

    with monkeypatch.context() as hanging:
        hanging.setattr(PostgresSink, "write", stuck)
        result = await asyncio.wait_for(stopped_at(Feed.TRANSACTIONS, shop, generated), 60)
    assert (result.status, result.exit_code) == (RunStatus.STOPPED, ExitCode.INTERRUPTED)
    [row] = await shop.rows("SELECT status FROM techmart_loader.runs")
    assert row["status"] == "stopped"
    await shop.load(generated)
    await expect_whole(shop)


@pytest.mark.torture
async def test_a_warehouse_that_fails_meanwhile_is_told_in_a_note(
    make_shop: MakeShop,
    generated: Path,
    expect_whole: Expect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise WarehouseError("out of order")

    shop = make_shop(block_bytes=SMALL, channel_bytes=SMALL)
    with monkeypatch.context() as broken:
        broken.setattr(WarehouseSink, "merge", refuse)
        result = await stopped_at(Feed.TRANSACTIONS, shop, generated)
    assert (result.status, result.exit_code) == (RunStatus.STOPPED, ExitCode.INTERRUPTED)
    assert any("The warehouse is behind: out of order" in note for note in result.notes)
    await shop.load(generated)
    await expect_whole(shop)


async def test_a_catalogue_that_was_not_read_to_its_end_takes_no_product_off_the_shelves(
    make_shop: MakeShop, generated: Path, tmp_path: Path
) -> None:
    complete = parse_contract('[products]\ncatalogue = "complete"\n', name="complete")
    shop = make_shop(block_bytes=SMALL, channel_bytes=SMALL)
    products = [
        f'{{"product_id": "p{number}", "name": "{"n" * 200}", "price": "1.00"}}\n'
        for number in range(3000)
    ]
    path = tmp_path / "products.ndjson"
    path.write_text("".join(products))
    sources = replace(sources_in(generated), transactions=(), users=(), products=(str(path),))
    assert (await shop.run(sources, contract=complete)).error is None
    path.write_text("".join(reversed(products)))
    observer = Stopping(Feed.PRODUCTS)
    result = await run(
        sources,
        settings=shop.settings,
        contract=complete,
        observer=observer,
        stop=observer.stop,
    )
    assert result.status is RunStatus.STOPPED
    assert 0 < result.feeds[Feed.PRODUCTS].read < 3000
    assert result.deactivated == 0
    [active] = await shop.rows("SELECT count(*) FROM products WHERE is_active")
    assert active["count"] == 3000


@pytest.mark.torture
async def test_a_cancelled_run_ends_at_once_and_the_next_one_carries_on(
    make_shop: MakeShop, generated: Path, expect_whole: Expect
) -> None:
    shop = make_shop(block_bytes=SMALL, channel_bytes=SMALL)
    observer = Stopping(Feed.TRANSACTIONS)
    running = asyncio.ensure_future(
        run(sources_in(generated), settings=shop.settings, observer=observer, stop=observer.stop)
    )
    await observer.stop.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    [row] = await shop.rows("SELECT status, error FROM techmart_loader.runs")
    assert row == {"status": "stopped", "error": "Cancelled."}
    await shop.load(generated)
    await expect_whole(shop)
