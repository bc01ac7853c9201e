"""A catalogue from an API: how much of the allowed rate is used, and how pages at once compare."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import requests
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import ROWS
from techmart_fast.contract.endpoint import Endpoint, Limits
from techmart_fast.sources.api import Fetched, fetch

_PRODUCTS = min(10_000, max(500, ROWS // 10))
_RATE = 50
_SHARE = 0.9


@contextmanager
def _server(*options: str) -> Iterator[str]:
    """The simulated catalogue in a process of its own, as a service is."""
    command = [sys.executable, "-m", "techmart_fast", "dev", "catalog-server", "--json"]
    command += ["--products", str(_PRODUCTS), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            yield str(json.loads(server.stdout.readline())["url"])
        finally:
            server.terminate()


def _fetch(url: str, folder: Path, *, page_size: int, limits: Limits) -> Fetched:
    endpoint = Endpoint(address=f"{url}/products", page_size=page_size, limits=limits)
    return asyncio.run(fetch(endpoint, folder=folder, required=["product_id", "name", "price"]))


def _ids(fetched: Fetched) -> list[str]:
    assert fetched.path is not None
    return [json.loads(line)["product_id"] for line in fetched.path.read_text().splitlines()]


def test_a_limited_and_failing_service_is_asked_as_fast_as_it_allows(
    benchmark: BenchmarkFixture, tmp_path: Path
) -> None:
    """Pages of ten, 50 requests a second, 5 % failures, 1 % cut: all there, once."""
    limits = Limits(requests_per_second=_RATE, concurrency=8)
    with _server("--rate", str(_RATE), "--fail", "0.05", "--cut", "0.01") as url:
        began = time.perf_counter()
        fetched = benchmark.pedantic(
            _fetch, args=(url, tmp_path), kwargs={"page_size": 10, "limits": limits}, rounds=1
        )
        seconds = time.perf_counter() - began
        counted = requests.get(f"{url}/stats", timeout=10).json()
    ids = _ids(fetched)
    assert len(ids) == len(set(ids)) == _PRODUCTS
    assert counted["most_in_one_second"] <= _RATE
    benchmark.extra_info.update(
        products=_PRODUCTS,
        requests=fetched.requests,
        retries=fetched.retries,
        most_in_one_second=counted["most_in_one_second"],
        share_of_the_rate=round(fetched.requests / seconds / _RATE, 3),
        expected_share=_SHARE,
    )
    if benchmark.stats is not None:
        assert fetched.requests / seconds / _RATE >= _SHARE


def test_pages_at_once_against_one_after_another(
    benchmark: BenchmarkFixture, tmp_path: Path
) -> None:
    """The same pages of a service that takes 20 ms for each: a plain loop beside the loader."""
    limits = Limits(requests_per_second=10_000, concurrency=8)
    with _server("--latency", "20") as url:
        began = time.perf_counter()
        plain = asyncio.run(_plain_loop(url, page_size=100))
        plain_seconds = time.perf_counter() - began
        began = time.perf_counter()
        fetched = benchmark.pedantic(
            _fetch, args=(url, tmp_path), kwargs={"page_size": 100, "limits": limits}, rounds=1
        )
        seconds = time.perf_counter() - began
    assert _ids(fetched) == plain
    benchmark.extra_info.update(
        products=_PRODUCTS,
        plain_loop_seconds=round(plain_seconds, 3),
        times_as_fast=round(plain_seconds / seconds, 2),
    )


async def _plain_loop(url: str, *, page_size: int) -> list[str]:
    """What a script does: ask for a page, parse it, ask for the next."""
    ids: list[str] = []
    async with aiohttp.ClientSession() as session:
        page = 1
        while True:
            query = {"page": page, "per_page": page_size}
            async with session.get(f"{url}/products", params=query) as answer:
                records = (await answer.json())["data"]
            if not records:
                return ids
            ids += [record["product_id"] for record in records]
            page += 1
