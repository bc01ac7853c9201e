"""What the warehouse can do to a run, by way of the stand-in's faults: it ends right, or says why.

Nothing is lost or doubled either way: after the run, or after the next one, both sinks are those of
a shop that had no trouble.
"""

import asyncio
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from techmart_fast.dev import ShopSpec, generate
from techmart_fast.errors import ExitCode
from techmart_fast.local import LocalHome, LocalOptions, start, status, stop
from techmart_fast.results import RunStatus
from techmart_fast.settings import Settings
from techmart_fast.warehouse import STAND_IN_PROJECT, jobs
from tests.shops import Shop, State, sources_in
from tests.warehouse.fakes import FakeClock

Fault = dict[str, object]
MakeShop = Callable[..., Shop]

UPLOAD: Fault = {"method": "POST", "path": "^/upload/"}
QUERY: Fault = {"method": "POST", "path": "/jobs$"}
LOAD_JOB: Fault = {"job": "^techmart_load_transactions_"}
MERGE_JOB: Fault = {"job": "^techmart_merge_transactions_"}

PASSING: dict[str, list[Fault]] = {
    "403 rateLimitExceeded on an upload": [{**UPLOAD, "reason": "rateLimitExceeded"}],
    "503 before an upload is accepted": [{**UPLOAD, "reason": "backendError", "status": 503}],
    "503 though an upload was accepted": [
        {**UPLOAD, "reason": "backendError", "status": 503, "after": True}
    ],
    "an upload that does not arrive": [{**UPLOAD, "drop": "before"}],
    "an upload whose answer is lost": [{**UPLOAD, "drop": "after"}],
    "503 before a query is accepted": [{**QUERY, "reason": "backendError", "status": 503}],
    "503 though a query was accepted": [
        {**QUERY, "reason": "backendError", "status": 503, "after": True}
    ],
    "a query whose answer is lost": [{**QUERY, "drop": "after"}],
    "a load job that ends with errors": [{**LOAD_JOB, "reason": "backendError"}],
    "a load job that ends with errors twice": [{**LOAD_JOB, "reason": "invalid", "times": 2}],
    "a MERGE that ends with a passing error": [{**MERGE_JOB, "reason": "backendError"}],
    "slow jobs": [{"job": "^techmart_", "delay_seconds": 0.3, "times": 3}],
}

LASTING: dict[str, tuple[list[Fault], str]] = {
    "quotaExceeded": ([{**UPLOAD, "reason": "quotaExceeded", "times": 99}], "quota"),
    "load jobs that never end well": (
        [{**LOAD_JOB, "reason": "invalid", "times": 99}],
        "a fault that was asked for",
    ),
    "stuck load jobs": ([{**LOAD_JOB, "delay_seconds": 60, "times": 99}], "no end after 600 s"),
    "a stuck MERGE": ([{**MERGE_JOB, "delay_seconds": 60}], "no end after 600 s"),
}


@pytest.fixture(scope="module")
def shop_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHome]:
    """A home whose stand-in can be asked for faults."""
    home = LocalHome(tmp_path_factory.mktemp("trouble") / "home")
    options = LocalOptions(standin_faults=True)
    asyncio.run(start(home, postgres=False, options=options))
    yield home
    asyncio.run(stop(home))


@dataclass(frozen=True)
class Ask:
    """Asks the stand-in for faults, in place of those before."""

    home: LocalHome

    def __call__(self, *faults: Fault) -> None:
        answer = requests.post(self._address, json=faults, timeout=10)
        assert answer.status_code == 200

    def left(self) -> list[int]:
        """How many strikes each fault has left: one that never struck tests nothing."""
        answer = requests.get(self._address, timeout=10).json()["left"]
        assert isinstance(answer, list)
        return answer

    @property
    def _address(self) -> str:
        standin = status(self.home).standin
        assert standin is not None
        return f"{standin.url}/standin/faults"


@pytest.fixture
def ask(shop_home: LocalHome) -> Iterator[Ask]:
    """Asks for faults; none are left at the end."""
    asking = Ask(shop_home)
    yield asking
    asking()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again at once; that waits grow is tested with a clock that is not real."""
    monkeypatch.setattr(jobs, "FIRST_RETRY_SECONDS", 0.01)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    generate(ShopSpec(out=folder, transactions=120, users=20, products=10, days=3, seed=5))
    return folder


@pytest.fixture(scope="module")
def untroubled() -> dict[str, State]:
    """The state of a shop without trouble, once a test has made it."""
    return {}


async def as_without_trouble(
    shop: Shop, make_shop: MakeShop, generated: Path, untroubled: dict[str, State]
) -> None:
    if not untroubled:
        quiet = make_shop()
        await quiet.load(generated)
        untroubled["state"] = await quiet.state()
    assert await shop.state() == untroubled["state"]


def impatient(shop: Shop) -> Shop:
    """The same shop, where a request has three seconds, and a job ten minutes."""
    settings = shop.settings
    short = {"job_timeout_seconds": 600.0, "request_timeout_seconds": 3.0}
    quick = settings.bigquery.model_copy(update=short)
    return Shop(
        settings=Settings(pipeline=settings.pipeline, postgres=settings.postgres, bigquery=quick)
    )


class QuickClock(FakeClock):
    """Passes as the waits say, while the stand-in, which is real, gets a moment for each."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await asyncio.sleep(0.005)


@pytest.fixture
def quick_clock(monkeypatch: pytest.MonkeyPatch) -> QuickClock:
    """The clock of all waits for jobs."""
    clock = QuickClock()
    monkeypatch.setattr("techmart_fast.warehouse.sink.SystemClock", lambda: clock)
    return clock


@pytest.mark.parametrize("trouble", PASSING)
async def test_a_run_gets_over(
    trouble: str,
    make_shop: MakeShop,
    ask: Ask,
    generated: Path,
    untroubled: dict[str, State],
) -> None:
    shop = make_shop()
    ask(*PASSING[trouble])
    await shop.load(generated)
    assert ask.left() == [0] * len(PASSING[trouble])
    ask()
    await as_without_trouble(shop, make_shop, generated, untroubled)


@pytest.mark.parametrize("trouble", LASTING)
@pytest.mark.usefixtures("quick_clock")
async def test_a_run_ends_in_time_and_the_next_one_completes_it(
    trouble: str,
    make_shop: MakeShop,
    ask: Ask,
    generated: Path,
    untroubled: dict[str, State],
) -> None:
    shop = make_shop()
    faults, words = LASTING[trouble]
    ask(*faults)
    failed = await impatient(shop).run(sources_in(generated))
    assert all(
        times < fault.get("times", 1) for times, fault in zip(ask.left(), faults, strict=True)
    )
    assert (failed.status, failed.exit_code) == (RunStatus.FAILED, ExitCode.SINKS_DIFFER)
    assert words in str(failed.error).lower()
    assert "Run again" in str(failed.error)
    ask()
    await shop.load(generated)
    await as_without_trouble(shop, make_shop, generated, untroubled)


@pytest.fixture(scope="module")
def of_many_batches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    generate(ShopSpec(out=folder, transactions=1500, users=20, products=10, days=3, seed=5))
    return folder


@pytest.mark.parametrize("failing", [("1_1", "2_0"), ("1_2", "2_1"), ("1_1", "2_1")])
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
    shop, stop_run = make_shop(), asyncio.Event()
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
