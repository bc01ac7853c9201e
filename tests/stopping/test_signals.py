"""Signals to a real process whose last batches can't be committed: grace time, second signal."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from techmart_fast.api import DataSources
from techmart_fast.settings import Settings
from tests.processes import all_feeds, started
from tests.shops import Shop
from tests.stopping.conftest import SMALL

MUCH_LATER = 100
"""Seconds within which a run ends that ends "at once" or soon, on a machine that is busy."""


@asynccontextmanager
async def nobody_writes(settings: Settings) -> AsyncIterator[None]:
    """Holds up every batch of transactions, once the table is there."""
    chosen = settings.postgres
    assert chosen.password is not None
    connection = await asyncpg.connect(
        host=chosen.host,
        port=chosen.port,
        database=chosen.db,
        user=chosen.user,
        password=chosen.password.get_secret_value(),
    )
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE public.transactions IN EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


def wait_for(child: subprocess.Popen[str], event: str, **facts: str) -> None:
    """Read the log until it tells of this."""
    assert child.stderr is not None
    for line in child.stderr:
        told = json.loads(line)
        if told["event"] == event and facts.items() <= told.items():
            return
    raise AssertionError(f"{event} was never told")


def end_of(child: subprocess.Popen[str]) -> dict[str, object]:
    out, _ = child.communicate(timeout=MUCH_LATER)
    told: dict[str, object] = json.loads(out)
    return told


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        pytest.param((signal.SIGTERM,), 143, id="grace time", marks=pytest.mark.torture),
        pytest.param((signal.SIGTERM, signal.SIGTERM), 143, id="second SIGTERM"),
        pytest.param(
            (signal.SIGINT, signal.SIGTERM), 130, id="other signal", marks=pytest.mark.torture
        ),
    ],
)
async def test_a_run_that_can_not_drain_ends_after_the_grace_time_or_at_a_second_signal(
    signals: tuple[signal.Signals, ...],
    code: int,
    make_shop: Callable[..., Shop],
    generated: Path,
    expect_whole: Callable[[Shop], Awaitable[None]],
) -> None:
    number, *again = signals
    grace = 10_000 if again else 0.5
    shop = make_shop(block_bytes=SMALL, channel_bytes=SMALL, stop_grace_seconds=grace)
    # The tables are made beforehand, so that they can be locked.
    assert (await shop.run(only_users(generated))).error is None
    with started(shop.settings, "run", "--json", *all_feeds(generated)) as child:
        try:
            async with nobody_writes(shop.settings):
                await asyncio.to_thread(wait_for, child, "phase", what="Loading transactions")
                child.send_signal(number)
                await asyncio.to_thread(wait_for, child, "phase", what=stopping(grace))
                if again:
                    await asyncio.sleep(0.2)
                    assert child.poll() is None
                    child.send_signal(again[0])
                began = time.monotonic()
                result = await asyncio.to_thread(end_of, child)
                assert time.monotonic() - began < MUCH_LATER
        finally:
            child.kill()
    assert child.returncode == code
    if not again:
        assert (result["status"], result["exit_code"]) == ("stopped", code)
    else:
        assert result["error"] == "Stopped by a signal."
    newest = await shop.rows("SELECT status FROM techmart_loader.runs ORDER BY started_at DESC")
    assert newest[0]["status"] == "stopped"
    await shop.load(generated)
    await expect_whole(shop)


def stopping(grace: float) -> str:
    return f"Stopping: what was read is committed, for {grace:g} s at most"


def only_users(folder: Path) -> DataSources:
    return DataSources(users=(str(folder / "users.csv"),))
