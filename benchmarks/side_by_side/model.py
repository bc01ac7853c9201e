"""What is measured and what comes of it: ways, what they are run on, and their figures."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.side_by_side.site import Site


class WayFailedError(Exception):
    """A way did not do what it says; the others go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run. Times in seconds; CPU is user and system time.

    `server_cpu` is PostgreSQL's, all its processes together; `endpoint_cpu` that of the discarding
    endpoint or of the stand-in. `client_bytes` is the largest resident memory of the client.
    """

    rows: int
    wall: float
    client_cpu: float
    server_cpu: float
    endpoint_cpu: float
    client_bytes: int

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.wall

    def told(self) -> dict[str, float]:
        """As a benchmark notes it: rounded, memory in megabytes."""
        return {
            "seconds": round(self.wall, 2),
            "rows_per_second": round(self.rate),
            "client_cpu": round(self.client_cpu, 2),
            "server_cpu": round(self.server_cpu, 2),
            "endpoint_cpu": round(self.endpoint_cpu, 2),
            "client_megabytes": self.client_bytes // 10**6,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to get a file into PostgreSQL.

    Attributes:
        name: what `--ways` calls it.
        title: what the table calls it.
        reads: the file it reads.
        lacks: what it does not do, of what the loader does.
        run: does it in a site of its own, and checks that the rows are there.
        distribution: the package it needs in the peers' environment, if any.
        program: the program it needs on the path, if any.
        most_rows: it gets no more, as it would take too long; its rate is still a rate.
        writes: it has rows in the database at its end; only such ways stand in the picture.
    """

    name: str
    title: str
    reads: str
    lacks: str
    run: Callable[["Site"], Measured]
    distribution: str | None = None
    program: str | None = None
    most_rows: int | None = None
    writes: bool = True

    @property
    def plain_title(self) -> str:
        """The title without Markdown."""
        return re.sub(r"[*`]", "", self.title)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Files to load, and the database that every run gets a copy of.

    `raw` is NDJSON as a shop sends it; `clean` is CSV of the same rows as they stand in the final
    table, every column of it. `users` and `products` are in `template` already. `dataset` is where
    the discarding endpoint expects what is loaded into copies of `template`.
    """

    title: str
    rows: int
    raw: Path
    clean: Path
    users: Path
    products: Path
    template: str
    dataset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All runs of a way in a case: figures, or why there are none."""

    way: Way
    runs: tuple[Measured, ...] = ()
    left_out: str = ""
    errors: tuple[str, ...] = ()
