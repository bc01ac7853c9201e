"""Servers under a guardian: starting one, seeing whether it lives, ending it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from techmart_fast.errors import LocalError
from techmart_fast.local import guardian
from techmart_fast.local.complaints import complaint
from techmart_fast.local.home import LocalHome, clear_errors
from techmart_fast.local.locks import is_free
from techmart_fast.local.waiting import Deadline

_SCRIPT = str(Path(guardian.__file__))
_LAUNCH_SECONDS = 60.0
_ORPHAN_SECONDS = 2.0
_FORCED_SECONDS = 10.0
_LOG_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a guardian starts and stops one server.

    Attributes:
        folder: where the server runs; holds its lock and its record.
        stop: signals in order, each with the seconds that the server has after it.
        unprivileged: the server refuses to run as root.
        owned: folders that must belong to the user the server runs as.
        remove: folders to delete when the server has ended.
        facts: what other commands need to know of the running server; no secrets.
    """

    folder: Path
    log: Path
    command: tuple[str, ...]
    environment: Mapping[str, str]
    stop: tuple[tuple[str, float], ...]
    unprivileged: bool = False
    owned: tuple[Path, ...] = ()
    remove: tuple[Path, ...] = ()
    facts: Mapping[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessName:
    """A process for good: its number and when it began, as numbers are used again."""

    pid: int
    started_ticks: int

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self.started_ticks != 0 and self.started_ticks == guardian.started_ticks(self.pid)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self.lives:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a guardian wrote down about the server that it runs."""

    guardian: ProcessName
    server: ProcessName
    facts: Mapping[str, str | int]
    remove: tuple[Path, ...]

    def ask_to_stop(self) -> None:
        """Tell the guardian to stop its server in good order. More than once does no harm."""
        self.guardian.send(signal.SIGTERM)


def alive_lock(folder: Path) -> Path:
    """The lock file that is held until every process of the folder's server has ended."""
    return folder / "alive.lock"


def read_record(folder: Path) -> Record | None:
    """The record in `folder`, whether or not its server still lives; None without one."""
    try:
        return _parse_record((folder / "running.json").read_bytes())
    except OSError:
        return None


def lives(folder: Path) -> bool:
    """Whether any process of the folder's server, or its guardian, is still there."""
    return not is_free(alive_lock(folder))


def launch(home: LocalHome, plan: Plan) -> Record:
    """Have a guardian start the server; returns at once, before the server is ready.

    Raises:
        LocalError: it can't even be started.
    """
    words = {name: _plain(value) for name, value in asdict(plan).items()}
    words |= {
        "alive": str(alive_lock(plan.folder)),
        "record": str(plan.folder / "running.json"),
        "control": str(home.control_lock),
        "users": str(home.users_lock),
        "pinned": str(home.pinned),
    }
    with clear_errors(f"Can't start {plan.command[0]}"):
        (plan.folder / "running.json").unlink(missing_ok=True)
        try:
            result = subprocess.run(
                [sys.executable, "-I", "-S", _SCRIPT, "guard"],
                input=json.dumps(words).encode(),
                capture_output=True,
                check=False,
                timeout=_LAUNCH_SECONDS,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise LocalError(f"Starting {plan.command[0]} took too long.") from None
    record = _parse_record(result.stdout)
    if result.returncode != 0 or record is None:
        raise LocalError(
            f"Can't start {plan.command[0]}: {complaint(result.stderr) or 'no reason given'}.",
            hint=f"See {plan.log}.",
        )
    return record


def halt(folder: Path, deadline: Deadline) -> None:
    """End the folder's server in good order, or by force once the deadline has passed.

    A server whose guardian was killed has had its stop signal from the kernel already.

    Raises:
        LocalError: processes of it are left even so.
    """
    asked: set[ProcessName] = set()
    orphaned = Deadline(_ORPHAN_SECONDS)
    while lives(folder) and not deadline.passed:
        record = read_record(folder)
        if record is not None and record.guardian.lives:
            if record.guardian not in asked:
                asked.add(record.guardian)
                record.ask_to_stop()
        elif (record is None or not record.server.lives) and orphaned.passed:
            break  # what is left has neither guardian nor postmaster to end it
        deadline.pause()
    if lives(folder):
        _kill_all(folder)
    forced = Deadline(_FORCED_SECONDS)
    while lives(folder):
        if forced.passed:
            raise LocalError(
                f"Processes of the server in {folder} can't be stopped.",
                hint="Look for them with ps, end them, and try again.",
            )
        forced.pause()
    _tidy(folder)


def rotate(log: Path) -> int:
    """Put a log that has grown large aside, keeping one; returns where the next line will begin."""
    if not log.exists():
        return 0
    if log.stat().st_size > _LOG_BYTES:
        log.rename(log.with_suffix(".log.1"))
        return 0
    return log.stat().st_size


def _parse_record(text: bytes) -> Record | None:
    try:
        values = json.loads(text)
        return Record(
            guardian=ProcessName(**values["guardian"]),
            server=ProcessName(**values["server"]),
            facts=values["facts"],
            remove=tuple(Path(folder) for folder in values["remove"]),
        )
    except (ValueError, TypeError, KeyError):
        return None


def _kill_all(folder: Path) -> None:
    """Kill the processes that the record names, and servers' children left in the folder."""
    record = read_record(folder)
    if record is not None:
        record.guardian.send(signal.SIGKILL)
        record.server.send(signal.SIGKILL)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "postgres" and Path(process.cwd()).is_relative_to(folder):
                process.kill()


def _tidy(folder: Path) -> None:
    record = read_record(folder)
    (folder / "running.json").unlink(missing_ok=True)
    for left in record.remove if record else ():
        _remove_folder(left)


def _remove_folder(folder: Path) -> None:
    with suppress(OSError):
        for entry in folder.iterdir():
            entry.unlink()
        folder.rmdir()


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
