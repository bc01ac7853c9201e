"""A generated shop of many small blocks, and the state that it ends in when nobody stops it."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from techmart_fast.dev import ShopSpec, generate
from tests.shops import Shop, State

SMALL = 64 * 1024
"""Bytes of a block, and of what waits between two stages: much is left whenever a run stops."""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many-blocks")
    generate(ShopSpec(out=folder, transactions=2500, users=20, products=10, days=2, seed=2))
    return folder


@pytest.fixture(scope="module")
def untouched() -> dict[str, State]:
    """The state of a shop that nobody stopped, once a test has made it."""
    return {}


@pytest.fixture
def expect_whole(
    make_shop: Callable[..., Shop], generated: Path, untouched: dict[str, State]
) -> Callable[[Shop], Awaitable[None]]:
    """Expects of a shop that its state is that of one that nobody stopped."""

    async def expect(shop: Shop) -> None:
        if not untouched:
            quiet = make_shop()
            await quiet.load(generated)
            untouched["state"] = await quiet.state()
        assert await shop.state() == untouched["state"]

    return expect
