"""What all runs share: the servers, the programs, and a stopwatch around a client."""

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.endpoint import CHECKOUT, Endpoint, discarding
from benchmarks.side_by_side import process
from benchmarks.side_by_side.model import Measured, WayFailedError
from benchmarks.side_by_side.server import Server, plain_environment, tree_cpu_seconds
from techmart_fast.local import LocalHome, start, stop

_LIMIT_SECONDS = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The parts that run, and the folder that everything is in.

    `home` is the loader's; `python` and `peers_python` are two environments. `discarding` takes
    what is uploaded and throws it away; `stand_in` is there where a way needs it.
    """

    server: Server
    folder: Path
    home: Path
    python: Path
    peers_python: Path
    limit_seconds: float
    discarding: Endpoint
    stand_in: Endpoint | None

    def loader(
        self,
        *arguments: str,
        database: str,
        dataset: str,
        rows: int,
        folder: Path,
        endpoint: Endpoint | None = None,
    ) -> Measured:
        """Measure `techmart_fast run`; its warehouse is the endpoint that discards, or another."""
        used = endpoint or self.discarding
        environment = {
            **plain_environment(),
            **self.server.loader_environment(database),
            **used.environment,
            "PYTHONPATH": str(CHECKOUT),
            "TECHMART_HOME": str(self.home),
            "BIGQUERY_DATASET_ID": dataset,
        }
        command = [str(self.python), "-m", "techmart_fast", "run", "--json", "--quiet", *arguments]
        measured, _ = self.measure(command, environment, rows=rows, folder=folder, endpoint=used)
        return measured

    def measure(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        rows: int,
        folder: Path,
        endpoint: Endpoint | None = None,
    ) -> tuple[Measured, str]:
        """Run a client from its start to its end; also returns what it printed.

        Raises:
            WayFailedError: it failed, or took too long.
        """
        standing, server = self.server.pids(), self.server.cpu_seconds()
        other = tree_cpu_seconds(endpoint.pid) if endpoint else 0.0
        taken = process.run(
            command, environment=environment, folder=folder, limit_seconds=self.limit_seconds
        )
        # What a backend used is told to the server when it has ended, a moment after its client.
        self.server.settle(standing)
        measured = Measured(
            rows=rows,
            wall=taken.wall,
            client_cpu=taken.cpu,
            server_cpu=self.server.cpu_seconds() - server,
            endpoint_cpu=tree_cpu_seconds(endpoint.pid) - other if endpoint else 0.0,
            client_bytes=taken.peak_bytes,
        )
        return measured, taken.output


@contextmanager
def open_bench(
    folder: Path,
    *,
    peers_python: Path,
    stand_in: bool = False,
    limit_seconds: float = _LIMIT_SECONDS,
) -> Iterator[Bench]:
    """The servers, running in `folder` until the block ends.

    Raises:
        TechmartError, WayFailedError: one of them does not start.
    """
    home = LocalHome(folder / "home")
    with ExitStack() as stack:
        stack.callback(lambda: asyncio.run(stop(home)))
        parts = asyncio.run(start(home, standin=stand_in))
        if parts.postgres is None:
            raise WayFailedError("the embedded PostgreSQL did not start")
        yield Bench(
            server=Server(parts.postgres),
            folder=folder,
            home=home.path,
            python=Path(sys.executable),
            peers_python=peers_python,
            limit_seconds=limit_seconds,
            discarding=stack.enter_context(discarding()),
            stand_in=Endpoint(environment={}, pid=parts.standin.pid) if parts.standin else None,
        )
