"""Nothing runs without a user: commands side by side, `local start`, what a home looks like."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from local_support import gone, ping, psql_says

from techmart_fast.local import (
    LocalHome,
    LocalOptions,
    embedded,
    start,
    status,
    stop,
    tree_bytes,
)
from techmart_fast.local.guarded import read_record
from techmart_fast.local.memory import peak_bytes


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


async def test_a_home_may_have_any_name(
    home: LocalHome, small: LocalOptions, tmp_path: Path, sql: Callable[..., str]
) -> None:
    odd = LocalHome(home.path.rename(tmp_path / 'it\'s, "ö" \\ $x'))
    async with embedded(odd, standin=False, options=small) as endpoints:
        server = endpoints.postgres
        assert server is not None
        assert psql_says(server) == "7\n"
    assert gone(odd)


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


async def test_memory_is_counted_also_where_the_kernel_tells_less(
    home: LocalHome, small: LocalOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with embedded(home, standin=False, options=small) as endpoints:
        assert endpoints.postgres is not None
        exact = tree_bytes(endpoints.postgres.pid)
        with monkeypatch.context() as patched:
            patched.setattr(os, "access", lambda *_: False)
            assert exact / 4 < tree_bytes(endpoints.postgres.pid) < exact * 4


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
