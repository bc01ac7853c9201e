"""A limit of rejected records stops a run early, by way of the command line, and resumably."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from techmart_fast.errors import ExitCode
from tests.processes import all_feeds, started
from tests.shops import Shop
from tests.stopping.conftest import SMALL

SOON = 100


@pytest.mark.parametrize("limit", ["2", pytest.param("0.1%", marks=pytest.mark.torture)])
async def test_a_run_that_meets_its_limit_ends_with_exit_code_4_and_the_next_one_carries_on(
    limit: str,
    make_shop: Callable[..., Shop],
    generated: Path,
    expect_whole: Callable[[Shop], Awaitable[None]],
) -> None:
    shop = make_shop(block_bytes=SMALL, channel_bytes=SMALL)
    command = ("run", "--json", "--quiet", "--max-rejected", limit, *all_feeds(generated))
    with started(shop.settings, *command) as child:
        out, err = await asyncio.to_thread(child.communicate, timeout=SOON)
    told = json.loads(out)
    assert (child.returncode, told["exit_code"]) == (ExitCode.LIMIT, ExitCode.LIMIT), err
    assert f"more than --max-rejected {limit}" in told["error"]
    assert 0 < told["feeds"]["transactions"]["read"] < 2500
    [row] = await shop.rows("SELECT status, error FROM techmart_loader.runs")
    assert (row["status"], row["error"]) == ("failed", told["error"])
    result = await shop.load(generated)
    assert all(counts.adds_up for counts in result.feeds.values())
    await expect_whole(shop)
