"""The folder of a run in the spool, and the files in there that no batch committed."""

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from techmart_fast.errors import SpoolError
from techmart_fast.postgres import Lease, OwedFiles, PostgresSink

_REHEARSAL, _LOCK = "rehearsal-", "lock"


def make_run_folder(spool: Path, run_id: UUID) -> Path:
    """Make the folder (0700) for a run's files, durable when this returns.

    Raises:
        SpoolError: it can't be made.
    """
    folder = spool / str(run_id)
    try:
        folder.mkdir(mode=0o700)
        handle = os.open(spool, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise SpoolError(
            f"Can't make the spool folder {folder}: {error.strerror or error}.",
            hint="Check the disk's free space and TECHMART_HOME, then run again.",
            transient=True,
        ) from None
    return folder


@contextmanager
def rehearsal_folder(spool: Path) -> Iterator[Path]:
    """A folder (0700) of this process's own, gone at the end; those of killed processes go, too.

    Raises:
        SpoolError: it can't be made.
    """
    for path in spool.glob(f"{_REHEARSAL}*"):
        # Whose lock is free has no owner any more.
        with suppress(OSError), (path / _LOCK).open("rb") as orphan:
            fcntl.flock(orphan, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
    try:
        folder = Path(tempfile.mkdtemp(prefix=_REHEARSAL, dir=spool))
        lock = (folder / _LOCK).open("wb")
    except OSError as error:
        raise SpoolError(
            f"Can't make a folder in {spool}: {error.strerror or error}.",
            hint="Check the disk's free space and TECHMART_HOME.",
        ) from None
    try:
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def remove_leftovers(postgres: PostgresSink, lease: Lease, spool: Path) -> None:
    """Remove files of this run and of earlier ones that the outbox does not need.

    A killed run leaves those that it wrote and did not commit. It never will: this run's lease
    shuts it out. Folders of runs that this database does not know may be another database's, so
    they stay.

    Raises:
        LeaseHeldError: the lease is lost; nothing is removed.
    """
    # Looked at before PostgreSQL confirms the lease: a run that takes it over comes later.
    folders = await asyncio.to_thread(_run_folders, spool)
    if folders:
        owed = await postgres.owed_files(lease, folders)
        await asyncio.to_thread(_remove, folders, owed)


def _run_folders(spool: Path) -> dict[UUID, Path]:
    folders = {}
    for path in spool.iterdir():
        with suppress(ValueError):
            folders[UUID(path.name)] = path
    return folders


def _remove(folders: Mapping[UUID, Path], owed: OwedFiles) -> None:
    # By their names, which are unique: the home may be reached by another path than then.
    needed = {Path(path).name for path in owed.paths}
    for run_id in owed.runs:
        folder = folders[run_id]
        # What can't be removed now is tried again by the next run.
        with suppress(OSError):
            for path in folder.iterdir():
                if path.name not in needed:
                    path.unlink()
            folder.rmdir()
