"""One stand-in for the session; every test has a dataset of its own in it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest

from techmart_fast.local import LocalHome, embedded
from techmart_fast.warehouse import STAND_IN_PROJECT, WarehouseSink, WarehouseTarget
from tests.warehouse.loading import Warehouse


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
def dataset_names() -> Iterator[str]:
    return (f"shop_{number}" for number in count(1))


@pytest.fixture
def target(standin_url: str, dataset_names: Iterator[str]) -> WarehouseTarget:
    """A dataset of the test's own; it is not made yet."""
    return WarehouseTarget(
        project=STAND_IN_PROJECT,
        dataset=next(dataset_names),
        location="US",
        api_endpoint=standin_url,
        anonymous=True,
        job_timeout_seconds=60,
        request_timeout_seconds=20,
    )


@pytest.fixture
async def warehouse(target: WarehouseTarget, tmp_path: Path) -> AsyncIterator[Warehouse]:
    """A sink with its tables made, and the steps of a run in short."""
    async with WarehouseSink(target) as sink:
        await sink.ensure()
        yield Warehouse(sink, tmp_path, target.dataset)
