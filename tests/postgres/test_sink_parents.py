"""A parent can't be deleted between the check of a batch and its COMMIT, nor used after it is."""

import asyncio

import asyncpg
import pytest

from techmart_fast.postgres import Lease, PostgresSink
from techmart_fast.records import Feed
from tests.postgres.places import Connection, until
from tests.postgres.records import WaitingSpool, batch, product, sale, user

WAITING = (
    "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1"
)


async def test_a_deletion_waits_for_the_batch_and_is_then_refused(
    sink: PostgresSink, lease: Lease, other: Connection, third: Connection
) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1")]))
    spool = WaitingSpool()
    async with asyncio.TaskGroup() as tasks:
        write = batch(lease, Feed.TRANSACTIONS, [sale("a", at=1)], spool=spool)
        writing = tasks.create_task(sink.write(0, write))
        await spool.reached.wait()
        # Another change of the parent, and a new one, need not wait.
        await other.execute("UPDATE users SET customer_tier = 'vip'")
        deleting = tasks.create_task(refused(third, "DELETE FROM users"))
        await until(other, WAITING, "DELETE FROM users")
        spool.go_on.set()
    assert writing.result().counts.loaded == 1
    assert deleting.result()


async def test_a_parent_that_is_being_deleted_is_missing_once_it_is_gone(
    sink: PostgresSink, lease: Lease, other: Connection, third: Connection
) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1")]))
    async with asyncio.TaskGroup() as tasks, other.transaction():
        await other.execute("DELETE FROM users")
        write = batch(lease, Feed.TRANSACTIONS, [sale("a", at=1)])
        writing = tasks.create_task(sink.write(0, write))
        await until(third, WAITING, "%FOR KEY SHARE%")
    assert writing.result().counts.held == 1


async def refused(connection: Connection, statement: str) -> bool:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await connection.execute(statement)
    return True
