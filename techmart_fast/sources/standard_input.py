"""Copies standard input into a private file once, so that it is a source like any other."""

import os
import shutil
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from techmart_fast.errors import SourceNotFoundError, SpoolError

_COPY_BYTES = 1 << 20


def spool_standard_input(stream: BinaryIO, folder: Path) -> Path:
    """Copy all of `stream` to a new file (0600) in `folder` and return its path.

    The caller removes the file when it is no longer needed. Memory stays at 1 MiB.

    Raises:
        SourceNotFoundError: `stream` is a terminal, so nothing was piped in.
        SpoolError: the copy can't be written, for example as the disk is full; nothing is left.
    """
    if stream.isatty():
        raise SourceNotFoundError(
            "'-' reads standard input, but nothing is piped into it.", hint="Name a file instead."
        )
    path = folder / f"stdin-{uuid4().hex}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _not_copied(path, error) from error
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as copy:
            shutil.copyfileobj(stream, copy, _COPY_BYTES)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _not_copied(path, error) from error
        raise
    return path


def _not_copied(path: Path, error: OSError) -> SpoolError:
    return SpoolError(
        f"Can't copy standard input to {path}: {error.strerror}.",
        hint="Free some space or choose another home folder.",
    )
