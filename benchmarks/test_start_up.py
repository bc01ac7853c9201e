"""How long the command line takes to begin, and the import beside an empty interpreter."""

import os
import subprocess
import sys
import time

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.endpoint import CHECKOUT

_TURNS = 9
_MOST_OF_HELP, _MOST_OF_IMPORT = 0.3, 0.15


def _seconds(*words: str) -> float:
    """Wall time of an interpreter that runs these words."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], env=environment, stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - began


def test_help(benchmark: BenchmarkFixture) -> None:
    benchmark.pedantic(_seconds, args=("-m", "techmart_fast", "--help"), rounds=_TURNS)
    if benchmark.stats is not None:
        assert benchmark.stats.stats.min < _MOST_OF_HELP


def test_import_over_an_empty_interpreter(benchmark: BenchmarkFixture) -> None:
    empty, imported = [], []

    def in_turn() -> None:
        empty.append(_seconds("-c", "pass"))
        imported.append(_seconds("-c", "import techmart_fast"))

    benchmark.pedantic(in_turn, rounds=_TURNS)
    over = min(imported) - min(empty)
    benchmark.extra_info["seconds_over_an_empty_interpreter"] = round(over, 3)
    if benchmark.stats is not None:
        assert over < _MOST_OF_IMPORT
