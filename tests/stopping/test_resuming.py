"""What is done is told as if it were read again, but neither decoded nor, if whole, opened."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from techmart_fast.api import DataSources, run
from techmart_fast.contract import Contract
from techmart_fast.decode import blocks, decode
from techmart_fast.pipeline import work
from techmart_fast.pipeline.prepare import Stages
from techmart_fast.records import Block, DecodedBatch, Feed, SourceFile
from techmart_fast.results import RunResult, RunStatus
from tests.shops import Shop, sources_in
from tests.stopping.conftest import SMALL
from tests.stopping.test_draining import stopped_at

MakeShop = Callable[..., Shop]


class Noting:
    """Decodes, and remembers the first bytes of the blocks of transactions."""

    def __init__(self) -> None:
        self.first_bytes: list[int] = []

    def __call__(self, block: Block, contract: Contract) -> DecodedBatch:
        if block.source.feed is Feed.TRANSACTIONS:
            self.first_bytes.append(block.first_byte)
        return decode(block, contract)


async def decoded_by(
    shop: Shop, sources: DataSources, contract: Contract | None = None
) -> tuple[RunResult, list[int]]:
    noting = Noting()
    stages = Stages(decode=noting)
    result = await run(sources, settings=shop.settings, stages=stages, contract=contract)
    assert result.error is None
    return result, noting.first_bytes


def told(result: RunResult) -> dict[str, object]:
    """All that a run says of its feeds."""
    said = result.to_dict()
    return {name: said[name] for name in ("feeds", "quality_by_feed", "unknown_fields", "notes")}


async def test_a_finished_file_is_neither_opened_nor_decoded_again_and_told_the_same(
    shop: Shop, generated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, opened = sources_in(generated), []

    def noting(file: SourceFile, contract: Contract, **sizes: int) -> Iterator[Block]:
        opened.append(file.name)
        return blocks(file, contract, **sizes)

    monkeypatch.setattr(work, "blocks", noting)
    first, decoded = await decoded_by(shop, sources)
    assert len(opened) == 3
    assert decoded
    again, decoded = await decoded_by(shop, sources)
    assert len(opened) == 3
    assert decoded == []
    assert again.nothing_new
    counts, before = again.feeds[Feed.TRANSACTIONS], first.feeds[Feed.TRANSACTIONS]
    assert (counts.read, counts.rejected, counts.repaired) == (
        before.read,
        before.rejected,
        before.repaired,
    )
    assert counts.rejected_by_reason == before.rejected_by_reason
    # A database of an older version does not know what to tell: all is read, and told the same.
    await shop.rows("UPDATE techmart_loader.batches SET seen = NULL RETURNING 1")
    old, decoded = await decoded_by(shop, sources)
    assert decoded
    assert told(old) == told(again)


async def test_a_stopped_run_is_gone_on_with_where_it_stood_and_judged_as_a_whole(
    make_shop: MakeShop, generated: Path
) -> None:
    shop, whole = make_shop(block_bytes=SMALL, channel_bytes=SMALL), make_shop()
    stopped = await stopped_at(Feed.TRANSACTIONS, shop, generated)
    assert stopped.status is RunStatus.STOPPED
    [done] = await shop.rows(
        "SELECT min(end_byte) AS until FROM techmart_loader.checkpoints WHERE feed = 'transactions'"
    )
    rest, decoded = await decoded_by(shop, sources_in(generated))
    assert min(decoded) == done["until"]
    assert 0 < done["until"] == stopped_bytes(stopped, generated)
    uninterrupted = await whole.load(generated)
    ours, theirs = rest.to_dict(), uninterrupted.to_dict()
    assert ours["quality_by_feed"] == theirs["quality_by_feed"]
    assert ours["unknown_fields"] == theirs["unknown_fields"]
    for feed, counts in rest.feeds.items():
        assert counts.adds_up
        assert counts.read == uninterrupted.feeds[feed].read
        assert counts.rejected_by_reason == uninterrupted.feeds[feed].rejected_by_reason
        assert counts.repaired == uninterrupted.feeds[feed].repaired
    assert await shop.state() == await whole.state()


def stopped_bytes(stopped: RunResult, folder: Path) -> int:
    """Bytes of the records that a stopped run read of the transactions: lines, one a record."""
    lines = (folder / "transactions.ndjson").read_bytes().splitlines(keepends=True)
    return sum(len(line) for line in lines[: stopped.feeds[Feed.TRANSACTIONS].read])
