"""Nothing runs without a user: commands side by side, crashes, leftovers, `local start`."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from techmart_fast.errors import LocalError
from techmart_fast.local import (
    LocalHome,
    LocalOptions,
    LocalPostgres,
    embedded,
    start,
    status,
    stop,
    tree_bytes,
)
from techmart_fast.local.guarded import lives, read_record
from techmart_fast.local.memory import peak_bytes

Until = Callable[[Callable[[], bool]], None]


def gone(home: LocalHome) -> bool:
    return not lives(home.postgres)


async def ping(home: LocalHome, options: LocalOptions) -> LocalPostgres:
    """One whole command: start or reuse, look, leave."""
    async with embedded(home, standin=False, options=options) as endpoints:
        assert endpoints.postgres is not None
        return endpoints.postgres


@contextmanager
def stopped_guardian(home: LocalHome) -> Iterator[None]:
    """The guardian does nothing meanwhile, so that a test decides who acts first."""
    record = read_record(home.postgres)
    assert record is not None
    record.guardian.send(signal.SIGSTOP)
    try:
        yield
    finally:
        record.guardian.send(signal.SIGCONT)


async def test_the_server_ends_with_the_command_that_used_it(
    home: LocalHome, small: LocalOptions
) -> None:
    async with embedded(home, standin=False, options=small) as endpoints:
        assert endpoints.standin is None
        assert endpoints.postgres is not None
        running = status(home)
        assert running.postgres == endpoints.postgres
        assert running.in_use
        assert not running.pinned
    after = status(home)
    assert (after.postgres, after.in_use) == (None, False)
    assert gone(home)
    assert not endpoints.postgres.socket_dir.exists()
    assert not psutil.pid_exists(endpoints.postgres.pid)


async def test_the_server_ends_when_the_command_fails(home: LocalHome, small: LocalOptions) -> None:
    with pytest.raises(ZeroDivisionError):
        async with embedded(home, standin=False, options=small):
            raise ZeroDivisionError
    assert gone(home)


async def test_commands_side_by_side_share_one_server(home: LocalHome, small: LocalOptions) -> None:
    async with embedded(home, standin=False, options=small) as first:
        async with embedded(home, standin=False, options=small) as second:
            assert first == second
        assert not gone(home)
        assert status(home).in_use
    assert gone(home)


async def test_commands_that_start_at_the_same_time_share_one_server(
    home: LocalHome, command: Callable[..., Any]
) -> None:
    commands = [command(home) for _ in range(3)]
    answers = [each.answer() for each in commands]
    assert len({answer["pid"] for answer in answers}) == 1
    assert [each.finish() for each in commands] == [0, 0, 0]
    assert gone(home)


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


async def test_a_leftover_pid_file_that_names_a_living_process_does_not_matter(
    home: LocalHome, small: LocalOptions
) -> None:
    pid_file = home.postgres / "cluster" / "data" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{pid_file.parent}\n1\n5432\n\n\n\nready\n")
    server = await ping(home, small)
    assert server.pid != os.getpid()


async def test_a_server_that_hangs_is_reported_while_in_use_and_ended_after(
    home: LocalHome, small: LocalOptions
) -> None:
    impatient = replace(small, start_seconds=1, stop_seconds=0.5)
    async with embedded(home, standin=False, options=impatient) as first:
        assert first.postgres is not None
        os.kill(first.postgres.pid, signal.SIGSTOP)
        with pytest.raises(LocalError, match="does not answer"):
            await ping(home, impatient)
    assert gone(home)


async def test_a_pinned_server_that_hangs_is_replaced(home: LocalHome, small: LocalOptions) -> None:
    impatient = replace(small, start_seconds=1, stop_seconds=0.5)
    started = await start(home, standin=False, options=impatient)
    assert started.postgres is not None
    os.kill(started.postgres.pid, signal.SIGSTOP)
    replaced = await ping(home, impatient)
    assert replaced.pid != started.postgres.pid


async def test_starting_pins_and_stopping_lets_go(home: LocalHome, small: LocalOptions) -> None:
    started = await start(home, standin=False, options=small)
    assert started.postgres is not None
    used = await ping(home, small)
    assert used.pid == started.postgres.pid
    kept = status(home)
    assert kept.pinned
    assert kept.postgres == started.postgres
    assert not kept.in_use
    after = await stop(home)
    assert (after.postgres, after.pinned, after.in_use) == (None, False, False)
    assert gone(home)


async def test_stopping_leaves_the_server_to_the_command_that_uses_it(
    home: LocalHome, small: LocalOptions
) -> None:
    await start(home, standin=False, options=small)
    async with embedded(home, standin=False, options=small):
        still = await stop(home)
        assert still.postgres is not None
        assert still.in_use
        assert not still.pinned
    assert gone(home)


async def test_stopping_what_never_ran_does_nothing(techmart_home: LocalHome) -> None:
    after = await stop(techmart_home)
    assert after.postgres is None
    assert not techmart_home.path.exists()


async def test_wanting_no_part_starts_and_makes_nothing(techmart_home: LocalHome) -> None:
    async with embedded(techmart_home, postgres=False, standin=False) as endpoints:
        assert endpoints.postgres is None
        assert endpoints.standin is None
    assert not techmart_home.path.exists()


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


async def test_a_deep_home_gets_its_socket_in_a_short_folder_that_is_removed(
    home: LocalHome, small: LocalOptions, tmp_path: Path
) -> None:
    deep = tmp_path / "/".join(["a-folder-with-a-long-name"] * 5)
    deep.mkdir(parents=True)
    moved = LocalHome(deep / "home")
    home.path.rename(moved.path)
    async with embedded(moved, standin=False, options=small) as endpoints:
        assert endpoints.postgres is not None
        sockets = endpoints.postgres.socket_dir
        assert not sockets.is_relative_to(moved.path)
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert not sockets.exists()


async def test_the_server_is_out_of_reach_of_the_terminals_keys(
    home: LocalHome, small: LocalOptions
) -> None:
    async with embedded(home, standin=False, options=small) as endpoints:
        assert endpoints.postgres is not None
        record = read_record(home.postgres)
        assert record is not None
        sessions = {os.getsid(pid) for pid in (0, record.guardian.pid, record.server.pid)}
        assert len(sessions) == 3


async def test_memory_is_counted_for_the_server_and_its_children(
    home: LocalHome, small: LocalOptions
) -> None:
    async with embedded(home, standin=False, options=small) as endpoints:
        assert endpoints.postgres is not None
        pid = endpoints.postgres.pid
        assert 1 << 20 < tree_bytes(pid) < 1 << 30
        assert 1 << 20 < peak_bytes(pid) < 1 << 30
    assert (tree_bytes(pid), peak_bytes(pid)) == (0, 0)


async def test_no_secret_is_in_the_record_the_log_or_the_command_line(
    home: LocalHome, small: LocalOptions
) -> None:
    async with embedded(home, standin=False, options=small) as endpoints:
        assert endpoints.postgres is not None
        secret = endpoints.postgres.password.get_secret_value()
        told = (home.postgres / "running.json").read_text()
        told += (home.logs / "postgres.log").read_text()
        told += " ".join(psutil.Process(endpoints.postgres.pid).cmdline())
        assert secret not in told
        modes = {path.stat().st_mode & 0o077 for path in home.postgres.rglob("*") if path.is_file()}
        assert modes == {0}


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
