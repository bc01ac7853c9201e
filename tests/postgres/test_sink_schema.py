"""The schema: one file for the first run or psql, once or again; numbered steps afterwards."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from techmart_fast.bundled import bundled
from techmart_fast.errors import SinkAccessError, SinkError
from techmart_fast.local import LocalPostgres
from techmart_fast.postgres import PostgresSink
from techmart_fast.postgres.migrate import migrate
from techmart_fast.records import Feed
from tests.postgres.places import a_session, another_session, run_start, target_of
from tests.postgres.records import batch, product, sale, user


def psql(database: LocalPostgres, file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(str(database.bin_dir / "psql"), "-h", str(database.socket_dir)),
            *("-p", str(database.port), "-U", database.user, "-d", database.database),
            *("-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(file)),
        ],
        env={"PGPASSWORD": database.password.get_secret_value()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_a_first_run_applies_it_and_a_second_finds_it(fresh_database: LocalPostgres) -> None:
    async with PostgresSink(target_of(fresh_database), writers=1) as sink:
        assert await sink.migrate() == (1, 2, 3, 4, 5, 6, 7, 8, 9)
        assert await sink.migrate() == ()


async def test_two_first_runs_at_the_same_time_both_find_it(fresh_database: LocalPostgres) -> None:
    target = target_of(fresh_database)
    async with PostgresSink(target, writers=1) as one, PostgresSink(target, writers=1) as two:
        await asyncio.gather(one.migrate(), two.migrate())
        assert await two.migrate() == ()


async def test_psql_applies_the_same_file_before_or_after_a_run(
    fresh_database: LocalPostgres,
) -> None:
    schema = bundled("schemas", "postgres_schema.sql")
    for _ in range(2):
        applied = psql(fresh_database, schema)
        assert (applied.returncode, applied.stderr) == (0, "")
    async with PostgresSink(target_of(fresh_database), writers=1) as sink:
        assert await sink.migrate() == ()
        lease = await sink.start_run(run_start())
        assert (await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))).counts.loaded == 1
    assert psql(fresh_database, schema).returncode == 0


async def test_tables_of_another_application_are_left_alone(
    fresh_database: LocalPostgres,
) -> None:
    async with another_session(fresh_database) as other:
        await other.execute("CREATE TABLE users (name text)")
        async with PostgresSink(target_of(fresh_database), writers=1) as sink:
            with pytest.raises(SinkError, match=r"not empty: .*users.* Load into an empty"):
                await sink.migrate()
        assert await other.fetchval("SELECT to_regclass('public.transactions')") is None


async def test_a_role_that_may_not_create_is_told(
    fresh_database: LocalPostgres, sql: Callable[..., str]
) -> None:
    async with another_session(fresh_database) as other:
        await other.execute(
            f"REVOKE CREATE ON DATABASE {fresh_database.database} FROM CURRENT_USER"
        )
    async with PostgresSink(target_of(fresh_database), writers=1) as sink:
        with pytest.raises(SinkAccessError, match="lacks a privilege: permission denied"):
            await sink.migrate()


async def test_a_numbered_step_is_applied_once(
    fresh_database: LocalPostgres, tmp_path: Path
) -> None:
    database = fresh_database
    schemas = tmp_path / "schemas"
    (schemas / "postgres").mkdir(parents=True)
    shutil.copy(bundled("schemas", "postgres_schema.sql"), schemas)
    step = schemas / "postgres" / "010_loyalty.sql"
    step.write_text("ALTER TABLE public.users ADD COLUMN loyalty integer")
    async with a_session(database) as session:
        assert await migrate(session, bundled("schemas")) == (1, 2, 3, 4, 5, 6, 7, 8, 9)
        assert await migrate(session, schemas) == (10,)
        assert await migrate(session, schemas) == ()
        (schemas / "postgres" / "011_broken.sql").write_text("ALTER TABLE public.nothing ADD x int")
        with pytest.raises(SinkError, match="applying the schema"):
            await migrate(session, schemas)
    async with PostgresSink(target_of(database), writers=1) as older:
        with pytest.raises(SinkError, match="version 10, newer than this loader's 9"):
            await older.migrate()


_BACK_TO_1 = """
    ALTER TABLE techmart_loader.runs DROP COLUMN told, DROP COLUMN warehouse_jobs,
        DROP COLUMN warehouse_bytes_billed, DROP COLUMN warehouse_usd,
        DROP COLUMN warehouse_modelled;
    ALTER TABLE techmart_loader.batches DROP COLUMN flagged, DROP COLUMN judged_by,
        DROP COLUMN resent, DROP COLUMN seen;
    ALTER TABLE techmart_loader.files DROP COLUMN block_bytes, DROP COLUMN lanes,
        DROP COLUMN header, DROP COLUMN content_bytes;
    ALTER TABLE techmart_loader.quarantine DROP COLUMN corrected;
    ALTER TABLE techmart_loader.batches DROP CONSTRAINT batches_kind_known;
    ALTER TABLE techmart_loader.batches ADD CONSTRAINT batches_kind_known
        CHECK (kind IN ('load', 'release', 'deactivate'));
    DROP TABLE techmart_loader.identity;
    DROP TABLE techmart_loader.api_checkpoints;
    DROP TABLE techmart_loader.repairs;
    DROP TABLE techmart_loader.deferred_indexes;
    DELETE FROM techmart_loader.schema_migrations WHERE version > 1;
    INSERT INTO techmart_loader.batches (batch_id, kind, feed, run_id, contract_version)
    VALUES (gen_random_uuid(), 'load', 'users', gen_random_uuid(), '1')
"""
_FORM = (
    """SELECT c.table_name, c.column_name, c.data_type, c.is_nullable, c.column_default,
              col_description((c.table_schema || '.' || c.table_name)::regclass, c.ordinal_position)
       FROM information_schema.columns AS c
       WHERE c.table_schema = 'techmart_loader' ORDER BY 1, 2""",
    """SELECT indexdef, obj_description((schemaname || '.' || indexname)::regclass)
       FROM pg_indexes WHERE schemaname = 'techmart_loader' ORDER BY 1""",
    """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
       FROM pg_constraint WHERE connamespace = 'techmart_loader'::regnamespace ORDER BY 1, 2""",
)


async def test_the_steps_lead_to_the_complete_schema(fresh_database: LocalPostgres) -> None:
    schema = bundled("schemas", "postgres_schema.sql")
    async with (
        another_session(fresh_database) as other,
        PostgresSink(target_of(fresh_database), writers=1) as sink,
    ):
        await sink.migrate()
        complete = [await other.fetch(query) for query in _FORM]
        await other.execute(_BACK_TO_1)
        refused = psql(fresh_database, schema)
        assert refused.returncode != 0
        assert "older version of the schema" in refused.stderr
        assert await sink.migrate() == (2, 3, 4, 5, 6, 7, 8, 9)
        assert [await other.fetch(query) for query in _FORM] == complete
        judged = "SELECT judged_by = run_id FROM techmart_loader.batches"
        assert await other.fetchval(judged) is True
    assert psql(fresh_database, schema).returncode == 0


_BACK_TO_8 = """
    DROP TABLE techmart_loader.deferred_indexes;
    DELETE FROM techmart_loader.schema_migrations WHERE version = 9
"""


async def test_a_database_of_version_8_with_rows_keeps_them_and_owes_no_index(
    fresh_database: LocalPostgres,
) -> None:
    async with (
        another_session(fresh_database) as other,
        PostgresSink(target_of(fresh_database), writers=1) as sink,
    ):
        await sink.migrate()
        lease = await sink.start_run(run_start())
        for rows in (Feed.USERS, user("u1")), (Feed.PRODUCTS, product("p1")):
            await sink.write(0, batch(lease, rows[0], [rows[1]]))
        await sink.write(0, batch(lease, Feed.TRANSACTIONS, [sale("t1")]))
        await other.execute(_BACK_TO_8)
        assert await sink.migrate() == (9,)
        await sink.put_off_index(lease)
        assert await sink.owed_index() is None
        assert (await sink.status()).owed_index is None
        assert await other.fetchval("SELECT count(*) FROM transactions") == 1


async def test_every_index_says_which_query_it_serves(database: LocalPostgres) -> None:
    async with another_session(database) as other:
        silent = await other.fetch(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind = 'i' AND n.nspname = 'public'"
            " AND obj_description(c.oid) IS NULL"
        )
    assert silent == []


@pytest.mark.every_server
async def test_it_works_with_every_server_version(database: LocalPostgres) -> None:
    async with PostgresSink(target_of(database), writers=1) as sink:
        lease = await sink.start_run(run_start())
        versions = [user("u1"), user("u1", at=1, country="FR"), user("u2", at=2)]
        outcome = await sink.write(0, batch(lease, Feed.USERS, versions))
        assert (outcome.counts.loaded, outcome.counts.corrected) == (3, 1)
        assert sink.server_version == database.version
