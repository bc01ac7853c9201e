"""The session's server behind a proxy, and sinks that reach it through that."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from techmart_fast.dev import ShopSpec, generate
from techmart_fast.local import LocalPostgres
from tests.network.own_server import own_server
from tests.network.proxy import Proxy
from tests.postgres.conftest import database, open_sink, other, plain_role, third
from tests.shops import State


@pytest.fixture
def proxy(postgres_server: LocalPostgres) -> Iterator[Proxy]:
    """A proxy before the session's server."""
    socket = postgres_server.socket_dir / f".s.PGSQL.{postgres_server.port}"
    with Proxy(socket) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The feeds of a small shop."""
    folder = tmp_path_factory.mktemp("shop")
    generate(ShopSpec(out=folder, transactions=600, users=40, products=20, days=3, seed=5))
    return folder


@pytest.fixture(scope="session")
def untroubled() -> dict[str, State]:
    """The state of that shop without trouble, once a test has made it."""
    return {}


__all__ = ["database", "open_sink", "other", "own_server", "plain_role", "third"]
