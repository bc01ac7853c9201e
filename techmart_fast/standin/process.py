"""The process: command line, `server.json`, signals, and leaving when nobody needs it."""

import argparse
import asyncio
import fcntl
import json
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from aiohttp import web

from techmart_fast.standin import SERVICE_NAME
from techmart_fast.standin.app import build_app
from techmart_fast.standin.objects import Objects
from techmart_fast.standin.results import ResultStore
from techmart_fast.standin.runner import JobRunner
from techmart_fast.standin.service import Service, within
from techmart_fast.standin.storage import HomeInUseError, Storage

ADDRESS = "127.0.0.1"
MIB = 1 << 20
DEFAULT_MEMORY_BYTES = 1024 * MIB
_POLL_SECONDS = 2.0
_GRACE_SECONDS = 5.0
_CLOSE_SECONDS = 1.0


def arguments_of(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line, understood."""
    parser = argparse.ArgumentParser(
        prog="python -m techmart_fast.standin", description=SERVICE_NAME
    )
    parser.add_argument("--home", type=Path, required=True, help="folder of its data (0700)")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0: any free one")
    memory = parser.add_mutually_exclusive_group()
    memory.add_argument(
        "--memory-bytes", type=int, default=None, help="limit of the engine's memory"
    )
    memory.add_argument("--memory-limit-mb", type=int, default=None, help="the same, in MiB")
    parser.add_argument(
        "--users-lock", type=Path, help="leave when no process holds a shared lock on this file"
    )
    parser.add_argument("--keep", action="store_true", help="stay, whatever --users-lock says")
    parser.add_argument("--faults", action="store_true", help="let tests ask for faults")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Run until a signal; returns the exit code."""
    arguments = arguments_of(given)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    # It warns of syntax that it only keeps as text; that is refused here, with an error.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    limit = arguments.memory_bytes or (arguments.memory_limit_mb or 0) * MIB
    try:
        with Storage(
            prepared(arguments.home), memory_bytes=limit or DEFAULT_MEMORY_BYTES
        ) as storage:
            return asyncio.run(_serve(arguments, storage))
    except HomeInUseError as error:
        sys.stderr.write(f"The stand-in's data in {arguments.home} can't be opened: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"The stand-in can't run: {error.strerror or error}\n")
        return 1


def prepared(home: Path) -> Path:
    """The folder itself, made if it is missing, without what an earlier process left half-done."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("uploads", "spill"):
        shutil.rmtree(home / name, ignore_errors=True)
        (home / name).mkdir(mode=0o700)
    return home


async def _serve(arguments: argparse.Namespace, storage: Storage) -> int:
    home: Path = arguments.home
    # Before anything is started: a port that is taken is an error of its own, not of a group.
    listening = _listen(arguments.port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop.set)
    async with AsyncExitStack() as stack:
        jobs = await stack.enter_async_context(JobRunner(storage, on_broken=stop.set))
        service = Service(
            storage=storage,
            results=ResultStore(home / "results"),
            jobs=jobs,
            spool=home / "uploads",
            objects=Objects(home / "objects"),
        )
        app = build_app(service, with_faults=arguments.faults)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_SECONDS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.SockSite(runner, listening)
        await site.start()
        port = runner.addresses[0][1]
        record = home / "server.json"
        _write_record(record, port)
        stack.callback(record.unlink, missing_ok=True)
        lock = None if arguments.keep else arguments.users_lock
        await until_stopped(stop, lock)
        return 1 if jobs.is_broken else 0


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((ADDRESS, port))
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"port {port} of {ADDRESS}: {reason}") from None


def _write_record(path: Path, port: int) -> None:
    """Say where the stand-in is; whoever finds the file finds it whole."""
    record = {
        "pid": os.getpid(),
        "port": port,
        "version": SERVICE_NAME,
        "started": time.time(),
    }
    unfinished = path.with_suffix(".part")
    with suppress(FileNotFoundError):
        unfinished.unlink()
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(record, file)
    unfinished.replace(path)


async def until_stopped(stop: asyncio.Event, lock: Path | None) -> None:
    """Wait for a signal, or until nobody holds the users' lock any more."""
    if lock is None:
        await stop.wait()
        return
    seconds = _GRACE_SECONDS
    while not await within(seconds, stop):
        if _is_free(lock):
            return
        seconds = _POLL_SECONDS


def _is_free(lock: Path) -> bool:
    """Whether no other process holds a lock on a file."""
    try:
        handle = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True
