"""The PostgreSQL server of all measurements: databases, statements, and the CPU time it used."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count

import psutil

from benchmarks.side_by_side.model import WayFailedError
from techmart_fast.local import LocalPostgres

_SUPERUSER = "postgres"
_NUMBERS = count(1)
_SETTLE_SECONDS = 2.0
_LOOK_SECONDS = 0.02
_OURS = ("TECHMART_", "POSTGRES_", "BIGQUERY_", "GOOGLE_", "PG")

SHOWN_SETTINGS = (
    *("shared_buffers", "fsync", "synchronous_commit", "full_page_writes", "wal_level"),
    *("wal_compression", "max_wal_size", "checkpoint_timeout", "work_mem", "maintenance_work_mem"),
)


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    r"""A text as an SQL literal, or as a file's name after psql's \copy."""
    return "'" + text.replace("'", "''") + "'"


def plain_environment() -> dict[str, str]:
    """This process's environment, without settings of the loader or of PostgreSQL's clients."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


@dataclass(frozen=True, slots=True)
class Server:
    """A running embedded server."""

    local: LocalPostgres

    def psql_command(self, database: str, *words: str, role: str | None = None) -> list[str]:
        """The words of a psql that stops at the first error."""
        place = ("-h", str(self.local.socket_dir), "-p", str(self.local.port))
        who = ("-U", role or self.local.user, "-d", database)
        quiet = ("-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1")
        return [str(self.local.bin_dir / "psql"), *place, *who, *quiet, *words]

    @property
    def psql_environment(self) -> dict[str, str]:
        """The environment for it: where the passwords are."""
        return plain_environment() | {"PGPASSFILE": str(self.local.pgpass), "TZ": "UTC"}

    def library_environment(self, database: str) -> dict[str, str]:
        """The environment for whatever uses libpq by itself."""
        return plain_environment() | {
            "PGHOST": str(self.local.socket_dir),
            "PGPORT": str(self.local.port),
            "PGUSER": self.local.user,
            "PGPASSWORD": self.local.password.get_secret_value(),
            "PGDATABASE": database,
        }

    def loader_environment(self, database: str) -> Mapping[str, str]:
        """The loader's settings: a server of one's own, which this one is to it."""
        return {
            "POSTGRES_HOST": str(self.local.socket_dir),
            "POSTGRES_PORT": str(self.local.port),
            "POSTGRES_DB": database,
            "POSTGRES_USER": self.local.user,
            "POSTGRES_PASSWORD": self.local.password.get_secret_value(),
        }

    def ask(self, database: str, *statements: str, role: str | None = None) -> str:
        """Run statements, and return what the last of them answers.

        Raises:
            WayFailedError: one of them failed.
        """
        words = [word for statement in statements for word in ("-c", statement)]
        done = subprocess.run(
            self.psql_command(database, *words, role=role),
            env=self.psql_environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise WayFailedError(done.stderr.strip().replace("\n", " | "))
        return done.stdout.strip()

    def make_database(self, name: str, *, template: str = "template0") -> None:
        """Make a database, a copy of another one; what that left to write is written first."""
        made = f"CREATE DATABASE {quoted(name)} OWNER {quoted(self.local.user)}"
        copy = f" TEMPLATE {quoted(template)} STRATEGY FILE_COPY"
        self.ask(_SUPERUSER, "CHECKPOINT", made + copy, "CHECKPOINT", role=_SUPERUSER)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.ask(_SUPERUSER, f"DROP DATABASE {quoted(name)} WITH (FORCE)", role=_SUPERUSER)

    @contextmanager
    def copy_of(self, template: str) -> Iterator[str]:
        """A database for one run; it is gone after."""
        name = f"run_{next(_NUMBERS)}"
        self.make_database(name, template=template)
        try:
            yield name
        finally:
            self.drop_database(name)

    def settings(self) -> Mapping[str, str]:
        """The settings that a load depends on most."""
        return {
            name: self.ask(_SUPERUSER, f"SHOW {name}", role=_SUPERUSER) for name in SHOWN_SETTINGS
        }

    def pids(self) -> frozenset[int]:
        """The server's processes now."""
        children = psutil.Process(self.local.pid).children(recursive=True)
        return frozenset(child.pid for child in children)

    def settle(self, standing: frozenset[int]) -> None:
        """Wait until the processes are those of before: what ended since is counted then.

        Not for long: autovacuum may have begun, and is counted as far as it is.
        """
        deadline = time.monotonic() + _SETTLE_SECONDS
        while self.pids() - standing and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)

    def cpu_seconds(self) -> float:
        """CPU time of the server until now: of its processes, and of those that have ended."""
        return tree_cpu_seconds(self.local.pid)


def tree_cpu_seconds(pid: int) -> float:
    """CPU time of a process, of its children that run, and of those that it has seen end."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return float(total)
