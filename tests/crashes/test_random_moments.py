"""Runs killed from outside at random moments, one after the other: the last one sets all right."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from techmart_fast.pipeline.reconciled import Standing
from techmart_fast.settings import BigQuerySettings, PipelineSettings, PostgresSettings, Settings
from tests.crashes.conftest import FINE, Known, Target, without_interruption
from tests.crashes.feeds import Feeds
from tests.crashes.judge import must_be_as
from tests.crashes.victims import PROJECT, SECONDS
from tests.odd_shop import compared
from tests.shops import Shop

Make = Callable[..., Target]

KILLS = int(os.environ.get("TECHMART_TEST_KILLS", "200"))
"""Of the long form."""

MOST_IN_A_ROW = 6


@dataclass(slots=True)
class Chain:
    """Kills one run after the other in a shop. Printed, it says how to do it again."""

    seed: int
    kind: str
    fractions: list[float] = field(default_factory=list)
    kills: int = 0

    def go(self, target: Target, seconds: float, *, most: int) -> None:
        """At most `most` runs, each killed after a random share of what a whole one takes.

        It ends early with a run that is done before its time has come.
        """
        dice = random.Random(self.seed)
        for _ in range(most):
            self.fractions.append(dice.random())
            delay = self.fractions[-1] * seconds

            def kill(delay: float = delay) -> None:
                time.sleep(delay)
                target.victims.send(signal.SIGKILL)

            ended = target.victims.run(target.order, meanwhile=kill)
            if not ended.killed:
                assert ended.error is None, ended.error
                return
            self.kills += 1


async def killed_in_chains(
    kills: int, *, seed: int, kinds: tuple[str, ...], target: Make, uninterrupted: Known
) -> None:
    done = number = 0
    while done < kills:
        chain = Chain(seed=seed + number, kind=kinds[number % len(kinds)])
        expected = await without_interruption(chain.kind, target, uninterrupted)
        shop = target(chain.kind)
        chain.go(shop, uninterrupted[chain.kind][0].seconds, most=min(MOST_IN_A_ROW, kills - done))
        shop.finish()
        await must_be_as(shop.shop, expected, after=chain)
        print(chain)
        done += chain.kills
        number += 1


async def test_killed_at_a_few_random_moments(target: Make, uninterrupted: Known) -> None:
    await killed_in_chains(3, seed=1, kinds=("empty",), target=target, uninterrupted=uninterrupted)


@pytest.mark.torture
async def test_killed_at_many_random_moments(target: Make, uninterrupted: Known) -> None:
    await killed_in_chains(
        KILLS, seed=1000, kinds=("empty", "live"), target=target, uninterrupted=uninterrupted
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
