"""Runs of the loader in a process of their own, as a user starts them, and what they took.

Times are seconds, memory is bytes. Processor time of the loader and of its server is told apart, as
is the memory: `VmHWM`, what the kernel says a process has held at most.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from techmart_fast.local import LocalEndpoints, LocalHome, start, stop
from techmart_fast.local.endpoints import LocalPostgres

ROOT = Path(__file__).parents[1]
_REAPED_SECONDS = 0.3
"""After so long a server has taken note of a backend's end, and of what it took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one run took. `result` is what `run --json` printed."""

    seconds: float
    loader_cpu: float
    database_cpu: float
    stand_in_cpu: float
    loader_peak: int
    database_peak: int
    stand_in_peak: int
    result: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """Records read, of all feeds."""
        return sum(int(feed["read"]) for feed in self.result["feeds"].values())

    @property
    def stages(self) -> Mapping[str, float]:
        """Wall time of each stage."""
        return {stage["name"]: stage["wall_seconds"] for stage in self.result["stages"]}

    def told(self) -> dict[str, object]:
        """As a benchmark notes it: rounded, memory in megabytes."""
        return {
            "rows_per_second": round(self.rows / self.seconds),
            "cpu_seconds": {
                "loader": round(self.loader_cpu, 2),
                "database": round(self.database_cpu, 2),
                "stand_in": round(self.stand_in_cpu, 2),
            },
            "peak_megabytes": {
                "loader": self.loader_peak // 10**6,
                "database": self.database_peak // 10**6,
                "stand_in": self.stand_in_peak // 10**6,
            },
            "stages": {name: round(seconds, 2) for name, seconds in self.stages.items()},
        }


@dataclass(frozen=True, slots=True)
class Sources:
    """Files of each feed."""

    users: Sequence[Path] = ()
    products: Sequence[Path] = ()
    transactions: Sequence[Path] = ()

    def words(self) -> list[str]:
        """The words of the command line that name them."""
        by_feed = {
            "--users": self.users,
            "--products": self.products,
            "--transactions": self.transactions,
        }
        return [
            word for flag, paths in by_feed.items() for path in paths for word in (flag, str(path))
        ]


@dataclass(frozen=True, slots=True)
class Home:
    """Embedded parts that run already, in a folder of their own: their start is not measured."""

    path: Path
    parts: LocalEndpoints

    @property
    def server(self) -> LocalPostgres:
        """The embedded PostgreSQL."""
        assert self.parts.postgres is not None
        return self.parts.postgres

    def psql(self, *commands: str) -> str:
        """Run statements in one session of psql; returns what it prints, without headers."""
        server = self.server
        words = [word for command in commands for word in ("-c", command)]
        place = ["-h", str(server.socket_dir), "-p", str(server.port), "-U", server.user]
        done = subprocess.run(
            [
                str(server.bin_dir / "psql"),
                *("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"),
                *place,
                *("-d", server.database),
                *words,
            ],
            env={"PGPASSFILE": str(server.pgpass)},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def database_cpu(self) -> float:
        """Seconds of processor that the server took so far, backends that ended included."""
        time.sleep(_REAPED_SECONDS)
        postmaster = psutil.Process(self.server.pid)
        times = postmaster.cpu_times()
        total = times.user + times.system + times.children_user + times.children_system
        for child in postmaster.children():
            own = child.cpu_times()
            total += own.user + own.system
        return float(total)

    def stand_in_cpu(self) -> float:
        """Seconds of processor that the stand-in took since it was started."""
        if self.parts.standin is None:
            return 0.0
        times = psutil.Process(self.parts.standin.pid).cpu_times()
        return float(times.user + times.system)

    def run(
        self, sources: Sources, *words: str, discard: Mapping[str, str] | None = None
    ) -> Measured:
        """Run the loader on these sources. `discard`: the environment of an endpoint that discards.

        Raises:
            AssertionError: it did not end well.
        """
        command = [sys.executable, "-m", "techmart_fast", "run", "--json", "--quiet"]
        # A dataset belongs to one database.
        dataset = {"BIGQUERY_DATASET_ID": re.sub(r"\W", "_", self.path.name)} if discard else {}
        database, stand_in = self.database_cpu(), self.stand_in_cpu()
        began = time.perf_counter()
        with subprocess.Popen(
            [*command, *sources.words(), *words],
            cwd=ROOT,
            env={**os.environ, **(discard or {}), **dataset, "TECHMART_HOME": str(self.path)},
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            printed = process.stdout.read()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        result = json.loads(printed)
        assert result["error"] is None, result["error"]
        peaks = result["peak_memory_bytes"]
        return Measured(
            seconds=seconds,
            loader_cpu=used.ru_utime + used.ru_stime,
            database_cpu=self.database_cpu() - database,
            stand_in_cpu=self.stand_in_cpu() - stand_in,
            loader_peak=used.ru_maxrss * 1024,
            database_peak=peaks.get("database") or 0,
            stand_in_peak=peaks.get("stand_in") or 0,
            result=result,
        )


@contextmanager
def home_at(path: Path) -> Iterator[Home]:
    """A home whose parts run until the block ends."""
    home = LocalHome(path)
    parts = asyncio.run(start(home))
    try:
        yield Home(path, parts)
    finally:
        asyncio.run(stop(home))


@contextmanager
def discarding() -> Iterator[Mapping[str, str]]:
    """An endpoint that discards, until the block ends: the environment that brings runs to it."""
    command = [sys.executable, "-m", "benchmarks.discarding", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            yield json.loads(server.stdout.readline())
        finally:
            server.terminate()
