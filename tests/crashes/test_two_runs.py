"""Two runs at once, and a run that is paused, replaced and continued: one wins, all is once."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from signal import SIGCONT, SIGSTOP

import pytest

from techmart_fast.errors import ExitCode
from tests.crashes.conftest import Known, Target, without_interruption
from tests.crashes.feeds import Feeds
from tests.crashes.judge import must_be_as
from tests.crashes.victims import Victims
from tests.shops import Shop

Make = Callable[..., Target]
LEASE_SECONDS = 1.0

PAUSED_AT = (
    "rows written",
    "batch not committed",
    "batch committed",
    "spool file under another name",
    "group stored",
    "job id stored",
    "load job not submitted",
    "merge not submitted",
    "facts merged",
    "computed partial_orders",
    "rollups computed",
    "not marked",
)
"""Where a run is paused. Behind `not submitted` it has made sure a last time that it may go on."""

QUICK = ("batch not committed",)


@pytest.fixture(scope="session")
def rivals() -> Iterator[Victims]:
    others = Victims()
    yield others
    others.close()


async def runs_of(shop: Shop) -> dict[str, str]:
    rows = await shop.rows("SELECT run_id, status FROM techmart_loader.runs")
    return {str(row["run_id"]): str(row["status"]) for row in rows}


async def test_of_two_runs_at_once_one_wins_and_the_other_writes_nothing(
    target: Make, rivals: Victims, uninterrupted: Known
) -> None:
    expected = await without_interruption("empty", target, uninterrupted)
    shop = target("empty")
    # In the middle of a batch's transaction, so that both are surely there at once.
    shop.victims.begin(replace(shop.order, step="rows written", act=SIGSTOP))
    shop.victims.wait_until_stopped()
    before = await runs_of(shop.shop)
    refused = rivals.run(shop.order)
    shop.victims.send(SIGCONT)
    won = shop.victims.end()
    assert won.error is None
    assert refused.exit_code == ExitCode.LEASE_HELD
    assert str(refused.error).startswith("LeaseHeldError")
    after = await runs_of(shop.shop)
    assert sorted(after.values()) == ["completed", "failed"]
    loser = next(run_id for run_id in after if run_id not in before)
    written = await shop.shop.rows(
        f"SELECT 1 FROM techmart_loader.batches WHERE run_id = '{loser}'"
    )
    assert written == []
    await must_be_as(shop.shop, expected, after="two runs at once")


@pytest.mark.torture
async def test_of_two_runs_started_at_the_same_moment_one_wins(
    target: Make, rivals: Victims, uninterrupted: Known
) -> None:
    expected = await without_interruption("empty", target, uninterrupted)
    shop = target("empty")
    shop.victims.begin(shop.order)
    rivals.begin(shop.order)
    ends = [shop.victims.end(), rivals.end()]
    refused = [one for one in ends if one.exit_code == ExitCode.LEASE_HELD]
    # The later one may come when the earlier one is done: then it has nothing to do.
    assert len(refused) <= 1
    assert [one.error for one in ends if one not in refused] == [None] * (2 - len(refused))
    await must_be_as(shop.shop, expected, after="two runs at the same moment")


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        pytest.param(kind, step, marks=() if (kind, step) in quick else pytest.mark.torture)
        for kind in ("empty", "live")
        for step in PAUSED_AT
        for quick in [{("empty", one) for one in QUICK}]
    ],
)
async def test_a_run_that_was_paused_and_replaced_is_refused_and_does_no_harm(
    kind: str, step: str, target: Make, rivals: Victims, uninterrupted: Known
) -> None:
    expected = await without_interruption(kind, target, uninterrupted)
    shop = target(kind, lease_seconds=LEASE_SECONDS)
    shop.victims.begin(replace(shop.order, step=step, act=SIGSTOP))
    shop.victims.wait_until_stopped()
    replaced = Target(shop.shop, shop.order, rivals)
    replaced.when_silent(replaced.order)
    shop.victims.send(SIGCONT)
    late = shop.victims.end()
    assert late.exit_code == ExitCode.LEASE_HELD, late
    assert "took the lease over" in str(late.error)
    await must_be_as(shop.shop, expected, after=f"a pause at {step}")
    replaced.finish()
    await must_be_as(shop.shop, expected, after=f"a pause at {step}, and another run")


async def test_a_paused_run_does_not_merge_after_one_that_knows_where_the_rows_have_gone(
    target: Make, feeds: Feeds, rivals: Victims, uninterrupted: Known
) -> None:
    expected = await without_interruption("live", target, uninterrupted)
    shop = target("empty", lease_seconds=LEASE_SECONDS)
    # It has made sure that it holds the lease, and is about to send the MERGE.
    first = replace(shop.order, sources=feeds.earlier, step="merge not submitted", act=SIGSTOP)
    shop.victims.begin(first)
    shop.victims.wait_until_stopped()
    # Later records move rows to other days, which the paused MERGE does not know. The staging
    # tables are still there.
    replaced = Target(shop.shop, shop.order, rivals)
    replaced.when_silent(replace(shop.order, step="all merged"))
    shop.victims.send(SIGCONT)
    late = shop.victims.end()
    assert late.exit_code == ExitCode.LEASE_HELD, late
    replaced.finish()
    await must_be_as(shop.shop, expected, after="a MERGE that was paused")
