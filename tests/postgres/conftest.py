"""A sink on a database with the current schema: made once for a server and role, then copied."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import pytest
from pydantic import SecretStr

from techmart_fast.local import LocalPostgres
from techmart_fast.postgres import Lease, Patience, PostgresSink
from techmart_fast.postgres.session import Session
from tests.postgres.places import (
    Connection,
    a_session,
    another_session,
    run_start,
    target_of,
)

PLAIN_ROLE = "plain_loader"
PLAIN_PASSWORD = SecretStr("plain")

_EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = session_user AND pid <> pg_backend_pid();
DO $$ BEGIN EXECUTE (
    SELECT 'TRUNCATE ' || string_agg(format('%I.%I', schemaname, tablename), ', ')
           || ' RESTART IDENTITY'
    FROM pg_tables
    WHERE schemaname IN ('public', 'techmart_loader')
      AND tablename NOT IN ('schema_migrations', 'lease')
); END $$;
UPDATE techmart_loader.lease
SET epoch = 0, run_id = NULL, acquired_at = NULL, heartbeat_at = NULL;
"""

OpenSink = Callable[..., AbstractAsyncContextManager[PostgresSink]]


@pytest.fixture
def plain_role() -> bool:
    """Whether the test's database belongs to a role that may not skip triggers; override it."""
    return False


@pytest.fixture
def database(
    postgres_server: LocalPostgres, sql: Callable[..., str], plain_role: bool
) -> LocalPostgres:
    """A database with the current schema, and nothing in it.

    One for each server and role, emptied before a test: ten times as quick as a copy for each
    test. A test that changes the schema takes `fresh_database`.
    """
    shared = replace(postgres_server, database="sink")
    if plain_role:
        shared = replace(
            postgres_server, database="plain_sink", user=PLAIN_ROLE, password=PLAIN_PASSWORD
        )
    known = f"SELECT count(*) FROM pg_database WHERE datname = '{shared.database}'"
    if sql(postgres_server, known) == "0":
        if plain_role:
            password = PLAIN_PASSWORD.get_secret_value()
            sql(postgres_server, f"CREATE ROLE {PLAIN_ROLE} LOGIN PASSWORD '{password}'")
        sql(postgres_server, f"CREATE DATABASE {shared.database} OWNER {shared.user}")
        asyncio.run(_migrate(shared))
    else:
        asyncio.run(_empty(shared))
    return shared


async def _migrate(database: LocalPostgres) -> None:
    async with PostgresSink(target_of(database), writers=1) as sink:
        assert await sink.migrate()


async def _empty(database: LocalPostgres) -> None:
    async with another_session(database) as connection:
        await connection.execute(_EMPTY)


@pytest.fixture
def open_sink(database: LocalPostgres) -> OpenSink:
    """`open_sink(**changes_of_the_target)`: another sink on the test's database.

    It tells each failure, unless it is given `retry_seconds`.
    """

    @asynccontextmanager
    async def opened(
        *,
        writers: int = 2,
        command_timeout_seconds: float = 30.0,
        connect_timeout_seconds: float = 10.0,
        retry_seconds: float = 0.0,
        **changes: object,
    ) -> AsyncIterator[PostgresSink]:
        async with PostgresSink(
            target_of(database, **changes),
            writers=writers,
            command_timeout_seconds=command_timeout_seconds,
            connect_timeout_seconds=connect_timeout_seconds,
            patience=Patience(seconds=retry_seconds),
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


@pytest.fixture
async def other(database: LocalPostgres) -> AsyncIterator[Connection]:
    """A connection beside the sink's, in the same role."""
    async with another_session(database) as connection:
        yield connection


@pytest.fixture
async def third(database: LocalPostgres) -> AsyncIterator[Connection]:
    """One more connection beside the sink's."""
    async with another_session(database) as connection:
        yield connection


@pytest.fixture
async def session(database: LocalPostgres) -> AsyncIterator[Session]:
    """A session as the sink opens them."""
    async with a_session(database) as session:
        yield session
