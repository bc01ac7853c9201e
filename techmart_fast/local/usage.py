"""One command's use of the embedded parts, from its first lock to its last. Blocking.

Two lock files order everything. Every command holds the users' lock, shared, for as long as it
uses a part. Whoever starts or stops something holds the control lock alone meanwhile, and stops
only when it could take the users' lock alone: then it is the last user. A command that dies is no
user any more at once; then the guardian of each part (guardian.py) does the same by itself.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from techmart_fast.errors import LocalError
from techmart_fast.local.complaints import advice, complaint_in
from techmart_fast.local.guarded import (
    Plan,
    Record,
    halt,
    launch,
    lives,
    read_record,
    rotate,
)
from techmart_fast.local.home import LocalHome, clear_errors
from techmart_fast.local.locks import FileLock
from techmart_fast.local.waiting import Deadline

_ANSWER_SECONDS = 15.0
_STOP_MARGIN_SECONDS = 25.0


class Part(Protocol):
    """One embedded part: how to start it, and whether it works."""

    title: str
    folder: Path
    log: Path

    def prepare(self, deadline: Deadline) -> Plan:
        """Make what it needs, and say how to start it."""

    def answers(self, record: Record) -> bool:
        """Whether the running part of `record` takes requests now."""


class Usage:
    """The use of `wanted` parts; `parts` are all that the home may have running.

    The methods block and may be called from any one thread at a time; `abandon` from any.
    """

    def __init__(
        self,
        home: LocalHome,
        *,
        parts: Sequence[Part],
        start_seconds: float,
        stop_seconds: float,
        wait_seconds: float,
    ) -> None:
        self._home = home
        self._parts = parts
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._wait_seconds = wait_seconds
        self._one_at_a_time = threading.Lock()
        self._abandoned = threading.Event()
        self._users: FileLock | None = None

    def abandon(self) -> None:
        """End every wait of `enter` now, and refuse to begin."""
        self._abandoned.set()

    def enter(self, wanted: Sequence[Part]) -> list[Record]:
        """Become a user of the wanted parts; start those that do not run.

        Raises:
            LocalError, MissingExtraError: a part can't be started or does not answer.
            StoppedWaitingError: `abandon` was called.
        """
        with self._one_at_a_time:
            self._home.create()
            with self._control(self._deadline(self._wait_seconds)):
                with self._explained():
                    self._users = FileLock(self._home.users_lock)
                if not self._users.share(self._deadline(self._wait_seconds)):
                    raise LocalError("Another command holds the embedded parts for itself.")
                if not any(lives(part.folder) for part in self._parts):
                    self._home.pinned.unlink(missing_ok=True)  # it was for what ran before a crash
                launched = [self._start(part) for part in wanted]
                return [
                    self._await(part, record, seen)
                    for part, (record, seen) in zip(wanted, launched, strict=True)
                ]

    def leave(self) -> None:
        """Be no user any more; as the last one, stop what runs unless it is pinned.

        Raises:
            LocalError: a part can't be stopped.
        """
        with self._one_at_a_time:
            if self._users is None:
                return
            with self._users, self._control(Deadline(self._wait_seconds)):
                if self._users.try_take() and not self._home.pinned.exists():
                    self._halt_all()
            self._users = None

    def pin(self) -> None:
        """Let the parts stay after the last user."""
        with self._explained():
            self._home.pinned.touch(mode=0o600)

    def unpin(self) -> bool:
        """Let the parts go; stop them now if nobody uses them, and tell whether that was so."""
        with ExitStack() as held:
            held.enter_context(self._control(Deadline(self._wait_seconds)))
            with self._explained():
                users = held.enter_context(FileLock(self._home.users_lock))
                self._home.pinned.unlink(missing_ok=True)
            unused = users.try_take()
            if unused:
                self._halt_all()
            return unused

    def _start(self, part: Part) -> tuple[Record, int]:
        """The record of a running or just launched part, and where its log began then."""
        record = self._running(part)
        if record is None:
            deadline = self._deadline(self._stop_seconds)
            halt(part.folder, deadline)  # whatever is left of an earlier one
            plan = part.prepare(self._deadline(self._start_seconds))
            Deadline(0, self._abandoned).pause()
            begins = rotate(part.log)
            return launch(self._home, plan), begins
        return record, part.log.stat().st_size

    def _running(self, part: Part) -> Record | None:
        """The record of a part that answers; None if there is none, or it is ours to clear away."""
        answer = self._deadline(min(_ANSWER_SECONDS, self._start_seconds))
        patience = self._deadline(self._start_seconds)
        while lives(part.folder):
            record = read_record(part.folder)
            if record is None or not record.server.lives:
                return None
            if part.answers(record):
                return record
            if answer.passed and self._alone():
                return None
            if patience.passed:
                raise LocalError(
                    f"The {part.title} (process {record.server.pid}) does not answer, and another "
                    "command uses it.",
                    hint=f"See {part.log}, and end that command.",
                )
            patience.pause()
        return None

    def _alone(self) -> bool:
        """Whether this command is the only user (it stays one)."""
        if self._users is None:
            return False
        alone = self._users.try_take()
        self._users.share(self._deadline(self._wait_seconds))
        return alone

    def _await(self, part: Part, record: Record, seen: int) -> Record:
        deadline = self._deadline(self._start_seconds)
        while not part.answers(record):
            if not record.server.lives:
                reason = complaint_in(part.log, seen) or "it ended at once"
                raise LocalError(
                    f"The {part.title} did not start: {reason}.",
                    hint=f"{advice(reason)} See {part.log}.".strip(),
                )
            if deadline.passed:
                raise LocalError(
                    f"The {part.title} was not ready after {self._start_seconds:g} seconds.",
                    hint=f"See {part.log}, or allow more with TECHMART_LOCAL_START_SECONDS.",
                )
            deadline.pause()
        return record

    def _halt_all(self) -> None:
        deadline = Deadline(self._stop_seconds + _STOP_MARGIN_SECONDS)
        for part in self._parts:
            record = read_record(part.folder)
            if record is not None:
                record.ask_to_stop()
        for part in self._parts:
            halt(part.folder, deadline)

    @contextmanager
    def _control(self, deadline: Deadline) -> Iterator[None]:
        with self._explained():
            control = FileLock(self._home.control_lock)
        with control:
            if not control.take(deadline):
                raise LocalError(
                    "Another command has been starting or stopping the embedded parts for "
                    f"{self._wait_seconds:.0f} seconds.",
                    hint="Wait for it, or end it, and try again.",
                )
            yield

    def _explained(self) -> AbstractContextManager[None]:
        return clear_errors(f"Can't use the folder {self._home.path} (TECHMART_HOME)")

    def _deadline(self, seconds: float) -> Deadline:
        return Deadline(seconds, self._abandoned)
