"""Copies standard input into a private file once, so that it is a source like any other."""

import fcntl
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast
from uuid import uuid4

from techmart_fast.errors import SourceNotFoundError, SpoolError

STANDARD_INPUT = "-"
STANDARD_INPUT_NAME = "<stdin>"

_COPY_BYTES = 1 << 20
_HEARTBEAT_SECONDS = 0.1
_PREFIX = "stdin-"


@contextmanager
def copied_standard_input(
    folder: Path, *, heartbeat: Callable[[], None], stream: io.BufferedIOBase | None = None
) -> Iterator[Path]:
    """A copy (0600) of all that comes in, in a new file in `folder`; it goes when the context ends.

    `heartbeat` is called several times a second, even while nothing comes; what it raises ends the
    copying. `stream` replaces the process's standard input. A copy that a killed process left
    behind is removed, too. Memory stays at 1 MiB.

    Raises:
        SourceNotFoundError: nothing was piped in: it is a terminal, or closed.
        SpoolError: the copy can't be written, for example as the disk is full; nothing is left.
    """
    if stream is None and sys.stdin is not None:
        stream = cast("io.BufferedReader", sys.stdin.buffer)
    if stream is None or stream.isatty():
        raise SourceNotFoundError(
            "'-' reads standard input, but nothing is piped into it.", hint="Name a file instead."
        )
    path = folder / f"{_PREFIX}{uuid4().hex}"
    try:
        copy = _create(path)
    except OSError as error:
        raise _not_copied(path, error) from error
    # The lock on the open copy says that its process lives.
    with copy:
        try:
            try:
                for piece in _pieces(stream, heartbeat):
                    copy.write(piece)
            except OSError as error:
                raise _not_copied(path, error) from error
            yield path
        finally:
            path.unlink(missing_ok=True)


def remove_abandoned_copies(folder: Path) -> None:
    """Remove copies in `folder` whose processes were killed; what can't be removed stays."""
    with suppress(OSError), _alone_in(folder):
        _remove_orphans(folder)


def _create(path: Path) -> io.FileIO:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Under the folder's lock nobody sees a new copy before it is locked.
    with _alone_in(path.parent):
        _remove_orphans(path.parent)
        copy = io.FileIO(path, "xb", opener=_private)
        fcntl.flock(copy, fcntl.LOCK_EX)
    return copy


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _remove_orphans(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*"):
        with suppress(BlockingIOError), path.open("rb") as copy:
            fcntl.flock(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _pieces(stream: io.BufferedIOBase, heartbeat: Callable[[], None]) -> Iterator[bytes]:
    descriptor = _descriptor(stream)
    while True:
        heartbeat()
        if (
            descriptor is not None
            and not select.select([descriptor], [], [], _HEARTBEAT_SECONDS)[0]
        ):
            continue
        # One read of what is there: the buffer is empty whenever the descriptor is waited for.
        piece = stream.read1(_COPY_BYTES)
        if not piece:
            return
        yield piece


def _descriptor(stream: io.BufferedIOBase) -> int | None:
    try:
        return stream.fileno()
    except io.UnsupportedOperation:
        return None  # bytes in memory: never to be waited for


def _not_copied(path: Path, error: OSError) -> SpoolError:
    return SpoolError(
        f"Can't copy standard input to {path}: {error.strerror}.",
        hint="Free some space or choose another home folder.",
    )
