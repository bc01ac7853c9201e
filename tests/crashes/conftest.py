"""Fixtures of the crash tests: shops with small blocks, victims, and what is uninterrupted."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from techmart_fast.errors import ExitCode
from techmart_fast.settings import Settings
from tests.crashes.feeds import BLOCK_BYTES, Feeds, write_feeds
from tests.crashes.judge import everything
from tests.crashes.victim import Order
from tests.crashes.victims import SECONDS, Ended, Victims
from tests.shops import Shop, State

FINE = {ExitCode.DONE, ExitCode.QUALITY_FAIL}
"""Much of what the feeds bring is bad on purpose."""


@dataclass(frozen=True, slots=True)
class Target:
    """A shop that runs are killed in, and the order of a run that is not."""

    shop: Shop
    order: Order
    victims: Victims

    def with_order(self, **changes: object) -> "Target":
        """The same, with another order."""
        return replace(self, order=replace(self.order, **changes))  # type: ignore[arg-type]

    def kill(self, step: str, *, call: int = 1) -> Ended:
        """A run that dies at a step, if it comes there."""
        return self.victims.run(replace(self.order, step=step, call=call))

    def when_silent(self, order: Order) -> Ended:
        """A run by this order, as soon as the run that holds the lease is silent."""
        deadline = time.monotonic() + SECONDS
        while (ended := self.victims.run(order)).exit_code == ExitCode.LEASE_HELD:
            assert time.monotonic() < deadline
        assert ended.error is None, ended.error
        return ended

    def finish(self) -> Ended:
        """A run that nobody interrupts."""
        ended = self.victims.run(self.order)
        assert ended.error is None, ended.error
        assert ended.exit_code in FINE
        return ended


@pytest.fixture(scope="session")
def victims() -> Iterator[Victims]:
    with_all_imported = Victims()
    yield with_all_imported
    with_all_imported.close()


@pytest.fixture(scope="session")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> Feeds:
    return write_feeds(tmp_path_factory.mktemp("feeds"))


@pytest.fixture
def small_shop(make_shop: Callable[..., Shop]) -> Callable[..., Shop]:
    """Makes empty shops whose feeds are cut into several blocks, lanes and load jobs."""

    def make(**pipeline: object) -> Shop:
        made = make_shop(**pipeline).settings
        return Shop(
            settings=Settings(
                pipeline=made.pipeline.model_copy(update={"block_bytes": BLOCK_BYTES}),
                postgres=made.postgres.model_copy(update={"writers": 2}),
                bigquery=made.bigquery.model_copy(update={"load_job_bytes": 30_000}),
            )
        )

    return make


@pytest.fixture
def target(
    small_shop: Callable[..., Shop], feeds: Feeds, victims: Victims
) -> Callable[[str], Target]:
    """Makes targets: `empty`, or `live` with an earlier delivery in it."""

    def make(kind: str, **pipeline: object) -> Target:
        shop = small_shop(**pipeline)
        order = Order(settings=shop.settings, sources=feeds.later, contract=feeds.contract)
        if kind == "live":
            Target(shop, replace(order, sources=feeds.earlier), victims).finish()
        return Target(shop, order, victims)

    return make


Known = dict[str, tuple[Ended, State]]
"""By kind of target: how a run ended that was not interrupted, and what it made."""


@pytest.fixture(scope="session")
def uninterrupted() -> Known:
    return {}


async def without_interruption(
    kind: str, target: Callable[[str], Target], uninterrupted: Known
) -> State:
    """What a run makes that nobody interrupts; found out once a session."""
    if kind not in uninterrupted:
        quiet = target(kind)
        ended = quiet.finish()
        uninterrupted[kind] = (ended, await everything(quiet.shop))
    return uninterrupted[kind][1]
