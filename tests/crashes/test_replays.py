"""A replay killed at every step that it comes to: the next one ends as if nothing had been."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from techmart_fast.contract import default_contract
from techmart_fast.pipeline.reconciled import Standing
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.postgres import QuarantineFilter
from techmart_fast.records import Feed
from tests.crashes.victim import Order
from tests.crashes.victims import Victims
from tests.odd_shop import compared
from tests.shops import Shop
from tests.test_replay import MENDED, WRONG_USERS, but_for_quality, feeds, sales

STEPS = (
    "lease taken",
    "batch begun",
    "batch claimed",
    "rows copied",
    "rows written",
    "spool file under another name",
    "spool file durable",
    "outbox written",
    "batch closed",
    "batch not committed",
    "batch committed",
    "release committed",
    "group stored",
    "load job submitted",
    "facts merged",
    "rollups computed",
    "not marked",
    "marked",
    "run finished",
)
SHORT = ("batch not committed", "batch committed", "facts merged")


async def corrected(shop: Shop) -> dict[str, str]:
    """Corrections of all that waits, by number."""
    found = {}
    async with open_sinks(shop.settings, warehouse=False) as sinks:
        for feed in Feed:
            for one in await sinks.postgres.waiting_records(feed, QuarantineFilter()):
                raw = one.raw
                for wrong, right in MENDED.items():
                    raw = raw.replace(wrong, right)
                found[str(one.number)] = raw.decode()
    return found


@pytest.mark.parametrize(
    "steps",
    [SHORT, *(pytest.param((one,), id=one, marks=pytest.mark.torture) for one in STEPS)],
)
async def test_killed_at_a_step_a_replay_is_carried_on_by_the_next_one(
    steps: tuple[str, ...], make_shop: Callable[..., Shop], victims: Victims, tmp_path: Path
) -> None:
    shop, quiet = make_shop(), make_shop()
    for one in (shop, quiet):
        wrong = feeds(tmp_path, sales(right=False), users=WRONG_USERS)
        assert (await one.run(wrong)).error is None
    order = Order(
        settings=shop.settings,
        sources=wrong,
        contract=default_contract(),
        corrected=await corrected(shop),
    )
    for step in steps:
        assert victims.run(replace(order, step=step)).killed, f"the replay never came to: {step}"
    for target in (shop, quiet):
        ended = victims.run(replace(order, settings=target.settings))
        assert (ended.killed, ended.error) == (False, None)
        assert not await corrected(target)
        assert (await compared(target)).standing is Standing.EQUAL
    assert but_for_quality(await shop.state()) == but_for_quality(await quiet.state())
    audited = "SELECT operation, sum(row_count) FROM audit_logs GROUP BY 1 ORDER BY 1"
    assert await shop.rows(audited) == await quiet.rows(audited)
    batches = "SELECT kind, sum(records_read) FROM techmart_loader.batches GROUP BY 1 ORDER BY 1"
    assert await shop.rows(batches) == await quiet.rows(batches)
