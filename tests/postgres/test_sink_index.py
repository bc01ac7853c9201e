"""The index that a first load does without: put off, owed, built again as the schema makes it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import asyncpg
import pytest
from pydantic import SecretStr

from techmart_fast.bundled import bundled
from techmart_fast.errors import LeaseHeldError, SinkError
from techmart_fast.local import LocalPostgres
from techmart_fast.postgres import Lease, OwedIndex, PostgresSink
from techmart_fast.postgres import indexes as of_loads
from techmart_fast.postgres import session as sessions
from techmart_fast.records import Feed
from tests.postgres.conftest import OpenSink
from tests.postgres.places import Connection, run_end, run_start, until
from tests.postgres.records import batch, product, sale, user
from tests.postgres.test_sink_schema import psql

NAME = "transactions_user_id"
OWED = OwedIndex(name=NAME, may_build=True)
INDEXES = """
    SELECT c.oid::regclass::text, pg_get_indexdef(c.oid), obj_description(c.oid), c.reltablespace,
           c.reloptions, c.relowner, x.indisvalid, x.indisclustered
    FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indexrelid
    WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1
"""
IS_THERE = f"SELECT to_regclass('public.{NAME}') IS NOT NULL"
SILENCE = "UPDATE techmart_loader.lease SET heartbeat_at = heartbeat_at - interval '1 hour'"


@pytest.fixture(autouse=True)
async def same_indexes(database: LocalPostgres, other: Connection) -> AsyncIterator[None]:
    """The database is shared: a test leaves it with the indexes that it found."""
    assert await other.fetchval(IS_THERE)
    yield
    await other.execute(f"DROP INDEX IF EXISTS {NAME}")
    assert psql(database, bundled("schemas", "postgres_schema.sql")).returncode == 0


async def load_a_row(sink: PostgresSink, lease: Lease, name: str = "t1") -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1")]))
    outcome = await sink.write(0, batch(lease, Feed.TRANSACTIONS, [sale(name)]))
    assert outcome.counts.loaded == 1


async def test_it_is_gone_while_rows_are_loaded_and_the_same_afterwards(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    before = await other.fetch(INDEXES)
    assert await sink.owed_index() is None
    await sink.put_off_index(lease)
    assert not await other.fetchval(IS_THERE)
    assert await sink.owed_index() == OWED
    await load_a_row(sink, lease)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await other.execute("DELETE FROM users")
    await sink.build_index(lease)
    assert await sink.owed_index() is None
    assert await other.fetch(INDEXES) == before


async def test_a_second_time_changes_nothing(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    before = await other.fetch(INDEXES)
    for _ in range(2):
        await sink.put_off_index(lease)
    assert await sink.owed_index() == OWED
    for _ in range(2):
        await sink.build_index(lease)
    assert await other.fetch(INDEXES) == before


async def test_a_table_with_rows_keeps_it(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    await load_a_row(sink, lease)
    await sink.put_off_index(lease)
    assert await other.fetchval(IS_THERE)
    assert await sink.owed_index() is None


@pytest.mark.parametrize(
    "change",
    [
        f"ALTER INDEX {NAME} SET (fillfactor = 70)",
        f"COMMENT ON INDEX {NAME} IS 'ours'",
        f"ALTER TABLE transactions CLUSTER ON {NAME}",
        f"DROP INDEX {NAME}; CREATE INDEX {NAME} ON transactions (user_id, status)",
        f"DROP INDEX {NAME}; CREATE INDEX {NAME} ON users (email)",
    ],
)
async def test_an_index_that_somebody_made_his_own_is_left_alone(
    sink: PostgresSink, lease: Lease, other: Connection, change: str
) -> None:
    await other.execute(change)
    before = await other.fetch(INDEXES)
    await sink.put_off_index(lease)
    await sink.build_index(lease)
    assert await other.fetch(INDEXES) == before


async def test_an_index_that_somebody_dropped_stays_dropped(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    await other.execute(f"DROP INDEX {NAME}")
    await sink.put_off_index(lease)
    await load_a_row(sink, lease)
    assert await sink.owed_index() is None
    await sink.build_index(lease)
    assert not await other.fetchval(IS_THERE)


async def test_one_that_somebody_made_meanwhile_is_not_owed_any_more(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    before = await other.fetch(INDEXES)
    await sink.put_off_index(lease)
    await other.execute(f"CREATE INDEX {NAME} ON transactions (user_id)")
    await sink.build_index(lease)
    assert await sink.owed_index() is None
    assert await other.fetch(INDEXES) == before


async def test_one_whose_build_was_broken_off_meanwhile_is_built_again(
    sink: PostgresSink, lease: Lease, other: Connection, third: Connection
) -> None:
    before = await other.fetch(INDEXES)
    await sink.put_off_index(lease)
    await load_a_row(sink, lease)
    async with third.transaction():
        await third.execute("UPDATE transactions SET status = status")
        await other.execute("SET statement_timeout = '300ms'")
        with pytest.raises(asyncpg.QueryCanceledError):
            await other.execute(f"CREATE INDEX CONCURRENTLY {NAME} ON transactions (user_id)")
        await other.execute("RESET statement_timeout")
    assert await other.fetchval(IS_THERE)
    assert await sink.build_index(lease)
    assert await sink.owed_index() is None
    assert await other.fetch(INDEXES) == before


@pytest.mark.parametrize(
    ("make", "unmake"),
    [
        (f"CREATE INDEX {NAME} ON users (email); COMMENT ON INDEX {NAME} IS 'ours'", "SELECT"),
        (f"CREATE INDEX {NAME} ON transactions (user_id) WHERE user_id > 'm'", "SELECT"),
        (f"CREATE TABLE {NAME} ()", f"DROP TABLE {NAME}"),
    ],
    ids=["index", "partial", "table"],
)
async def test_something_else_of_its_name_stays_and_nothing_is_owed(
    sink: PostgresSink, lease: Lease, other: Connection, make: str, unmake: str
) -> None:
    await sink.put_off_index(lease)
    await load_a_row(sink, lease)
    await other.execute(make)
    before = await other.fetch(INDEXES)
    assert not await sink.build_index(lease)
    assert await sink.owed_index() is None
    assert await other.fetch(INDEXES) == before
    await other.execute(unmake)


async def test_a_table_that_is_in_use_keeps_it(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    async with other.transaction():
        await other.execute("SELECT FROM transactions")
        await sink.put_off_index(lease)
    assert await other.fetchval(IS_THERE)
    assert await sink.owed_index() is None
    await load_a_row(sink, lease)


async def test_rows_that_come_while_it_waits_keep_it(
    sink: PostgresSink, lease: Lease, other: Connection, third: Connection
) -> None:
    await load_a_row(sink, lease)
    moved = "CREATE TEMP TABLE kept AS SELECT * FROM transactions"
    await other.execute(f"{moved}; DELETE FROM transactions")
    writing = other.transaction()
    await writing.start()
    await other.execute("INSERT INTO transactions SELECT * FROM kept")
    putting_off = asyncio.ensure_future(sink.put_off_index(lease))
    await until(third, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
    await writing.commit()
    await putting_off
    assert await other.fetchval(IS_THERE)
    assert await sink.owed_index() is None


async def test_a_database_that_forbids_it_keeps_it(
    sink: PostgresSink,
    lease: Lease,
    other: Connection,
    sql: Callable[..., str],
    database: LocalPostgres,
) -> None:
    here = f"\\connect {database.database}"
    sql(
        database,
        here,
        "CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'no'; END $$",
        "CREATE EVENT TRIGGER forbid ON sql_drop EXECUTE FUNCTION forbid()",
    )
    try:
        await sink.put_off_index(lease)
        assert await other.fetchval(IS_THERE)
        assert await sink.owed_index() is None
    finally:
        sql(database, here, "DROP EVENT TRIGGER forbid", "DROP FUNCTION forbid()")


async def test_writers_of_others_are_waited_for(
    open_sink: OpenSink, other: Connection, third: Connection
) -> None:
    async with open_sink(retry_seconds=20.0) as sink:
        lease = await sink.start_run(run_start())
        await sink.put_off_index(lease)
        await load_a_row(sink, lease)
        writing = other.transaction()
        await writing.start()
        await other.execute("UPDATE transactions SET status = status")
        building = asyncio.ensure_future(sink.build_index(lease))
        await until(third, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        await writing.commit()
        await building
        assert await other.fetchval(IS_THERE)


async def test_it_may_take_longer_than_a_statement_may(
    open_sink: OpenSink, other: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_SERVER_GRACE_SECONDS", 0.0)
    # Two statements in one go: without arguments they are a script.
    slow = "SELECT pg_sleep(1.0); " + of_loads.statement("indexes", "build")
    _replace(monkeypatch, "build", slow)
    async with open_sink(command_timeout_seconds=0.4) as sink:
        lease = await sink.start_run(run_start())
        await sink.put_off_index(lease)
        await sink.build_index(lease)
    assert await other.fetchval(IS_THERE)


async def test_a_build_that_ends_while_it_is_asked_for_leaves_the_lease_where_it_is(
    open_sink: OpenSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question goes through the connection that holds the lease."""
    slow = of_loads.statement("indexes", "at_work").replace("SELECT pid", "SELECT pg_sleep(0.6)")
    _replace(monkeypatch, "at_work", slow)
    build = "SELECT pg_sleep(1.2); " + of_loads.statement("indexes", "build")
    _replace(monkeypatch, "build", build)
    async with open_sink(command_timeout_seconds=0.9) as sink, open_sink() as rival:
        lease = await sink.start_run(run_start())
        await sink.put_off_index(lease)
        assert await sink.build_index(lease)
        with pytest.raises(LeaseHeldError, match="is loading"):
            await rival.start_run(run_start())
        await sink.confirm(lease)


async def test_a_backend_that_is_gone_is_missed(
    open_sink: OpenSink, other: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network may swallow the end of a connection; the other connection tells."""

    async def gone(*_: object) -> bool:
        return False

    _replace(monkeypatch, "build", "SELECT pg_sleep(60)")
    monkeypatch.setattr(of_loads, "is_at_work", gone)
    async with open_sink(command_timeout_seconds=0.3) as sink:
        lease = await sink.start_run(run_start())
        await sink.put_off_index(lease)
        with pytest.raises(SinkError, match="lost") as caught:
            await asyncio.wait_for(sink.build_index(lease), 20)
        assert caught.value.transient
        assert await sink.owed_index() == OWED


async def test_a_build_whose_connection_is_lost_is_done_again(
    open_sink: OpenSink, other: Connection, third: Connection
) -> None:
    async with open_sink(retry_seconds=20.0) as sink:
        lease = await sink.start_run(run_start())
        await sink.put_off_index(lease)
        writing = other.transaction()
        await writing.start()
        await other.execute("LOCK TABLE transactions IN ROW EXCLUSIVE MODE")
        building = asyncio.ensure_future(sink.build_index(lease))
        waiting = "FROM pg_locks WHERE NOT granted"
        await until(third, f"SELECT EXISTS (SELECT {waiting})")
        await third.execute(f"SELECT pg_terminate_backend(pid) {waiting}")
        await writing.commit()
        await building
        assert await sink.owed_index() is None
        assert await other.fetchval(IS_THERE)


@pytest.mark.parametrize(
    "work", [PostgresSink.put_off_index, PostgresSink.build_index], ids=["put off", "build"]
)
async def test_a_replaced_run_may_not(
    open_sink: OpenSink,
    other: Connection,
    work: Callable[[PostgresSink, Lease], Awaitable[None]],
) -> None:
    async with open_sink() as first, open_sink() as second:
        silent = await first.start_run(run_start(lease_seconds=0.04))
        if work is PostgresSink.build_index:
            await first.put_off_index(silent)
        before = await other.fetch(INDEXES)
        await other.execute(SILENCE)
        lease = await second.start_run(run_start())
        with pytest.raises(LeaseHeldError):
            await work(first, silent)
        assert await other.fetch(INDEXES) == before
        await second.build_index(lease)
        await second.finish_run(lease, run_end())
    assert await other.fetchval(IS_THERE)


async def test_a_build_that_is_cancelled_leaves_it_owed(
    sink: PostgresSink, lease: Lease, other: Connection, third: Connection
) -> None:
    await sink.put_off_index(lease)
    async with other.transaction():
        await other.execute("LOCK TABLE transactions IN ROW EXCLUSIVE MODE")
        building = asyncio.ensure_future(sink.build_index(lease))
        await until(third, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await building
    assert await sink.owed_index() == OWED
    await sink.build_index(lease)
    assert await other.fetchval(IS_THERE)


async def test_what_is_owed_outlives_the_run(open_sink: OpenSink, other: Connection) -> None:
    before = await other.fetch(INDEXES)
    async with open_sink() as first:
        lease = await first.start_run(run_start())
        await first.put_off_index(lease)
        await load_a_row(first, lease)
    async with open_sink() as second:
        lease = await second.start_run(run_start())
        await second.put_off_index(lease)
        await load_a_row(second, lease, "t2")
        assert await second.owed_index() == OWED
        await second.build_index(lease)
    assert await other.fetch(INDEXES) == before


def _replace(monkeypatch: pytest.MonkeyPatch, name: str, sql: str) -> None:
    """Another text for one statement of the index."""
    whole = of_loads.statement

    def instead(file: str, of: str, **parts: str) -> str:
        return sql if of == name else whole(file, of, **parts)

    monkeypatch.setattr(of_loads, "statement", instead)


STRANGER = "loader_of_others"
STRANGERS_PASSWORD = SecretStr("stranger")


@pytest.fixture
def stranger(database: LocalPostgres, sql: Callable[..., str]) -> Iterator[str]:
    """A role that may do everything with the rows of tables that are another one's."""
    password = STRANGERS_PASSWORD.get_secret_value()
    schemas = "SCHEMA public, techmart_loader"
    sql(
        database,
        f"CREATE ROLE {STRANGER} LOGIN PASSWORD '{password}'",
        f"\\connect {database.database}",
        f"GRANT ALL ON {schemas} TO {STRANGER}",
        f"GRANT ALL ON ALL TABLES IN {schemas} TO {STRANGER}",
    )
    yield STRANGER
    sql(database, f"\\connect {database.database}", f"DROP OWNED BY {STRANGER}")
    sql(database, f"DROP ROLE {STRANGER}")


async def test_a_role_that_does_not_own_the_table_puts_nothing_off_and_builds_nothing(
    open_sink: OpenSink, other: Connection, stranger: str
) -> None:
    async with open_sink(user=stranger, password=STRANGERS_PASSWORD) as sink:
        lease = await sink.start_run(run_start())
        await sink.put_off_index(lease)
        assert await other.fetchval(IS_THERE)
        assert await sink.owed_index() is None
        await sink.finish_run(lease, run_end())
        async with open_sink() as owner:
            lease = await owner.start_run(run_start())
            await owner.put_off_index(lease)
            assert await owner.owed_index() == OWED
        assert await sink.owed_index() == OwedIndex(name=NAME, may_build=False)
