"""File locks that die with their owner: who uses the embedded parts, and who changes them."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from techmart_fast.local.waiting import Deadline


class FileLock:
    """An open lock file. Every instance is an owner of its own, in one process too.

    The lock ends with `close()`, or with the process, however that ends. Entering gives nothing;
    leaving closes.
    """

    __slots__ = ("_fd",)

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go, and close the file. More than once does no harm."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            fcntl.flock(fd, fcntl.LOCK_UN)  # a forked child may hold a copy of the descriptor
            os.close(fd)

    def share(self, deadline: Deadline) -> bool:
        """Hold the lock together with others; False if the deadline passed first."""
        return self._wait(fcntl.LOCK_SH, deadline)

    def take(self, deadline: Deadline) -> bool:
        """Hold the lock alone; False if the deadline passed first."""
        return self._wait(fcntl.LOCK_EX, deadline)

    def try_take(self) -> bool:
        """Hold the lock alone if nobody else has it. On False a shared hold may be lost."""
        return self._try(fcntl.LOCK_EX)

    def release(self) -> None:
        """Hold nothing, and keep the file open."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _wait(self, kind: int, deadline: Deadline) -> bool:
        while not self._try(kind):
            if deadline.passed:
                return False
            deadline.pause()
        return True

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock of the file at `path` (a file that is not there is free)."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(fd)
