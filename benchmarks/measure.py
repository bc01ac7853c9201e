"""Runs of the loader in a process of their own, as a user starts them, and what they took.

Times are seconds, memory is bytes. Processor time of the loader and of its server is told apart, as
is the memory: `VmHWM`, what the kernel says a process has held at most.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.endpoint import CHECKOUT, Endpoint
from benchmarks.side_by_side import process
from benchmarks.side_by_side.server import Server, plain_environment, tree_cpu_seconds
from techmart_fast.errors import ExitCode
from techmart_fast.local import LocalEndpoints, LocalHome, start, stop
from techmart_fast.local.endpoints import LocalPostgres

_LIMIT_SECONDS = 3600.0


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
    def read_bytes(self) -> int:
        """Bytes of all files that were read."""
        return sum(int(one["bytes"]) for one in self.result["stages"] if one["name"] == "read")

    @property
    def stages(self) -> Mapping[str, float]:
        """Wall time of each stage."""
        return {stage["name"]: stage["wall_seconds"] for stage in self.result["stages"]}

    def told(self) -> dict[str, object]:
        """As a benchmark notes it: rounded, memory in megabytes."""
        return {
            "rows_per_second": round(self.rows / self.seconds),
            "megabytes_per_second": round(self.read_bytes / self.seconds / 10**6, 1),
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

    def stand_in_cpu(self) -> float:
        """Seconds of processor that the stand-in took since it was started."""
        return tree_cpu_seconds(self.parts.standin.pid) if self.parts.standin else 0.0

    def run(self, sources: Sources, *words: str, discard: Endpoint | None = None) -> Measured:
        """Run the loader on these sources; `discard` takes the warehouse's part, and forgets it.

        Raises:
            WayFailedError: it did not end well.
        """
        command = [sys.executable, "-m", "techmart_fast", "run", "--json", "--quiet"]
        environment = {**plain_environment(), "TECHMART_HOME": str(self.path)}
        if discard is not None:
            # A dataset belongs to one database.
            dataset = re.sub(r"\W", "_", self.path.name)
            environment |= {**discard.environment, "BIGQUERY_DATASET_ID": dataset}
        server = Server(self.server)
        standing, database, stand_in = server.pids(), server.cpu_seconds(), self.stand_in_cpu()
        taken = process.run(
            [*command, *sources.words(), *words],
            environment={**environment, "PYTHONPATH": str(CHECKOUT)},
            folder=self.path,
            limit_seconds=_LIMIT_SECONDS,
            # Known rows are duplicates, and no good sign to the quality of a day.
            done=(ExitCode.DONE, ExitCode.QUALITY_FAIL),
        )
        server.settle(standing)
        result = json.loads(taken.output)
        peaks = result["peak_memory_bytes"]
        return Measured(
            seconds=taken.wall,
            loader_cpu=taken.cpu,
            database_cpu=server.cpu_seconds() - database,
            stand_in_cpu=self.stand_in_cpu() - stand_in,
            loader_peak=taken.peak_bytes,
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
