"""Runs killed from outside at random moments, one after the other: the last one sets all right."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from techmart_fast.api import DataSources
from techmart_fast.pipeline.reconciled import Standing
from techmart_fast.settings import BigQuerySettings, PipelineSettings, PostgresSettings, Settings
from tests.crashes.conftest import FINE, Known, Target, without_interruption
from tests.crashes.feeds import Feeds
from tests.crashes.judge import must_be_as
from tests.crashes.victim import Order
from tests.crashes.victims import PROJECT, SECONDS, Victims
from tests.odd_shop import compared
from tests.shops import Shop

Make = Callable[..., Target]

KILLS = int(os.environ.get("TECHMART_TEST_KILLS", "200"))
"""Of the long form."""

MOST_IN_A_ROW = 8


@dataclass(slots=True)
class Chain:
    """Kills one run after the other in a shop. Printed, it says how to do it again.

    Two deliveries, as a live target takes the second one. Each is loaded by runs that are killed
    after a random share of what a whole run takes, until one is done before its time has come.
    """

    seed: int
    seconds: float
    fractions: list[float] = field(default_factory=list)
    kills: int = 0

    def go(self, target: Target, deliveries: Sequence[DataSources], *, most: int) -> None:
        dice = random.Random(self.seed)
        for delivery in deliveries:
            order = replace(target.order, sources=delivery)
            for _ in range(most):
                if self._is_done(target.victims, order, dice.random()):
                    break
            target.with_order(sources=delivery).finish()

    def _is_done(self, victims: Victims, order: Order, fraction: float) -> bool:
        self.fractions.append(round(fraction, 4))

        def kill() -> None:
            time.sleep(fraction * self.seconds)
            victims.send(signal.SIGKILL)

        ended = victims.run(order, meanwhile=kill)
        assert ended.killed or ended.error is None, (ended, self)
        self.kills += ended.killed
        return not ended.killed


async def killed_in_chains(
    kills: int, *, seed: int, target: Make, feeds: Feeds, uninterrupted: Known, most: int
) -> None:
    expected = await without_interruption("live", target, uninterrupted)
    done = 0
    while done < kills:
        seed += 1
        shop = target("empty")
        chain = Chain(seed, uninterrupted["live"][0].seconds)
        chain.go(shop, (feeds.earlier, feeds.later), most=most)
        await must_be_as(shop.shop, expected, after=chain)
        done += chain.kills
        print(f"{done} kills: {chain}")


async def test_killed_at_a_few_random_moments(
    target: Make, feeds: Feeds, uninterrupted: Known
) -> None:
    await killed_in_chains(
        1, seed=0, target=target, feeds=feeds, uninterrupted=uninterrupted, most=2
    )


@pytest.mark.torture
async def test_killed_at_many_random_moments(
    target: Make, feeds: Feeds, uninterrupted: Known
) -> None:
    await killed_in_chains(
        KILLS,
        seed=1000,
        target=target,
        feeds=feeds,
        uninterrupted=uninterrupted,
        most=MOST_IN_A_ROW,
    )


@pytest.mark.torture
async def test_killed_commands_with_embedded_parts_of_their_own(
    feeds: Feeds, tmp_path: Path
) -> None:
    contract = tmp_path / "contract.toml"
    contract.write_text('[products]\ncatalogue = "complete"\n')
    homes = {name: tmp_path / name for name in ("killed", "quiet")}

    def command(home: Path) -> "subprocess.Popen[bytes]":
        sources = [
            word
            for feed, paths in feeds.later.by_feed().items()
            for word in (f"--{feed.value}", *paths)
        ]
        return subprocess.Popen(
            [sys.executable, "-m", "techmart_fast", "run", "--contract", str(contract), *sources],
            cwd=PROJECT,
            env={**os.environ, "TECHMART_HOME": str(home)},
            stdout=subprocess.DEVNULL,
        )

    began = time.monotonic()
    assert command(homes["quiet"]).wait(SECONDS) in FINE
    seconds = time.monotonic() - began
    dice = random.Random(7)
    fractions = [dice.random() for _ in range(8)]
    for fraction in fractions:
        victim = command(homes["killed"])
        await asyncio.sleep(fraction * seconds)
        victim.kill()
        victim.wait(SECONDS)
    assert command(homes["killed"]).wait(SECONDS) in FINE
    shops = {
        name: Shop(
            settings=Settings(
                pipeline=PipelineSettings(home=home),
                postgres=PostgresSettings(),
                bigquery=BigQuerySettings(),
            )
        )
        for name, home in homes.items()
    }
    for shop in shops.values():
        assert (await compared(shop)).standing is Standing.EQUAL, fractions
    assert await shops["killed"].reports() == await shops["quiet"].reports(), fractions
