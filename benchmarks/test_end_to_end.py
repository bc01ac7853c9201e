"""The main job end to end: sizes, formats, defects, order of ids, targets, and the floors.

Every run is a process of its own, on embedded parts that run already. The floors of the service
levels are held to absolutely.
"""

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import IS_FULL_SIZE, MakeHome, MakeShop, sources
from benchmarks.endpoint import Endpoint
from benchmarks.measure import Home, Measured, Sources
from techmart_fast.api import DataSources
from techmart_fast.dev.spec import FileFormat

_REAL_TIME_SECONDS = 5 * 60
_FLOOR_ROWS_A_MINUTE = 1_000
_FLOOR_BYTES_A_MINUTE = 10_000_000
_MANY = 10
_MOST_COST = 1.15
_MOST_MEMORY = 1.1
_MOST_BYTES = 400_000_000
_LEAST_OF_ARRAYS = 0.85


def _measure(
    benchmark: BenchmarkFixture, home: Home, of: Sources, discard: Endpoint | None = None
) -> Measured:
    measured = benchmark.pedantic(home.run, args=(of,), kwargs={"discard": discard}, rounds=1)
    assert isinstance(measured, Measured)
    benchmark.extra_info.update(measured.told())
    _holds_the_floors(measured, of)
    return measured


def _holds_the_floors(measured: Measured, of: Sources) -> None:
    size = sum(path.stat().st_size for path in (*of.users, *of.products, *of.transactions))
    minutes = measured.seconds / 60
    # Small shops are through before a floor means anything.
    if size > _FLOOR_BYTES_A_MINUTE:
        assert size / minutes >= _FLOOR_BYTES_A_MINUTE
        assert measured.rows / minutes >= _FLOOR_ROWS_A_MINUTE
    if measured.rows <= 1_200_000:
        assert measured.seconds < _REAL_TIME_SECONDS


def test_the_sample(benchmark: BenchmarkFixture, make_home: MakeHome) -> None:
    sample = DataSources.sample()
    files = Sources(
        users=tuple(map(Path, sample.users)),
        products=tuple(map(Path, sample.products)),
        transactions=tuple(map(Path, sample.transactions)),
    )
    measured = _measure(benchmark, make_home(), files)
    assert measured.seconds < _REAL_TIME_SECONDS


@pytest.mark.parametrize("ids", ["ordered", pytest.param("random", marks=pytest.mark.long)])
@pytest.mark.parametrize("defects", ["0", "0.02"])
def test_first_load(
    benchmark: BenchmarkFixture, make_shop: MakeShop, make_home: MakeHome, defects: str, ids: str
) -> None:
    shop = make_shop(defects, random_ids=ids == "random")
    _measure(benchmark, make_home(), sources(shop))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_first_load_of_other_formats(
    benchmark: BenchmarkFixture, make_shop: MakeShop, make_home: MakeHome, kind: str
) -> None:
    _measure(benchmark, make_home(), sources(make_shop(format=FileFormat(kind))))


@pytest.mark.long
def test_rerun_of_known_files(
    benchmark: BenchmarkFixture, make_shop: MakeShop, make_home: MakeHome, discard: Endpoint
) -> None:
    home, of = make_home(), sources(make_shop("0.02"))
    home.run(of, discard=discard)
    again = benchmark.pedantic(home.run, args=(of,), kwargs={"discard": discard}, rounds=1)
    benchmark.extra_info.update(again.told())
    feed = again.result["feeds"]["transactions"]
    assert feed["loaded"] == 0
    assert feed["read"] > 0


@pytest.mark.long
def test_known_rows_in_another_file(
    benchmark: BenchmarkFixture, make_shop: MakeShop, make_home: MakeHome, discard: Endpoint
) -> None:
    """Every record is there already: it is decoded, compared, and changes nothing."""
    home, of = make_home(), sources(make_shop())
    home.run(of, discard=discard)
    (transactions,) = of.transactions
    copied = transactions.with_name("again.ndjson")
    copied.write_bytes(transactions.read_bytes() + b"\n")
    try:
        again = _measure(benchmark, home, Sources(transactions=(copied,)), discard)
    finally:
        copied.unlink()
    assert again.result["feeds"]["transactions"]["loaded"] == 0


@pytest.mark.long
def test_more_rows_into_many(
    benchmark: BenchmarkFixture, make_shop: MakeShop, make_home: MakeHome, discard: Endpoint
) -> None:
    """As many rows with random ids as there are, into five times as many."""
    home = make_home()
    home.run(sources(make_shop(times=5, random_ids=True, seed=11)), discard=discard)
    more = sources(make_shop(random_ids=True, seed=12))
    home.run(Sources(users=more.users, products=more.products), discard=discard)
    _measure(benchmark, home, Sources(transactions=more.transactions), discard)


@pytest.mark.long
def test_json_array_against_ndjson(
    benchmark: BenchmarkFixture, make_shop: MakeShop, make_home: MakeHome, discard: Endpoint
) -> None:
    lines = make_home().run(sources(make_shop()), discard=discard)
    array = _measure(benchmark, make_home(), sources(make_shop(format=FileFormat.JSON)), discard)
    ratio = lines.seconds / array.seconds
    benchmark.extra_info.update(times_as_fast=round(ratio, 2), expected=_LEAST_OF_ARRAYS)
    assert not IS_FULL_SIZE or ratio >= _LEAST_OF_ARRAYS


@pytest.mark.long
def test_ten_times_the_rows(
    benchmark: BenchmarkFixture, make_shop: MakeShop, make_home: MakeHome, discard: Endpoint
) -> None:
    """Cost of a row and memory, with the same users and products."""
    few = make_home().run(sources(make_shop()), discard=discard)
    many = _measure(benchmark, make_home(), sources(make_shop(times=_MANY)), discard)
    cost = many.seconds / many.rows / (few.seconds / few.rows)
    memory = many.loader_peak / few.loader_peak
    benchmark.extra_info.update(cost_of_a_row=round(cost, 3), memory=round(memory, 3))
    if IS_FULL_SIZE:
        assert cost <= _MOST_COST
        assert memory <= _MOST_MEMORY
        assert many.loader_peak <= _MOST_BYTES
