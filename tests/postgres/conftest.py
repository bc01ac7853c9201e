"""A sink on a database with the current schema: made once for a server, then copied."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from techmart_fast.local import LocalPostgres
from techmart_fast.postgres import Lease, PostgresSink, PostgresTarget, RunStart

MIGRATED = "sink_template"

OpenSink = Callable[..., AbstractAsyncContextManager[PostgresSink]]


def target_of(database: LocalPostgres, **changes: object) -> PostgresTarget:
    target = PostgresTarget(
        host=str(database.socket_dir),
        port=database.port,
        db=database.database,
        user=database.user,
        password=database.password,
    )
    return replace(target, **changes)


def run_start(**changes: object) -> RunStart:
    start = RunStart(
        run_id=uuid4(),
        started_at=datetime.now(tz=UTC),
        contract_name="test",
        contract_version="v1",
        loader_version="0",
        lease_seconds=60.0,
    )
    return replace(start, **changes)


@pytest.fixture
def database(
    postgres_server: LocalPostgres,
    new_database: Callable[..., LocalPostgres],
    sql: Callable[..., str],
) -> LocalPostgres:
    """A database with the current schema, and nothing in it."""
    known = f"SELECT count(*) FROM pg_database WHERE datname = '{MIGRATED}'"
    template = replace(postgres_server, database=MIGRATED)
    if sql(postgres_server, known) == "0":
        sql(postgres_server, f"CREATE DATABASE {MIGRATED} OWNER {postgres_server.user}")
        asyncio.run(_migrate(target_of(template)))
    return new_database(template)


async def _migrate(target: PostgresTarget) -> None:
    async with PostgresSink(target, writers=1) as sink:
        assert await sink.migrate()


@pytest.fixture
def open_sink(database: LocalPostgres) -> OpenSink:
    """`open_sink(**changes_of_the_target)`: another sink on the test's database."""

    @asynccontextmanager
    async def opened(
        *, writers: int = 2, command_timeout_seconds: float = 30.0, **changes: object
    ) -> AsyncIterator[PostgresSink]:
        async with PostgresSink(
            target_of(database, **changes),
            writers=writers,
            command_timeout_seconds=command_timeout_seconds,
        ) as sink:
            yield sink

    return opened


@pytest.fixture
async def sink(open_sink: OpenSink) -> AsyncIterator[PostgresSink]:
    async with open_sink() as sink:
        yield sink


@pytest.fixture
async def lease(sink: PostgresSink) -> Lease:
    return await sink.start_run(run_start())
