"""The stages in PostgreSQL, one batch each: COPY alone, new rows, known rows."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pyarrow as pa
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import MakeShop, sources
from benchmarks.measure import Home, Sources, home_at
from benchmarks.side_by_side.server import Server
from benchmarks.test_stages import candidates, first_block, report
from techmart_fast.contract import Contract
from techmart_fast.pipeline.identity import identify
from techmart_fast.pipeline.meter import Meter
from techmart_fast.pipeline.spooling import spooler
from techmart_fast.postgres import BatchOutcome, BatchWrite, Lease, PostgresSink, RunStart
from techmart_fast.postgres.encode import copy_bytes
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.target import PostgresTarget
from techmart_fast.records import REJECTIONS, Block
from techmart_fast.warehouse import LoadTable, SpoolFolder

_ROUNDS = 5
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Stage:
    """A server with users and products, and a block of transactions that it does not have yet."""

    home: Home
    block: Block
    records: pa.RecordBatch
    contract: Contract

    def psql(self, sql: str) -> str:
        """What a statement answers."""
        server = self.home.server
        return Server(server).ask(server.database, sql)

    @property
    def target(self) -> PostgresTarget:
        """The embedded server."""
        server = self.home.server
        return PostgresTarget(
            host=str(server.socket_dir),
            port=server.port,
            db=server.database,
            user=server.user,
            password=server.password,
        )

    def batch(self, lease: Lease, ordinal: int, folder: Path) -> BatchWrite:
        """The block as a batch of the file with this ordinal."""
        block = replace(self.block, source=replace(self.block.source, ordinal=ordinal))
        place = self.records.schema.get_field_index("source_ordinal")
        ordinals = pa.repeat(pa.scalar(ordinal, pa.int64()), self.records.num_rows)
        identity = identify(block, self.contract, lane=0, lanes=1)
        return BatchWrite(
            lease=lease,
            identity=identity,
            candidates=self.records.set_column(place, "source_ordinal", ordinals),
            rejections=pa.RecordBatch.from_pylist([], schema=REJECTIONS),
            read=self.records.num_rows,
            spool=spooler(
                LoadTable.TRANSACTIONS,
                SpoolFolder(folder),
                batch_id=identity.batch_id,
                meter=Meter(),
            ),
        )


@pytest.fixture(scope="module")
def stage(
    make_shop: MakeShop, contract: Contract, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    shop = make_shop()
    of = sources(shop)
    with home_at(tmp_path_factory.mktemp("stages") / "home") as home:
        home.run(Sources(users=of.users, products=of.products))
        yield Stage(home, first_block(shop, contract), candidates(shop, contract), contract)


class Inside:
    """An event loop that a benchmark's rounds run in, with what they use open in it."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()

    def run(self, work: Awaitable[_Result]) -> _Result:
        """The result of some work."""

        async def awaited() -> _Result:
            return await work

        return self._runner.run(awaited())

    def open_sink(self, target: PostgresTarget) -> PostgresSink:
        """A sink with one writer."""
        return self.run(self._stack.enter_async_context(PostgresSink(target, writers=1)))

    def open_session(self, target: PostgresTarget) -> Session:
        """A bare connection."""
        session = self.run(
            Session.open(
                target,
                application_name="benchmark",
                connect_timeout_seconds=10,
                deadline_seconds=60,
            )
        )
        self._stack.push_async_callback(session.close)
        return session

    def close(self) -> None:
        """Close what is open, and the loop."""
        self.run(self._stack.aclose())
        self._runner.close()


@pytest.fixture
def inside() -> Iterator[Inside]:
    opened = Inside()
    yield opened
    opened.close()


def test_copy_into_a_heap(benchmark: BenchmarkFixture, stage: Stage, inside: Inside) -> None:
    records = stage.records
    session = inside.open_session(stage.target)
    made = "CREATE TEMP TABLE heap AS SELECT {} FROM transactions WITH NO DATA"
    extra = set(records.schema.names) - _columns(stage)
    kept = records.select([name for name in records.schema.names if name not in extra])
    columns = ", ".join(f'"{name}"' for name in kept.schema.names)
    inside.run(session.script(made.format(columns), doing="making a heap"))
    data = copy_bytes(kept)

    def copy() -> None:
        inside.run(
            session.copy_in("heap", kept.schema.names, data, schema="pg_temp", doing="copying")
        )

    benchmark.pedantic(copy, rounds=_ROUNDS, warmup_rounds=1)
    report(benchmark, kept.num_rows, sum(map(len, data)))


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_write_a_batch(
    benchmark: BenchmarkFixture, stage: Stage, inside: Inside, tmp_path: Path, known: bool
) -> None:
    """One whole transaction: parents locked, rows judged and written, spooled, accounted for."""
    sink = inside.open_sink(stage.target)
    lease = inside.run(sink.start_run(_run_start(stage.contract)))
    numbers = iter(range(2_000 if known else 1_000, 10**6))

    def again() -> tuple[tuple[BatchWrite], dict[str, object]]:
        if not known:
            stage.psql("TRUNCATE transactions")
        return (stage.batch(lease, next(numbers), tmp_path),), {}

    def write(batch: BatchWrite) -> BatchOutcome:
        return inside.run(sink.write(0, batch))

    if known:
        write(stage.batch(lease, next(numbers), tmp_path))
    outcome = benchmark.pedantic(write, setup=again, rounds=_ROUNDS)
    counts = outcome.counts
    assert (counts.duplicate if known else counts.loaded) == stage.records.num_rows
    report(benchmark, stage.records.num_rows, stage.records.nbytes)


def _columns(stage: Stage) -> set[str]:
    names = stage.psql(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'transactions'"
    )
    return set(names.split())


def _run_start(contract: Contract) -> RunStart:
    return RunStart(
        run_id=uuid4(),
        started_at=datetime.now(UTC),
        contract_name=contract.name,
        contract_version=contract.version,
        loader_version="benchmark",
        lease_seconds=60.0,
    )
