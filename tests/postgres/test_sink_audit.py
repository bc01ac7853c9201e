"""The audit log: updates and deletes row by row, inserts by batch, on every way in."""

from collections.abc import Callable

import asyncpg
import orjson
import pytest

from techmart_fast.local import LocalPostgres
from techmart_fast.postgres import Lease, PostgresSink
from techmart_fast.records import Feed
from tests.postgres.places import Connection
from tests.postgres.records import batch, product, sale, user


@pytest.fixture(params=[False, True], ids=["set-based", "triggers"])
def plain_role(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def log(other: Connection) -> list[tuple[object, ...]]:
    rows = await other.fetch(
        "SELECT table_name, operation, record_key, row_count, batch_no IS NOT NULL"
        " FROM audit_logs ORDER BY audit_id"
    )
    return [tuple(row) for row in rows]


async def test_inserts_are_logged_by_batch_and_table(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1"), product("p2", at=1)]))
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    twice = [sale("a", 1, at=1), sale("a", 2, at=2), sale("b", at=3)]
    await sink.write(0, batch(lease, Feed.TRANSACTIONS, twice))
    await sink.write(0, batch(lease, Feed.TRANSACTIONS, [sale("b", at=4)]))
    assert await log(other) == [
        ("categories", "INSERT", None, 1, True),
        ("suppliers", "INSERT", None, 1, True),
        ("products", "INSERT", None, 2, True),
        ("users", "INSERT", None, 1, True),
        ("transactions", "INSERT", None, 2, True),
    ]


async def test_corrections_are_logged_with_old_and_new_values(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("u1"), user("u2", at=1)]))
    changed = [user("u1", at=2, email="new@example.com"), user("u2", at=3)]
    await sink.write(0, batch(lease, Feed.USERS, changed))
    [row] = await other.fetch("SELECT * FROM audit_logs WHERE operation = 'UPDATE'")
    old, new = orjson.loads(row["old_values"]), orjson.loads(row["new_values"])
    assert (row["table_name"], row["record_key"]) == ("users", "u1")
    assert (old["email"], new["email"]) == ("someone@example.com", "new@example.com")
    assert (old["source_offset"], new["source_offset"]) == (0, 2)
    assert row["batch_no"] == new["batch_no"]


async def test_changes_of_others_are_logged(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("u1"), user("u2", at=1), user("u3", at=2)]))
    await other.execute("TRUNCATE audit_logs")
    await other.execute("UPDATE users SET customer_tier = 'vip' WHERE user_id <> 'u3'")
    await other.execute("UPDATE users SET source_offset = 9, updated_at = now()")
    await other.execute("UPDATE users SET user_id = 'u4' WHERE user_id = 'u3'")
    await other.execute("DELETE FROM users WHERE user_id = 'u1'")
    assert sorted(await log(other), key=str) == [
        ("users", "DELETE", "u1", 1, False),
        ("users", "UPDATE", "u1", 1, False),
        ("users", "UPDATE", "u2", 1, False),
        ("users", "UPDATE", "u3", 1, False),
        ("users", "UPDATE", "u4", 1, False),
    ]
    values = "SELECT old_values IS NULL, new_values IS NULL FROM audit_logs WHERE record_key = $1"
    assert tuple(await other.fetchrow(values, "u3")) == (False, True)
    assert tuple(await other.fetchrow(values, "u4")) == (True, False)


async def test_a_role_without_access_to_the_log_is_logged_too(
    sink: PostgresSink,
    lease: Lease,
    other: Connection,
    database: LocalPostgres,
    sql: Callable[..., str],
) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    await other.execute("TRUNCATE audit_logs")
    sql(
        database,
        "DO $$ BEGIN CREATE ROLE clerk; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        f"GRANT clerk TO {database.user}",
    )
    await other.execute("GRANT SELECT, DELETE ON users TO clerk")
    await other.execute("SET ROLE clerk")
    await other.execute("DELETE FROM users")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await other.execute("DELETE FROM audit_logs")
    await other.execute("RESET ROLE")
    assert await log(other) == [("users", "DELETE", "u1", 1, False)]


async def test_foreign_keys_hold_for_everyone(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1")]))
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    await sink.write(0, batch(lease, Feed.TRANSACTIONS, [sale("a", at=1)]))
    for statement in (
        "DELETE FROM users",
        "DELETE FROM products",
        "DELETE FROM suppliers",
        "UPDATE users SET user_id = 'x'",
        "UPDATE transactions SET user_id = 'x'",
    ):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await other.execute(statement)
