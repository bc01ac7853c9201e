"""What all runs share: the servers, the programs, and a stopwatch around a client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.side_by_side import process
from benchmarks.side_by_side.model import Measured
from benchmarks.side_by_side.server import Server, plain_environment, tree_cpu_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the warehouse's leg goes: settings of the loader, and the process that serves it."""

    environment: Mapping[str, str]
    pid: int


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
    checkout: Path
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
            "PYTHONPATH": str(self.checkout),
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
