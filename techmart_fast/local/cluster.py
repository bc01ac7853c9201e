"""The embedded server's data: made once, whole or not at all, with its role and database."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from techmart_fast.errors import LocalError
from techmart_fast.local import guardian
from techmart_fast.local.binaries import PostgresBinaries
from techmart_fast.local.complaints import advice, complaint
from techmart_fast.local.home import clear_errors
from techmart_fast.local.waiting import Deadline, StoppedWaitingError

SUPERUSER = "postgres"
ROLE = "techmart"
DATABASE = "techmart"

_STAGING = "cluster.new-"
_SET_SINCE_MAJOR = 15


@dataclass(frozen=True, slots=True)
class Cluster:
    """A complete data folder and, beside it, the passwords (psql's format, 0600)."""

    folder: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.folder / "data"

    @property
    def pgpass(self) -> Path:
        """The password file, one line for each role."""
        return self.folder / "pgpass"

    @property
    def configuration(self) -> Path:
        """The settings file, written anew at every start."""
        return self.folder / "postgresql.conf"

    @property
    def major(self) -> int:
        """Major version that made the data."""
        return int((self.data / "PG_VERSION").read_text().strip())

    def password(self, role: str) -> SecretStr:
        """The password of `role`.

        Raises:
            LocalError: the password file is missing or was changed.
        """
        with clear_errors(f"Can't read the password file {self.pgpass}"):
            for line in self.pgpass.read_text(encoding="ascii").splitlines():
                *_, name, password = line.split(":")
                if name == role:
                    return SecretStr(password)
        raise LocalError(f"The password file {self.pgpass} has no line for {role}.")


def ensure_cluster(parent: Path, binaries: PostgresBinaries, deadline: Deadline) -> Cluster:
    """The cluster in `parent`; made now if it isn't there, in a folder that is renamed at the end.

    Raises:
        LocalError: initdb failed, or the data was made by another major version.
    """
    cluster = Cluster(parent / "cluster")
    with clear_errors(f"Can't make the embedded database in {parent}"):
        for unfinished in parent.glob(f"{_STAGING}*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        if not cluster.folder.exists():
            _make(cluster, binaries, deadline)
        if cluster.major != binaries.major:
            raise LocalError(
                f"The data in {cluster.folder} was made by PostgreSQL {cluster.major}, "
                f"and the server is {binaries.version}.",
                hint="Move that folder away and load the feeds again, or install that version.",
            )
    return cluster


def server_environment() -> dict[str, str]:
    """The environment of every PostgreSQL program: none of the user's PG* variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def _make(cluster: Cluster, binaries: PostgresBinaries, deadline: Deadline) -> None:
    staging = Cluster(Path(tempfile.mkdtemp(prefix=_STAGING, dir=cluster.folder.parent)))
    try:
        passwords = {role: secrets.token_urlsafe(24) for role in (SUPERUSER, ROLE)}
        lines = "".join(f"*:*:*:{role}:{password}\n" for role, password in passwords.items())
        write_private(staging.pgpass, lines)
        only_password = staging.folder / "password"
        write_private(only_password, passwords[SUPERUSER])
        initdb = [
            *(binaries.tool("initdb"), "-D", str(staging.data), "-U", SUPERUSER),
            *("--auth=scram-sha-256", f"--pwfile={only_password}", "--encoding=UTF8"),
            *("--no-locale", "--data-checksums", "--no-instructions"),
        ]
        _run_ordinary(initdb, b"", server_environment(), deadline)
        only_password.unlink()
        _run_ordinary(
            [
                *(binaries.tool("postgres"), "--single", "-D", str(staging.data)),
                *("-c", "log_min_error_statement=panic", "-c", "log_min_messages=error"),
                *("-c", "log_checkpoints=off", SUPERUSER),
            ],
            _first_statements(binaries, passwords[ROLE]).encode(),
            server_environment(),
            deadline,
        )
        _sync(staging.folder)
        staging.folder.rename(cluster.folder)
        _sync(cluster.folder.parent)
    finally:
        shutil.rmtree(staging.folder, ignore_errors=True)


def _first_statements(binaries: PostgresBinaries, password: str) -> str:
    """SQL of a single-user session, one statement a line. The role is no superuser."""
    statements = [
        f"CREATE ROLE {ROLE} LOGIN PASSWORD '{password}'",
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
    ]
    if binaries.major >= _SET_SINCE_MAJOR:
        statements.append(f"GRANT SET ON PARAMETER session_replication_role TO {ROLE}")
    return "\n".join(statements) + "\n"


def _run_ordinary(
    command: list[str], given: bytes, environment: Mapping[str, str], deadline: Deadline
) -> None:
    """Run a PostgreSQL program to its end, not as root.

    It dies with this process, and is killed when the deadline passes or the wait is abandoned.
    """
    name = Path(command[0]).name
    run = [sys.executable, "-I", "-S", guardian.__file__, "run", str(os.getpid()), "--", *command]
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as output:
        stdin.write(given)
        stdin.seek(0)
        with subprocess.Popen(
            run,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        ) as process:
            try:
                while process.poll() is None:
                    if deadline.passed:
                        raise LocalError(
                            f"{name} of the embedded PostgreSQL took too long.",
                            hint="Allow more with TECHMART_LOCAL_START_SECONDS.",
                        )
                    deadline.pause()
            except (LocalError, StoppedWaitingError):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        output.seek(0)
        said = output.read()
    # A single-user session goes on after an error, and ends well.
    if process.returncode != 0 or any(word in said for word in (b"ERROR:", b"FATAL:")):
        reason = complaint(said) or f"it ended with status {process.returncode}"
        raise LocalError(
            f"{name} of the embedded PostgreSQL failed: {reason}.", hint=advice(reason)
        )


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read, durably."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
