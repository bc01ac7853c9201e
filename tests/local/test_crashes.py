"""Killed commands, guardians and servers, interrupted and failing starts: all is cleared away."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from local_support import Until, gone, ping, stopped_guardian

from techmart_fast.errors import LocalError
from techmart_fast.local import (
    LocalHome,
    LocalOptions,
    embedded,
)
from techmart_fast.local.guarded import read_record


async def test_the_server_of_a_killed_command_stops_by_itself(
    home: LocalHome, command: Callable[..., Any], until: Until
) -> None:
    killed = command(home)
    answer = killed.answer()
    killed.kill()
    await asyncio.to_thread(until, lambda: gone(home))
    assert not psutil.pid_exists(answer["pid"])
    assert not Path(answer["sockets"]).exists()


async def test_the_next_command_reuses_and_ends_the_server_of_a_killed_one(
    home: LocalHome, command: Callable[..., Any], small: LocalOptions
) -> None:
    killed = command(home)
    answer = killed.answer()
    with stopped_guardian(home):
        killed.kill()
        async with embedded(home, standin=False, options=small) as endpoints:
            assert endpoints.postgres is not None
            assert endpoints.postgres.pid == answer["pid"]
            record = read_record(home.postgres)
            assert record is not None
            record.guardian.send(signal.SIGCONT)
    assert gone(home)


async def test_a_server_whose_guardian_was_killed_ends_and_is_started_anew(
    home: LocalHome, small: LocalOptions, until: Until
) -> None:
    async with embedded(home, standin=False, options=small) as first:
        record = read_record(home.postgres)
        assert record is not None
        record.guardian.send(signal.SIGKILL)
        await asyncio.to_thread(until, lambda: gone(home))
        async with embedded(home, standin=False, options=small) as second:
            assert first.postgres is not None
            assert second.postgres is not None
            assert second.postgres.pid != first.postgres.pid
    assert gone(home)


async def test_a_killed_server_with_a_busy_connection_is_cleared_away_and_recovers(
    home: LocalHome,
    small: LocalOptions,
    sql: Callable[..., str],
    until: Until,
) -> None:
    async with embedded(home, standin=False, options=small) as first:
        server = first.postgres
        assert server is not None
        sql(server, "CREATE TABLE kept AS SELECT 7 AS value", role="techmart")
        # It neither sees that the server has died nor that its client has gone.
        busy = "DO $$ BEGIN LOOP END LOOP; END $$"
        with psutil.Popen(
            [
                str(server.bin_dir / "psql"),
                "-h",
                str(server.socket_dir),
                "-U",
                "techmart",
                "-c",
                busy,
            ],
            env={**os.environ, "PGPASSFILE": str(server.pgpass)},
        ) as client:
            counted = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO $$%'"
            await asyncio.to_thread(until, lambda: sql(server, counted) == "1")
            os.kill(server.pid, signal.SIGKILL)
            client.kill()
        async with embedded(home, standin=False, options=small) as second:
            assert second.postgres is not None
            assert sql(second.postgres, "SELECT value FROM kept", role="techmart") == "7"
    assert gone(home)


async def test_a_crash_says_why_though_its_clients_are_not_told(
    home: LocalHome, small: LocalOptions, sql: Callable[..., str]
) -> None:
    # Asked to stop while it recovers, PostgreSQL 18 waits until it is made to.
    impatient = replace(small, stop_seconds=1)
    async with embedded(home, standin=False, options=impatient) as endpoints:
        server = endpoints.postgres
        assert server is not None
        assert server.crash() is None
        log_folder = home.postgres / "cluster" / "data" / "pg_wal"
        log_folder.chmod(0o500)  # as a full disk: no new segment of the log
        try:
            sql(server, "CREATE TABLE filled (words text)", role="techmart")
            fill = "INSERT INTO filled SELECT repeat('w', 1000) FROM generate_series(1, 20000)"
            with pytest.raises(AssertionError, match="connection to server was lost"):
                sql(server, fill, role="techmart")
        finally:
            log_folder.chmod(0o700)
        crash = server.crash()
        assert crash is not None
        assert "crashed: could not" in str(crash)
        assert str(home.logs) in str(crash)


async def test_a_leftover_pid_file_that_names_a_living_process_does_not_matter(
    home: LocalHome, small: LocalOptions
) -> None:
    pid_file = home.postgres / "cluster" / "data" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{pid_file.parent}\n1\n5432\n\n\n\nready\n")
    server = await ping(home, small)
    assert server.pid != os.getpid()


async def test_a_server_that_hangs_is_made_to_stop(home: LocalHome, small: LocalOptions) -> None:
    impatient = replace(small, stop_seconds=0.2)
    async with embedded(home, standin=False, options=impatient) as first:
        assert first.postgres is not None
        os.kill(first.postgres.pid, signal.SIGSTOP)
    assert gone(home)


async def test_an_interrupted_start_leaves_nothing(
    home: LocalHome, small: LocalOptions, until: Until
) -> None:
    async with asyncio.TaskGroup() as group:
        starting = group.create_task(ping(home, small), name="starting")
        await asyncio.to_thread(until, lambda: not gone(home))
        starting.cancel()
    assert starting.cancelled()
    assert gone(home)
    await ping(home, small)


async def test_an_interrupted_first_start_leaves_no_half_made_database(
    techmart_home: LocalHome, small: LocalOptions, until: Until
) -> None:
    def making() -> bool:
        return any(techmart_home.postgres.glob("cluster.new-*/data/base"))

    async with asyncio.TaskGroup() as group:
        starting = group.create_task(ping(techmart_home, small), name="starting")
        await asyncio.to_thread(until, making)
        starting.cancel()
    assert starting.cancelled()
    assert list(techmart_home.postgres.glob("cluster*")) == []


async def test_a_killed_first_start_is_begun_again(
    techmart_home: LocalHome,
    small: LocalOptions,
    command: Callable[..., Any],
    until: Until,
) -> None:
    def making() -> bool:
        return any(techmart_home.postgres.glob("cluster.new-*/data/base"))

    killed = command(techmart_home)
    await asyncio.to_thread(until, making)
    killed.kill()
    assert making()
    await ping(techmart_home, small)
    assert [path.name for path in techmart_home.postgres.glob("cluster*")] == ["cluster"]
    assert gone(techmart_home)


async def test_a_failing_start_says_why_and_leaves_nothing(
    home: LocalHome, small: LocalOptions
) -> None:
    broken = home.postgres / "cluster" / "data" / "postgresql.auto.conf"
    broken.write_text("max_connections = 'many'\n")
    with pytest.raises(LocalError, match="contains errors") as caught:
        await ping(home, small)
    assert "postgres.log" in str(caught.value)
    assert gone(home)
    broken.write_text("")
    await ping(home, small)


async def test_data_of_another_major_version_is_refused_untouched(
    home: LocalHome, small: LocalOptions
) -> None:
    version = home.postgres / "cluster" / "data" / "PG_VERSION"
    version.write_text("13\n")
    with pytest.raises(LocalError, match="made by PostgreSQL 13"):
        await ping(home, small)
    assert version.read_text() == "13\n"
