"""The main job end to end on embedded parts: first load, rerun, reports, and the floors."""

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from techmart_fast.api import DataSources, run
from techmart_fast.local import LocalHome, start, stop
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.records import Feed
from techmart_fast.results import RunResult
from techmart_fast.settings import PipelineSettings, Settings
from techmart_fast.warehouse import ReportKind

_REAL_TIME_SECONDS = 5 * 60
_REPORT_SECONDS = 10
_CONCURRENT_QUERIES = 50
_FLOOR_ROWS_A_MINUTE = 1_000
_FLOOR_BYTES_A_MINUTE = 10_000_000

Shop = Callable[[str], Path]


def _sources(folder: Path) -> DataSources:
    return DataSources(
        users=(str(folder / "users.csv"),),
        products=(str(folder / "products.json"),),
        transactions=(str(folder / "transactions.ndjson"),),
    )


@pytest.fixture
def new_home(tmp_path: Path) -> Iterator[Callable[[], Settings]]:
    """Homes whose parts run already: their start is not what is measured."""
    homes: list[LocalHome] = []

    def make() -> Settings:
        home = LocalHome(tmp_path / f"home{len(homes)}")
        asyncio.run(start(home))
        homes.append(home)
        return Settings(pipeline=PipelineSettings(home=home.path))

    yield make
    for home in homes:
        asyncio.run(stop(home))


def _load(settings: Settings, folder: Path) -> RunResult:
    result = asyncio.run(run(_sources(folder), settings=settings))
    assert result.error is None
    return result


def _note(benchmark: BenchmarkFixture, result: RunResult, folder: Path) -> None:
    if benchmark.disabled:
        return
    rate = result.rows_read / benchmark.stats.stats.median
    size = sum(path.stat().st_size for path in folder.iterdir())
    benchmark.extra_info["rows_per_second"] = round(rate)
    benchmark.extra_info["stages"] = {
        stage.name: round(stage.wall_seconds, 2) for stage in result.stages
    }
    benchmark.extra_info["peak_memory_megabytes"] = {
        "loader": result.memory.loader // 10**6,
        "database": (result.memory.database or 0) // 10**6,
        "stand_in": (result.memory.stand_in or 0) // 10**6,
    }
    assert rate * 60 >= _FLOOR_ROWS_A_MINUTE
    assert size / benchmark.stats.stats.median * 60 >= _FLOOR_BYTES_A_MINUTE
    assert benchmark.stats.stats.median < _REAL_TIME_SECONDS


@pytest.mark.parametrize("defects", ["0", "0.02"])
def test_first_load(
    benchmark: BenchmarkFixture, make_shop: Shop, new_home: Callable[[], Settings], defects: str
) -> None:
    folder = make_shop(defects)
    result = benchmark.pedantic(
        _load, setup=lambda: ((new_home(), folder), {}), rounds=1, iterations=1
    )
    assert result.feeds[Feed.TRANSACTIONS].loaded > 0
    _note(benchmark, result, folder)


def test_rerun_of_known_files(
    benchmark: BenchmarkFixture, make_shop: Shop, new_home: Callable[[], Settings]
) -> None:
    folder, settings = make_shop("0.02"), new_home()
    _load(settings, folder)
    result = benchmark.pedantic(_load, args=(settings, folder), rounds=2, iterations=1)
    assert result.nothing_new
    _note(benchmark, result, folder)


def test_first_load_beside_psql_copy_of_clean_csv(
    benchmark: BenchmarkFixture,
    make_shop: Shop,
    new_home: Callable[[], Settings],
    tmp_path: Path,
) -> None:
    r"""The other way: `psql \copy` of rows that are clean already, into the same tables."""
    folder, settings = make_shop("0.02"), new_home()
    result = benchmark.pedantic(_load, args=(settings, folder), rounds=1, iterations=1)
    if benchmark.disabled:
        return
    server = asyncio.run(start(LocalHome(settings.home))).postgres
    assert server is not None

    def psql(*commands: str) -> None:
        words = [word for command in commands for word in ("-c", command)]
        place = ["-h", str(server.socket_dir), "-p", str(server.port), "-U", server.user]
        subprocess.run(
            [str(server.bin_dir / "psql"), *place, "-d", server.database, "-q", *words],
            env={"PGPASSFILE": str(server.pgpass)},
            check=True,
        )

    clean = tmp_path / "clean.csv"
    psql(f"\\copy transactions to '{clean}' csv")
    psql("TRUNCATE transactions", "ALTER TABLE transactions DISABLE TRIGGER USER")
    began = time.perf_counter()
    psql(f"\\copy transactions from '{clean}' csv")
    seconds = time.perf_counter() - began
    postgres = next(stage for stage in result.stages if stage.name == "postgres")
    benchmark.extra_info["psql_copy_seconds"] = round(seconds, 2)
    benchmark.extra_info["ratio_all"] = round(seconds / benchmark.stats.stats.median, 2)
    benchmark.extra_info["ratio_postgres_stage"] = round(seconds / postgres.wall_seconds, 2)


def test_standard_reports_and_many_at_once(
    benchmark: BenchmarkFixture, make_shop: Shop, new_home: Callable[[], Settings]
) -> None:
    folder, settings = make_shop("0.02"), new_home()
    _load(settings, folder)

    async def ask(times: int) -> list[float]:
        async with open_sinks(settings, postgres=False) as sinks:

            async def one(kind: ReportKind) -> float:
                began = time.perf_counter()
                rows = await sinks.warehouse.report(kind, limit=100)
                assert rows.num_rows > 0
                return time.perf_counter() - began

            kinds = list(ReportKind) * (times // len(ReportKind) + 1)
            return list(await asyncio.gather(*(one(kind) for kind in kinds[:times])))

    single = benchmark.pedantic(lambda: asyncio.run(ask(len(ReportKind))), rounds=2, iterations=1)
    assert max(single) < _REPORT_SECONDS
    many = sorted(asyncio.run(ask(_CONCURRENT_QUERIES)))
    benchmark.extra_info["p95_seconds_of_50"] = round(many[int(len(many) * 0.95)], 2)
    assert many[-1] < _REPORT_SECONDS * 6
