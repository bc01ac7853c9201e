"""A parent can't be deleted between the check of a batch and its COMMIT, nor used after it is."""

import asyncio

import asyncpg
import pytest

from techmart_fast.postgres import Lease, PostgresSink
from techmart_fast.records import Feed, SpooledFile
from tests.postgres.places import Connection
from tests.postgres.records import SpoolRecorder, batch, product, sale, user


async def waits_for_a_lock(other: Connection, query: str) -> None:
    """Return once a statement like `query` waits for a lock."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1"
    )
    async with asyncio.timeout(20):
        while not await other.fetchval(waiting, query):
            await asyncio.sleep(0)


async def test_a_deletion_waits_for_the_batch_and_is_then_refused(
    sink: PostgresSink, lease: Lease, other: Connection, third: Connection
) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1")]))
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def spool(records: object) -> SpooledFile:
        reached.set()
        await go_on.wait()
        return await SpoolRecorder()(records)  # type: ignore[arg-type]

    async with asyncio.TaskGroup() as tasks:
        write = batch(lease, Feed.TRANSACTIONS, [sale("a", at=1)], spool=spool)
        writing = tasks.create_task(sink.write(0, write))
        await reached.wait()
        # Another change of the parent, and a new one, need not wait.
        await other.execute("UPDATE users SET customer_tier = 'vip'")
        deleting = tasks.create_task(refused(third, "DELETE FROM users"))
        await waits_for_a_lock(other, "DELETE FROM users")
        go_on.set()
    assert writing.result().counts.loaded == 1
    assert deleting.result()


async def test_a_parent_that_is_being_deleted_is_missing_once_it_is_gone(
    sink: PostgresSink, lease: Lease, other: Connection, third: Connection
) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1")]))
    async with asyncio.TaskGroup() as tasks:
        async with other.transaction():
            await other.execute("DELETE FROM users")
            writing = tasks.create_task(
                sink.write(0, batch(lease, Feed.TRANSACTIONS, [sale("a", at=1)]))
            )
            await waits_for_a_lock(third, "%FOR KEY SHARE%")
    assert writing.result().counts.held == 1


async def refused(connection: Connection, statement: str) -> bool:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await connection.execute(statement)
    return True
