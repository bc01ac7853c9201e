"""Files and folders that only their owner may read; durable writing; a lock that dies with us."""

import contextlib
import fcntl
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from techmart_fast.errors import SourceError, SpoolError


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
        path = place / "lock"
        try:
            lock = io.FileIO(path, "wb", opener=_opener)
        except FileNotFoundError:
            continue  # its owner removed the folder just now
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The folder may have been removed, and made anew, before the lock was there.
            if os.fstat(lock.fileno()).st_ino == path.stat().st_ino:
                return lock
        except BlockingIOError:
            lock.close()
            raise SourceError(
                "Another process fetches from the same endpoint now.",
                hint="Wait for it, or stop it.",
                transient=True,
            ) from None
        except FileNotFoundError:
            pass
        except BaseException:
            lock.close()
            raise
        lock.close()


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


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
