"""Loads that are made again, runs that are stopped, a warehouse that dies."""

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import requests

from techmart_fast.dev import ShopSpec, generate
from techmart_fast.errors import ExitCode
from techmart_fast.local import LocalHome, LocalOptions, start, status
from techmart_fast.results import RunStatus
from techmart_fast.settings import Settings
from techmart_fast.warehouse import STAND_IN_PROJECT
from tests.shops import Shop, sources_in
from tests.trouble.asking import LOAD_JOB, MERGE_JOB, Ask, MakeShop, impatient


@pytest.fixture(scope="module")
def of_many_batches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    generate(ShopSpec(out=folder, transactions=1500, users=20, products=10, days=3, seed=5))
    return folder


@pytest.mark.parametrize(
    "failing",
    [
        ("1_1", "2_1"),
        pytest.param(("1_1", "2_0"), marks=pytest.mark.torture),
        pytest.param(("1_2", "2_1"), marks=pytest.mark.torture),
    ],
)
async def test_loads_that_are_made_again_may_fail_too(
    failing: tuple[str, str], make_shop: MakeShop, ask: Ask, of_many_batches: Path
) -> None:
    made = make_shop(block_bytes=64 * 1024)
    # A load job for each batch: several parts in one load group.
    asked = made.settings.bigquery.model_copy(update={"load_job_bytes": 1})
    shop = Shop(
        settings=Settings(
            pipeline=made.settings.pipeline, postgres=made.settings.postgres, bigquery=asked
        )
    )
    load = "^techmart_load_transactions_.*_"
    ask(*({"job": f"{load}{end}$", "reason": "invalid"} for end in failing))
    await shop.load(of_many_batches)
    stored = await shop.rows(
        "SELECT job_id FROM techmart_loader.load_groups WHERE table_name = 'transactions'"
    )
    attempts = [re.findall(r"_(\d+)_\d+$", str(row["job_id"])) for row in stored]
    assert len(attempts) > 3
    assert all(attempt == ["3"] for attempt in attempts)
    [sums] = await shop.rows("SELECT count(*), sum(amount_usd) FROM transactions")
    assert await shop.warehouse_sums() == tuple(sums.values())


async def test_a_stopped_run_cancels_its_jobs(
    make_shop: MakeShop, ask: Ask, generated: Path, shop_home: LocalHome
) -> None:
    shop, stop_run = make_shop(stop_grace_seconds=0.5), asyncio.Event()
    ask({**MERGE_JOB, "delay_seconds": 60})
    running = asyncio.ensure_future(shop.run(sources_in(generated), stop=stop_run))
    standin = status(shop_home).standin
    assert standin is not None
    address = f"{standin.url}/bigquery/v2/projects/{STAND_IN_PROJECT}/jobs"

    def merges() -> dict[str, dict[str, Any]]:
        listed = requests.get(address, params={"projection": "full"}, timeout=10).json()["jobs"]
        of_merge = (one for one in listed if "_merge_transactions_" in one["id"])
        return {one["id"]: one for one in of_merge}

    known = set(await asyncio.to_thread(merges))
    while not (new := set(await asyncio.to_thread(merges)) - known):
        await asyncio.sleep(0.05)
        assert not running.done()
    stop_run.set()
    result = await running
    assert (result.status, result.exit_code) == (RunStatus.STOPPED, ExitCode.INTERRUPTED)
    (job,) = new
    ended = (await asyncio.to_thread(merges))[job]
    assert ended["status"]["errorResult"]["reason"] == "stopped"
    await shop.load(generated)
    sums = await shop.rows("SELECT count(*), sum(amount_usd) FROM transactions")
    assert await shop.warehouse_sums() == tuple(sums[0].values())


async def test_a_warehouse_that_dies_is_told_and_made_up_for(
    make_shop: MakeShop, ask: Ask, generated: Path, shop_home: LocalHome
) -> None:
    shop = make_shop()
    ask({**LOAD_JOB, "delay_seconds": 60})
    running = asyncio.ensure_future(impatient(shop).run(sources_in(generated)))
    while not running.done():
        await asyncio.sleep(0.05)
        standin = status(shop_home).standin
        found = await shop.rows("SELECT to_regclass('techmart_loader.load_groups') AS there")
        if standin and found[0]["there"]:
            groups = await shop.rows("SELECT 1 FROM techmart_loader.load_groups WHERE attempt > 0")
            if len(groups) >= 3:
                os.kill(standin.pid, signal.SIGKILL)
                break
    failed = await running
    assert failed.exit_code is ExitCode.SINKS_DIFFER
    assert "does not answer" in str(failed.error)
    await start(shop_home, postgres=False, options=LocalOptions(standin_faults=True))
    await shop.load(generated)
    quiet = make_shop()
    await quiet.load(generated)
    assert await shop.state() == await quiet.state()
