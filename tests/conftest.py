"""Fixtures that all areas share: one server for the session, a new database in a moment."""

import asyncio
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from techmart_fast.local import LocalHome, LocalOptions, LocalPostgres, embedded
from techmart_fast.local.binaries import find_binaries
from techmart_fast.local.cluster import ensure_cluster
from techmart_fast.local.waiting import Deadline

pytest_plugins = ["tests.shops"]

MIB = 1 << 20
WHEEL, OTHER = "wheel", "other"
ANOTHER_SERVER = Path(os.environ.get("TECHMART_TEST_POSTGRES_BIN") or "/usr/lib/postgresql/15/bin")
"""Binaries of a second PostgreSQL version; tests of `every_server` use it when it is there."""

SQL_SECONDS = 60
_WHOLE_RUNS = frozenset({"shop_home", "told", "home"})


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "every_server: run with each PostgreSQL version that this machine has"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first: a worker that begins one last would keep the others waiting.

    Whole runs are what takes long.
    """
    runs: Counter[Path] = Counter()
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        runs[item.path] += not _WHOLE_RUNS.isdisjoint(fixtures)
    items.sort(key=lambda item: -runs[item.path])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    wants_every = metafunc.definition.get_closest_marker("every_server") is not None
    if wants_every and "postgres_server" in metafunc.fixturenames:
        absent = not (ANOTHER_SERVER / "postgres").exists()
        reason = f"no PostgreSQL server in {ANOTHER_SERVER} (set TECHMART_TEST_POSTGRES_BIN)"
        other = pytest.param(OTHER, marks=pytest.mark.skipif(absent, reason=reason))
        metafunc.parametrize("postgres_server", [WHEEL, other], indirect=True)


@pytest.fixture
def techmart_home(tmp_path: Path) -> LocalHome:
    """A home of the test's own; nothing is made yet."""
    return LocalHome(tmp_path / "home")


@pytest.fixture(scope="session")
def postgres_servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], LocalPostgres]]:
    """Starts a version's server when it is first asked for; all of them end with the session."""
    folders = {WHEEL: None, OTHER: ANOTHER_SERVER}
    running: dict[str, LocalPostgres] = {}
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner(loop_factory=asyncio.new_event_loop))
        servers = AsyncExitStack()
        stack.callback(lambda: runner.run(servers.aclose()))

        def server(version: str) -> LocalPostgres:
            if version not in running:
                home = LocalHome(tmp_path_factory.mktemp(f"{version}-server")).create()
                made = ensure_cluster(
                    home.postgres, find_binaries(folders[version]), Deadline(SQL_SECONDS)
                )
                # Nothing here outlives the session: no test waits for the disk.
                (made.data / "postgresql.auto.conf").write_text(
                    "fsync = off\nfull_page_writes = off\n"
                )
                options = LocalOptions(postgres_bin=folders[version], shared_buffers_bytes=64 * MIB)
                use = embedded(home, standin=False, options=options)
                postgres = runner.run(servers.enter_async_context(use)).postgres
                assert postgres is not None
                running[version] = postgres
            return running[version]

        yield server


@pytest.fixture
def postgres_server(
    request: pytest.FixtureRequest, postgres_servers: Callable[[str], LocalPostgres]
) -> LocalPostgres:
    """The session's embedded server; with the marker `every_server`, each version in turn."""
    return postgres_servers(getattr(request, "param", WHEEL))


@pytest.fixture
def new_database(
    postgres_server: LocalPostgres, database_names: Iterator[str]
) -> Iterator[Callable[..., LocalPostgres]]:
    """Makes databases: `new_database()` is empty, `new_database(other)` a copy of another one.

    A copy takes 20 to 60 ms; nobody may be connected to the database that is copied.
    """
    made: list[str] = []

    def make(template: LocalPostgres | None = None) -> LocalPostgres:
        name = next(database_names)
        source = template.database if template else "template0"
        run_sql(
            postgres_server,
            f'CREATE DATABASE "{name}" OWNER {postgres_server.user} TEMPLATE "{source}"',
        )
        made.append(name)
        return replace(postgres_server, database=name)

    yield make
    if made:
        drops = [f'DROP DATABASE "{name}" WITH (FORCE)' for name in made]
        run_sql(postgres_server, *drops)


@pytest.fixture
def fresh_database(new_database: Callable[..., LocalPostgres]) -> LocalPostgres:
    """An empty database of the test's own, owned by the loader's role."""
    return new_database()


@pytest.fixture(scope="session")
def database_names() -> Iterator[str]:
    return (f"test_{number}" for number in count(1))


@pytest.fixture(scope="session")
def sql() -> Callable[..., str]:
    """`sql(server, *statements, role="postgres")` runs statements with psql; returns its output.

    The superuser `postgres` works in the database `postgres`, the role in the server's own.
    """
    return run_sql


def run_sql(server: LocalPostgres, *statements: str, role: str = "postgres") -> str:
    command = [
        *(str(server.bin_dir / "psql"), "-h", str(server.socket_dir), "-p", str(server.port)),
        *("-U", role, "-d", server.database if role != "postgres" else "postgres"),
        *("-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"),
        *(word for statement in statements for word in ("-c", statement)),
    ]
    result = subprocess.run(
        command,
        env={**os.environ, "PGPASSFILE": str(server.pgpass)},
        capture_output=True,
        text=True,
        timeout=SQL_SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()
