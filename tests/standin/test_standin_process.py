"""The process: how it starts, says where it is, recovers and leaves."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from techmart_fast.standin import process
from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.storage import HomeInUseError, Storage
from tests.standin.conftest import Shop
from tests.standin.serving import MIB, client_of, request

SECONDS = 30


@contextmanager
def running(home: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A process that serves a home, and its address once it is ready."""
    record = home / "server.json"
    record.unlink(missing_ok=True)
    command = [sys.executable, "-m", "techmart_fast.standin", "--home", str(home), *options]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
        try:
            tick = threading.Event()
            deadline = now_ms() + SECONDS * 1000
            while not record.exists():
                assert child.poll() is None
                assert now_ms() < deadline
                tick.wait(0.02)
            values = json.loads(record.read_bytes())
            assert values["pid"] == child.pid
            yield child, f"http://127.0.0.1:{values['port']}"
        finally:
            child.kill()


def test_a_killed_stand_in_comes_back_with_everything_committed(
    new_home: Callable[[], Path],
) -> None:
    home = new_home()
    rows = pa.table({"id": pa.array(range(1000), pa.int64())})
    with running(home) as (child, address), client_of(address) as client:
        assert oct((home / "server.json").stat().st_mode & 0o777) == "0o600"
        client.create_dataset("d")
        shop = Shop(client, "d")
        shop.load(rows, "kept", job_id="load")
        shop.query("CREATE TABLE t AS SELECT id FROM kept")
        # Half an upload and a running statement are lost, and leave nothing.
        (home / "uploads" / "half.upload").write_bytes(b"x")
        (home / "parts" / "orphan.parquet").write_bytes(b"x")
        shop.job("INSERT INTO t SELECT a.id FROM kept AS a, kept AS b, kept AS c", job_id="lost")
        os.kill(child.pid, signal.SIGKILL)
        child.wait(SECONDS)
    with (
        running(home, "--memory-limit-mb", "256") as (child, address),
        client_of(address) as client,
    ):
        shop = Shop(client, "d")
        assert shop.rows("SELECT (SELECT COUNT(*) FROM t), (SELECT COUNT(*) FROM kept)") == [
            (1000, 1000)
        ]
        assert client.get_job("load").state == "DONE"
        lost = client.get_job("lost")
        assert (lost.state, lost.error_result["reason"]) == ("DONE", "backendError")
        assert list((home / "uploads").iterdir()) == []
        assert len(list((home / "parts").iterdir())) == 1
        second = subprocess.run(
            [sys.executable, "-m", "techmart_fast.standin", "--home", str(home)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert second.returncode == 1
        assert second.stderr.startswith("The stand-in's data in")
        assert request(address).status == 200
        child.send_signal(signal.SIGTERM)
        assert child.wait(SECONDS) == 0
        assert not (home / "server.json").exists()


def test_a_file_that_is_not_duckdbs_is_refused(new_home: Callable[[], Path]) -> None:
    home = process.prepared(new_home())
    (home / "warehouse.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(HomeInUseError):
        Storage(home, memory_bytes=256 * MIB)


def test_a_file_of_another_version_is_refused(new_home: Callable[[], Path]) -> None:
    home = process.prepared(new_home())
    with Storage(home, memory_bytes=256 * MIB) as storage, storage.cursor() as cursor:
        cursor.execute("INSERT INTO warehouse._standin.format VALUES (999)")
    with pytest.raises(HomeInUseError, match="another version of the stand-in wrote it"):
        Storage(home, memory_bytes=256 * MIB)


async def test_it_leaves_when_nobody_holds_the_users_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_GRACE_SECONDS", 0.01)
    monkeypatch.setattr(process, "_POLL_SECONDS", 0.01)
    lock = tmp_path / "users.lock"
    stop = asyncio.Event()
    with lock.open("w") as user:
        fcntl.flock(user, fcntl.LOCK_SH)
        waiting = asyncio.ensure_future(process.until_stopped(stop, lock))
        done, _ = await asyncio.wait({waiting}, timeout=0.1)
        assert not done
    async with asyncio.timeout(SECONDS):
        await waiting
        stop.set()
        await process.until_stopped(stop, lock)
        await process.until_stopped(stop, None)
