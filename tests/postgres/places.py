"""Where a test's database is, connections beside the sink, and starts of runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg

from techmart_fast.local import LocalPostgres
from techmart_fast.postgres import PostgresTarget, RunEnd, RunStart
from techmart_fast.postgres.model import RunStatus
from techmart_fast.postgres.session import Session

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection


def target_of(database: LocalPostgres, **changes: Any) -> PostgresTarget:
    target = PostgresTarget(
        host=str(database.socket_dir),
        port=database.port,
        db=database.database,
        user=database.user,
        password=database.password,
    )
    return replace(target, **changes)


def run_start(**changes: Any) -> RunStart:
    start = RunStart(
        run_id=uuid4(),
        started_at=datetime.now(tz=UTC),
        contract_name="test",
        contract_version="v1",
        loader_version="0",
        lease_seconds=60.0,
    )
    return replace(start, **changes)


def run_end(status: RunStatus = "completed") -> RunEnd:
    """The end of a run that did nothing worth counting."""
    return RunEnd(status=status, feeds={}, seconds=1.0, bytes_read=1, peak_memory_bytes=1)


@asynccontextmanager
async def another_session(database: LocalPostgres) -> AsyncIterator[Connection]:
    """A connection of somebody else, in the loader's role."""
    connection = await asyncpg.connect(
        host=str(database.socket_dir),
        port=database.port,
        database=database.database,
        user=database.user,
        password=database.password.get_secret_value(),
    )
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def a_session(
    database: LocalPostgres, *, deadline_seconds: float = 10.0
) -> AsyncIterator[Session]:
    session = await Session.open(
        target_of(database),
        application_name="test",
        connect_timeout_seconds=10.0,
        deadline_seconds=deadline_seconds,
    )
    try:
        yield session
    finally:
        await session.close()


async def until(connection: Connection, query: str, *arguments: object) -> Any:
    """Ask until the answer is true, and return it; the server's state decides, not the time."""
    async with asyncio.timeout(20):
        while not (answer := await connection.fetchval(query, *arguments)):
            pass
    return answer
