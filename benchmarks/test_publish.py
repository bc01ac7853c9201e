"""The warehouse's leg, step by step: packing a load job, the job, its MERGE, and all with rollups.

The load job goes to the endpoint that discards: what it takes is the loader's part. The MERGE and
the rollups are the stand-in's.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import ROWS, MakeShop
from benchmarks.endpoint import Endpoint
from benchmarks.facts import Facts, merged, warehouse
from benchmarks.test_stages import candidates, report
from techmart_fast.contract import Contract, default_contract
from techmart_fast.local import LocalHome
from techmart_fast.warehouse import (
    LoadedPart,
    LoadGroup,
    LoadPart,
    LoadTable,
    SpoolFolder,
    WarehouseSink,
    WarehouseTarget,
    write_spool,
)
from techmart_fast.warehouse.packing import packed, scratch_file

_MEMBERS = 16
_ROUNDS = 5


@contextmanager
def _opened(
    context: AbstractAsyncContextManager[WarehouseSink],
) -> Iterator[tuple[Callable[..., Any], WarehouseSink]]:
    """A sink, and what runs a coroutine of it to its end: benchmarks call plain functions."""
    with asyncio.Runner() as runner:
        sink = runner.run(context.__aenter__())
        try:
            yield runner.run, sink
        finally:
            runner.run(context.__aexit__(None, None, None))


@pytest.fixture
def part(make_shop: MakeShop, contract: Contract, tmp_path: Path) -> LoadPart:
    """Sixteen files as the spool has them, one for each share of a block, for one load job."""
    records = candidates(make_shop("0"), contract)
    records = records.slice(0, records.num_rows // 2)
    members = [
        write_spool(
            records,
            table=LoadTable.TRANSACTIONS,
            folder=SpoolFolder(tmp_path),
            name=f"spool-{number}",
            batch_id=UUID(int=number),
        )
        for number in range(_MEMBERS)
    ]
    return LoadPart(group_id="g0", table=LoadTable.TRANSACTIONS, part=1, members=tuple(members))


def test_pack_a_load_job(benchmark: BenchmarkFixture, part: LoadPart) -> None:
    def pack() -> int:
        with scratch_file(part) as file:
            return packed(part, file)

    benchmark(pack)
    report(benchmark, part.rows)


def test_load_job(benchmark: BenchmarkFixture, part: LoadPart, discard: Endpoint) -> None:
    settings, numbers = discard.environment, count(1)
    target = WarehouseTarget(
        project=settings["BIGQUERY_PROJECT_ID"],
        dataset="benchmark",
        location="US",
        api_endpoint=settings["BIGQUERY_API_ENDPOINT"],
        credentials_file=Path(settings["GOOGLE_APPLICATION_CREDENTIALS"]),
    )
    with _opened(WarehouseSink(target)) as (run, sink):

        def load() -> int:
            # An id is used once.
            loaded: LoadedPart = run(sink.load(replace(part, group_id=f"g{next(numbers)}")))
            return loaded.rows

        run(sink.ensure())
        rows = benchmark.pedantic(load, rounds=_ROUNDS, warmup_rounds=1)
    assert rows == part.rows
    report(benchmark, part.rows)


@pytest.fixture
def groups(tmp_path: Path) -> list[LoadGroup]:
    """A shop's rows as the groups of a first load."""
    folder = tmp_path / "facts"
    folder.mkdir()
    return Facts(ROWS, folder).groups()


@pytest.mark.long
@pytest.mark.parametrize("known", [False, True], ids=["new rows", "known rows"])
def test_merge(
    benchmark: BenchmarkFixture, groups: list[LoadGroup], tmp_path: Path, known: bool
) -> None:
    """Of transactions, into an empty table or into one that has them all."""
    facts = groups[-1]
    again = LoadGroup(parts=tuple(replace(one, group_id="again") for one in facts.parts))
    with _opened(warehouse(LocalHome(tmp_path / "home"))) as (run, sink):
        if known:
            run(merged(sink, [facts]))
        chosen = again if known else facts
        for one in chosen.parts:
            run(sink.load(one))
        benchmark.pedantic(lambda: run(sink.merge(chosen)), rounds=1)
    report(benchmark, facts.rows)


@pytest.mark.long
def test_publish(benchmark: BenchmarkFixture, groups: list[LoadGroup], tmp_path: Path) -> None:
    """All of a first load's leg: load jobs, MERGE of each table, every rollup."""
    with _opened(warehouse(LocalHome(tmp_path / "home"))) as (run, sink):

        async def publish() -> None:
            await merged(sink, groups)
            await sink.refresh(groups, default_contract().analytics)

        benchmark.pedantic(lambda: run(publish()), rounds=1)
    report(benchmark, sum(group.rows for group in groups))
