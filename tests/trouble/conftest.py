"""A stand-in of each module's own that can be asked for faults, and a small shop to load."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from techmart_fast.dev import ShopSpec, generate
from techmart_fast.local import LocalHome, LocalOptions, start, stop
from techmart_fast.warehouse import jobs
from tests.shops import State
from tests.trouble.asking import Ask, QuickClock


@pytest.fixture(scope="module")
def shop_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHome]:
    """A home whose stand-in can be asked for faults."""
    home = LocalHome(tmp_path_factory.mktemp("trouble") / "home")
    options = LocalOptions(standin_faults=True)
    asyncio.run(start(home, postgres=False, options=options))
    yield home
    asyncio.run(stop(home))


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


@pytest.fixture
def quick_clock(monkeypatch: pytest.MonkeyPatch) -> QuickClock:
    """The clock of all waits for jobs."""
    clock = QuickClock()
    monkeypatch.setattr("techmart_fast.warehouse.sink.SystemClock", lambda: clock)
    return clock
