"""A connection that goes away while a COPY writes to it, in the command's event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

import pytest
import uvloop

from techmart_fast.errors import SinkError
from techmart_fast.local import LocalPostgres
from techmart_fast.postgres.session import Session
from tests.postgres.places import a_session, another_session, until

_MORE_THAN_A_SOCKET_TAKES = [b"\0" * (1 << 20)] * 64


@asynccontextmanager
async def blocked_copy(
    database: LocalPostgres,
) -> AsyncIterator[tuple[Session, "asyncio.Task[None]"]]:
    """A COPY that the server does not read, as its table is locked, so that the client waits."""
    async with (
        another_session(database) as other,
        a_session(database, deadline_seconds=600) as session,
        other.transaction(),
    ):
        await other.execute("LOCK users")
        copying = asyncio.create_task(
            session.copy_in(
                "users", ["user_id"], _MORE_THAN_A_SOCKET_TAKES, schema="public", doing="a test"
            )
        )
        waits = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1"
        await until(other, waits, session.backend_pid)
        yield session, copying


def run_as_the_command_does(work: Coroutine[object, object, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def test_a_connection_that_is_lost_in_a_copy_is_an_error_of_the_sink(
    database: LocalPostgres, sql: Callable[..., str]
) -> None:
    async def lose() -> None:
        async with blocked_copy(database) as (session, copying):
            sql(database, f"SELECT pg_terminate_backend({session.backend_pid})", role="postgres")
            with pytest.raises(SinkError, match="connection to PostgreSQL was lost") as caught:
                await copying
            assert caught.value.transient
            assert session.closed

    run_as_the_command_does(lose())


def test_a_cancelled_copy_whose_connection_is_lost_stays_cancelled(
    database: LocalPostgres,
) -> None:
    async def cancel() -> None:
        async with blocked_copy(database) as (session, copying):
            session.terminate()
            copying.cancel()
            with suppress(asyncio.CancelledError):
                await copying
            assert copying.cancelled()
            assert session.closed

    run_as_the_command_does(cancel())
