"""One stand-in for the session, and datasets in it.

A load with its rollups takes the stand-in a second or two. So tests that only look share a *story*:
what a module publishes once, in one dataset, with a corner of it (users, products, days) for each.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import TypeVar

import pytest

from techmart_fast.local import LocalHome, embedded
from techmart_fast.warehouse import STAND_IN_PROJECT, WarehouseSink, WarehouseTarget
from tests.warehouse.loading import Warehouse

_T = TypeVar("_T")


@pytest.fixture(scope="session")
def standin_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the session's stand-in listens."""
    home = LocalHome(tmp_path_factory.mktemp("warehouse-standin"))
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        use = embedded(home, postgres=False)
        endpoints = runner.run(use.__aenter__())
        try:
            assert endpoints.standin is not None
            yield endpoints.standin.url
        finally:
            runner.run(use.__aexit__(None, None, None))


@pytest.fixture(scope="session")
def new_target(standin_url: str) -> Callable[[], WarehouseTarget]:
    """Names a dataset that nobody else uses; it is not made yet."""
    numbers = count(1)

    def target() -> WarehouseTarget:
        return WarehouseTarget(
            project=STAND_IN_PROJECT,
            dataset=f"shop_{next(numbers)}",
            location="US",
            api_endpoint=standin_url,
            anonymous=True,
            job_timeout_seconds=60,
            request_timeout_seconds=20,
        )

    return target


@pytest.fixture(scope="module")
def told(
    new_target: Callable[[], WarehouseTarget], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Callable[[Warehouse], Awaitable[_T]]], _T]:
    """Runs a story in a dataset of its own and returns what it returns."""

    def run(story: Callable[[Warehouse], Awaitable[_T]]) -> _T:
        async def tell() -> _T:
            target = new_target()
            async with WarehouseSink(target) as sink:
                await sink.ensure()
                return await story(
                    Warehouse(sink, tmp_path_factory.mktemp("spool"), target.dataset)
                )

        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(tell())

    return run
