"""The embedded server's database: its roles, its rights, its settings, in every version."""

import subprocess
from collections.abc import Callable

import asyncpg
import pytest

from techmart_fast.local import LocalHome, LocalOptions, LocalPostgres, embedded


async def connect(server: LocalPostgres, password: str | None = None) -> asyncpg.Connection:
    return await asyncpg.connect(
        host=str(server.socket_dir),
        port=server.port,
        database=server.database,
        user=server.user,
        password=server.password.get_secret_value() if password is None else password,
        timeout=30,
    )


@pytest.mark.every_server
async def test_the_loaders_role_owns_its_database_and_is_no_superuser(
    postgres_server: LocalPostgres,
) -> None:
    connection = await connect(postgres_server)
    try:
        row = await connection.fetchrow(
            "SELECT r.rolsuper, r.rolcreaterole, r.rolbypassrls, d.datname "
            "FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba "
            "WHERE d.datname = current_database() AND r.rolname = current_user"
        )
    finally:
        await connection.close()
    assert tuple(row) == (False, False, False, "techmart")


@pytest.mark.every_server
async def test_the_loaders_role_may_switch_row_triggers_off(fresh_database: LocalPostgres) -> None:
    connection = await connect(fresh_database)
    try:
        await connection.execute("SET session_replication_role = replica")
        assert await connection.fetchval("SHOW session_replication_role") == "replica"
    finally:
        await connection.close()


@pytest.mark.every_server
async def test_a_wrong_password_is_refused(postgres_server: LocalPostgres) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect(postgres_server, password="not the password")


async def test_the_server_is_durable_and_listens_on_no_network_address(
    home: LocalHome, small: LocalOptions, sql: Callable[..., str]
) -> None:
    async with embedded(home, standin=False, options=small) as endpoints:
        durable = ("fsync", "full_page_writes", "synchronous_commit", "data_checksums")
        shown = sql(endpoints.postgres, *(f"SHOW {name}" for name in durable))
        assert shown.splitlines() == ["on"] * len(durable)
        assert sql(endpoints.postgres, "SHOW listen_addresses") == ""


def test_the_shown_psql_command_opens_the_database(postgres_server: LocalPostgres) -> None:
    result = subprocess.run(
        ["/bin/sh", "-c", postgres_server.psql_command + " -Atc 'SELECT current_user'"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert result.stdout.strip() == "techmart"
    assert postgres_server.password.get_secret_value() not in postgres_server.psql_command


def test_a_copy_of_a_database_has_its_tables(
    fresh_database: LocalPostgres,
    new_database: Callable[..., LocalPostgres],
    sql: Callable[..., str],
) -> None:
    sql(fresh_database, "CREATE TABLE kept AS SELECT 7 AS value", role="techmart")
    copy = new_database(fresh_database)
    assert sql(copy, "SELECT value FROM kept", role="techmart") == "7"


def test_no_output_names_the_password(postgres_server: LocalPostgres) -> None:
    secret = postgres_server.password.get_secret_value()
    assert secret not in repr(postgres_server)
    assert secret not in str(postgres_server)
