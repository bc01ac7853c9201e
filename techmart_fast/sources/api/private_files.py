"""Files and folders that only their owner may read; durable writing; a lock that dies with us."""

import contextlib
import fcntl
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from techmart_fast.errors import SourceError, SpoolError

_LOCK = "lock"


@contextlib.contextmanager
def told(place: Path) -> Iterator[None]:
    """Turn what the disk says into the project's error."""
    try:
        yield
    except OSError as error:
        raise SpoolError(
            f"Can't store the pages of a service in {place}: {error.strerror or error}.",
            hint="Check the disk's free space and the folder, then run again.",
            transient=True,
        ) from None


def locked(place: Path) -> io.FileIO:
    """The lock of a folder (0700), which is made if it is not there; closing lets it go.

    Raises:
        SourceError: another process has it.
    """
    while True:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            lock = io.FileIO(place / _LOCK, "wb", opener=_opener)
        except FileNotFoundError:
            continue  # its owner removed the folder just now
        if not _take(lock):
            lock.close()
            raise SourceError(
                "Another process fetches from the same endpoint now.",
                hint="Wait for it, or stop it.",
                transient=True,
            )
        # The folder may have been removed, and made anew, before the lock was taken.
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(lock.fileno()).st_ino == (place / _LOCK).stat().st_ino:
                return lock
        lock.close()


def try_lock(place: Path) -> io.FileIO | None:
    """The lock of a folder that is there; None if another process has it, or it has gone."""
    try:
        lock = io.FileIO(place / _LOCK, "rb+")
    except OSError:
        return None
    if _take(lock):
        return lock
    lock.close()
    return None


def _take(lock: io.FileIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except BaseException:
        lock.close()
        raise
    return True


def write_whole(path: Path, data: bytes) -> None:
    """Write a small file at once, durably: it has its old content or the new one."""
    partial = path.with_name(f".{path.name}.partial")
    with private(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def private(path: Path, mode: str) -> BinaryIO:
    """Open a file that nobody else may read (0600), in a binary mode."""
    return cast("BinaryIO", open(path, mode, opener=_opener))


def append(path: Path) -> io.FileIO:
    """Open a private file for appending and reading, without a buffer that could fail to close."""
    return io.FileIO(path, "a+b", opener=_opener)


def write_all(file: io.FileIO, data: bytes) -> None:
    """Write all bytes: a full disk may take some of them before it says so."""
    with memoryview(data) as view:
        done = 0
        while done < len(view):
            done += file.write(view[done:]) or 0


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
