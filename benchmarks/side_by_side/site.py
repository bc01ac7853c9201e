"""One run's place: a database and a folder of its own, the files, and how clients are started."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.endpoint import Endpoint
from benchmarks.side_by_side.bench import Bench
from benchmarks.side_by_side.model import Case, Measured, WayFailedError
from benchmarks.side_by_side.server import quoted

PEERS = Path(__file__).parent / "peers"
TRANSACTIONS = "transactions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything that a way needs. `rows` may be fewer than the case has, for a slow way."""

    bench: Bench
    database: str
    case: Case
    rows: int
    folder: Path

    def ask(self, *statements: str) -> str:
        """Run statements in the run's database, which is not measured."""
        return self.bench.server.ask(self.database, *statements)

    def count(self, table: str = TRANSACTIONS) -> int:
        """How many rows a table has."""
        name = ".".join(quoted(part) for part in table.split("."))
        return int(self.ask(f"SELECT count(*) FROM {name}"))

    def check(self, table: str = TRANSACTIONS, *, before: int = 0) -> None:
        """Make sure that the rows have arrived.

        Raises:
            WayFailedError: more or fewer are there.
        """
        found = self.count(table) - before
        if found != self.rows:
            raise WayFailedError(f"{found} rows have arrived, not {self.rows}")

    def psql(self, script: str) -> Measured:
        """Measure psql with a script."""
        file = self.folder / "script.sql"
        file.write_text(script, encoding="utf-8")
        server = self.bench.server
        command = server.psql_command(self.database, "-f", str(file))
        return self.measure(command, server.psql_environment)[0]

    def peer(self, script: str) -> tuple[Measured, str]:
        """Measure a script of `peers` in the peers' environment; also what it printed."""
        job = {"raw": str(self._raw()), "rows": self.rows, "folder": str(self.folder)}
        command = [str(self.bench.peers_python), str(PEERS / script), json.dumps(job)]
        return self.measure(command, self.bench.server.library_environment(self.database))

    def loader(
        self,
        *arguments: str,
        dataset: str,
        database: str | None = None,
        endpoint: Endpoint | None = None,
    ) -> Measured:
        """Measure the loader, into this database or another one."""
        return self.bench.loader(
            *arguments,
            database=database or self.database,
            dataset=dataset,
            rows=self.rows,
            folder=self.folder,
            endpoint=endpoint,
        )

    def measure(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> tuple[Measured, str]:
        """Measure any client; also what it printed."""
        return self.bench.measure(command, environment, rows=self.rows, folder=self.folder)

    def _raw(self) -> Path:
        """The raw file, or its first rows where the way gets fewer."""
        if self.rows == self.case.rows:
            return self.case.raw
        part = self.folder / "part.ndjson"
        with self.case.raw.open("rb") as lines, part.open("wb") as out:
            out.writelines(line for _, line in zip(range(self.rows), lines, strict=False))
        return part
