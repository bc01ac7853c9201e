"""The one folder that holds all local state of the loader."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from techmart_fast.errors import LocalError, WrongHomeError

_PRIVATE = 0o700


class LocalHome:
    """TECHMART_HOME: `path` and its subfolders, all private to their owner (0700).

    Making one touches nothing; `create()` makes the folders that are missing.
    """

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()

    def __repr__(self) -> str:
        return f"LocalHome({str(self.path)!r})"

    @property
    def postgres(self) -> Path:
        """The embedded server's data, record and password file."""
        return self.path / "postgres"

    @property
    def is_unused(self) -> bool:
        """Whether there has never been an embedded server here."""
        return not (self.postgres.is_dir() and any(self.postgres.iterdir()))

    @property
    def standin(self) -> Path:
        """The BigQuery stand-in's database and record."""
        return self.path / "standin"

    @property
    def spool(self) -> Path:
        """Parquet files that wait for the warehouse, and copies of standard input."""
        return self.path / "spool"

    @property
    def fetches(self) -> Path:
        """Pages and records that come from APIs, until they are loaded."""
        return self.path / "fetches"

    @property
    def reports(self) -> Path:
        """Reports of past runs."""
        return self.path / "reports"

    @property
    def logs(self) -> Path:
        """Logs of the embedded parts."""
        return self.path / "logs"

    @property
    def users_lock(self) -> Path:
        """Held, shared, by every command that uses an embedded part, for as long as it does."""
        return self.path / "users.lock"

    @property
    def control_lock(self) -> Path:
        """Held, exclusively, by whoever is just starting or stopping the embedded parts."""
        return self.path / "control.lock"

    @property
    def pinned(self) -> Path:
        """Exists while the embedded parts shall stay without a user."""
        return self.path / "pinned"

    def create(self) -> "LocalHome":
        """Make the folders, private to the owner.

        A folder that was there before is made private when it is empty or was a home before; one
        with other things in it keeps its mode at first, and the subfolders are private.

        Raises:
            LocalError: the home belongs to someone else, others may write to it, or it can't be
                made or written to.
        """
        with clear_errors(f"Can't use the folder {self.path} (TECHMART_HOME)"):
            self.path.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            self._make_private()
            for folder in (
                self.postgres,
                self.standin,
                self.spool,
                self.fetches,
                self.reports,
                self.logs,
            ):
                folder.mkdir(mode=_PRIVATE, exist_ok=True)
        return self

    def _make_private(self) -> None:
        found = self.path.stat()
        if found.st_uid != os.geteuid():
            raise WrongHomeError(
                f"The folder {self.path} (TECHMART_HOME) belongs to another user.",
                hint="Name a folder of your own.",
            )
        if stat.S_IMODE(found.st_mode) == _PRIVATE:
            return
        names = {entry.name for entry in os.scandir(self.path)}
        if not names or self.control_lock.name in names:
            self.path.chmod(_PRIVATE)
        elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise WrongHomeError(
                f"Other users may write to the folder {self.path} (TECHMART_HOME).",
                hint=f"Name another folder, or close this one: chmod 700 {self.path}",
            )


@contextmanager
def clear_errors(what: str) -> Iterator[None]:
    """Turn an OSError into a LocalError that begins with `what` and says what to do."""
    try:
        yield
    except OSError as error:
        kind: type[LocalError] = WrongHomeError
        match error.errno:
            case errno.EACCES | errno.EPERM | errno.EROFS:
                hint = "Name a folder that you may write to with TECHMART_HOME."
            case errno.ENOTDIR | errno.EEXIST | errno.ENOENT:
                hint = "Something in the path is not a folder; name another one with TECHMART_HOME."
            case errno.ENOSPC | errno.EDQUOT:
                kind = LocalError
                hint = "Free some space, or name a folder on another disk with TECHMART_HOME."
            case _:
                kind, hint = LocalError, ""
        raise kind(f"{what}: {error.strerror}.", hint=hint) from error
