"""What a batch meets: deadlines, lost connections, other runs, rows that the server refuses."""

import asyncio
from collections.abc import Awaitable

import pytest

from techmart_fast.errors import LeaseHeldError, SinkError
from techmart_fast.postgres import Lease, PostgresSink
from techmart_fast.records import Feed
from tests.postgres.conftest import OpenSink
from tests.postgres.places import Connection, run_start
from tests.postgres.records import WaitingSpool, batch, many_users, user


async def users(other: Connection) -> int:
    count = await other.fetchval("SELECT count(*) FROM users")
    assert isinstance(count, int)
    return count


async def test_a_copy_that_the_server_stopped_reading_meets_its_deadline(
    open_sink: OpenSink, other: Connection
) -> None:
    await other.execute(
        """
        CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;
        CREATE TRIGGER stall BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION stall();
        ALTER TABLE users ENABLE ALWAYS TRIGGER stall;
        """
    )
    async with open_sink(command_timeout_seconds=0.5) as sink:
        lease = await sink.start_run(run_start())
        with pytest.raises(SinkError, match=r"within 0\.5 s \(writing users\)") as caught:
            await sink.write(0, many_users(lease, 50_000))
        assert caught.value.transient
        await end_backends(other, lease)
        await other.execute("DROP TRIGGER stall ON users")
        assert (await sink.write(0, batch(lease, Feed.USERS, [user("a")]))).counts.loaded == 1


async def test_a_lock_that_never_comes_meets_the_deadline(
    open_sink: OpenSink, other: Connection
) -> None:
    async with open_sink(command_timeout_seconds=0.3) as sink:
        lease = await sink.start_run(run_start())
        async with other.transaction():
            await other.execute("LOCK TABLE users")
            with pytest.raises(SinkError, match="did not answer") as caught:
                await sink.write(0, batch(lease, Feed.USERS, [user("a")]))
        assert caught.value.transient


async def test_a_lost_connection_is_told_and_replaced(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    spool = WaitingSpool()
    waiting = batch(lease, Feed.USERS, [user("a")], spool=spool)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(failure(sink.write(0, waiting)))
        await spool.reached.wait()
        await end_backends(other, lease)
        spool.go_on.set()
    error = task.result()
    assert isinstance(error, SinkError)
    assert error.transient
    assert await users(other) == 0
    assert (await sink.write(0, batch(lease, Feed.USERS, [user("a")]))).counts.loaded == 1


async def test_a_replaced_run_cannot_commit(
    sink: PostgresSink, lease: Lease, open_sink: OpenSink, other: Connection
) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("a")]))
    await fall_silent(other)
    async with open_sink() as second:
        await second.start_run(run_start())
        with pytest.raises(LeaseHeldError, match="took the lease over"):
            await sink.write(0, batch(lease, Feed.USERS, [user("b", at=1)]))
        assert await users(other) == 1


async def test_a_paused_run_with_an_open_batch_is_evicted(
    sink: PostgresSink, lease: Lease, open_sink: OpenSink, other: Connection
) -> None:
    spool = WaitingSpool()
    waiting = batch(lease, Feed.USERS, [user("a")], spool=spool)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(failure(sink.write(0, waiting)))
        await spool.reached.wait()
        await fall_silent(other)
        async with open_sink() as second:
            await second.start_run(run_start())
            spool.go_on.set()
            assert isinstance(await task, SinkError)
            with pytest.raises(LeaseHeldError):
                await sink.write(0, waiting)
    assert await users(other) == 0


async def test_a_row_that_a_constraint_refuses_is_named(sink: PostgresSink, lease: Lease) -> None:
    with pytest.raises(SinkError, match="users_country_alpha_2") as caught:
        await sink.write(0, batch(lease, Feed.USERS, [user("a", country="USA")]))
    assert (caught.value.table, caught.value.transient) == ("users", False)
    assert "USA" not in str(caught.value)


async def test_a_value_that_the_server_refuses_is_placed_but_not_quoted(
    sink: PostgresSink, lease: Lease
) -> None:
    with pytest.raises(SinkError, match="users, column email") as caught:
        await sink.write(0, batch(lease, Feed.USERS, [user("a", email="secret\0@example.com")]))
    assert "secret" not in str(caught.value)
    assert (await sink.write(0, batch(lease, Feed.USERS, [user("a")]))).counts.loaded == 1


async def failure(awaitable: Awaitable[object]) -> Exception | None:
    try:
        await awaitable
    except SinkError as error:
        return error
    return None


async def end_backends(other: Connection, lease: Lease) -> None:
    """End the server's side of the run's connections that are in a transaction."""
    await other.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = $1 AND xact_start IS NOT NULL",
        f"techmart_fast {lease.run_id}",
    )


async def fall_silent(other: Connection) -> None:
    """As if the holder, of a short lease, had not stamped its heartbeat for an hour."""
    await other.execute(
        "UPDATE techmart_loader.lease SET lease_seconds = 0.04, "
        "heartbeat_at = heartbeat_at - interval '1 hour'"
    )
