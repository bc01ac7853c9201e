"""A server of a module's own, which its tests may shut down and start again."""

import asyncio
import os
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from techmart_fast.local import LocalHome, LocalOptions, LocalPostgres, start, stop
from techmart_fast.local.guarded import lives
from techmart_fast.settings import BigQuerySettings, PipelineSettings, PostgresSettings, Settings
from tests.conftest import MIB, run_sql
from tests.shops import Shop


class OwnServer:
    """An embedded server that keeps running until it is shut down."""

    def __init__(self, home: LocalHome) -> None:
        self._home = home
        self._numbers = count(1)
        self.postgres: LocalPostgres

    async def start(self) -> None:
        """Start it, or start it again with the data that it has."""
        options = LocalOptions(shared_buffers_bytes=64 * MIB)
        endpoints = await start(self._home, standin=False, options=options)
        assert endpoints.postgres is not None
        self.postgres = endpoints.postgres

    async def shut_down_at_once(self) -> None:
        """As `pg_ctl stop -m immediate`: no checkpoint, and all backends end where they are."""
        os.kill(self.postgres.pid, signal.SIGQUIT)
        async with asyncio.timeout(30):
            while lives(self._home.postgres):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)

    @property
    def socket(self) -> Path:
        """The path of its Unix socket."""
        return self.postgres.socket_dir / f".s.PGSQL.{self.postgres.port}"

    def shop(self, home: Path) -> Shop:
        """An empty shop in a database of this server; `home` has the stand-in."""
        name = f"own_{next(self._numbers)}"
        server = self.postgres
        run_sql(server, f"CREATE DATABASE {name} OWNER {server.user}")
        return Shop(
            settings=Settings(
                pipeline=PipelineSettings(home=home, block_bytes=1 << 16, lease_seconds=1.0),
                postgres=PostgresSettings(
                    host=str(server.socket_dir),
                    port=server.port,
                    db=name,
                    user=server.user,
                    password=server.password,
                ),
                bigquery=BigQuerySettings(dataset_id=f"shop_{name}"),
            )
        )


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnServer]:
    """A server of the module's own."""
    home = LocalHome(tmp_path_factory.mktemp("own") / "home")
    server = OwnServer(home.create())
    asyncio.run(server.start())
    yield server
    asyncio.run(stop(home))
