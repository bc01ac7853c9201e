"""What the embedded parts offer to the rest: where they are reached, what runs, how to look."""

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from techmart_fast.errors import LocalError
from techmart_fast.local.complaints import advice, crash_in
from techmart_fast.settings import LocalSettings

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """How the embedded parts are run.

    Attributes:
        start_seconds: deadline for each part to be ready (a recovery after a crash included).
        stop_seconds: deadline for an orderly stop of each part; then it is made to stop.
        wait_seconds: deadline for another command that is just starting or stopping the parts.
        shared_buffers_bytes: page cache of the server.
        standin_memory_bytes: memory limit of the stand-in's engine; None: the stand-in's default.
        standin_port: port on 127.0.0.1; 0: any free one.
        standin_faults: whether tests may ask it for faults.
        postgres_bin: folder of other PostgreSQL binaries (14 or later) than the wheel's.
    """

    start_seconds: float = 120.0
    stop_seconds: float = 60.0
    wait_seconds: float = 180.0
    shared_buffers_bytes: int = 256 * MIB
    standin_memory_bytes: int | None = None
    standin_port: int = 0
    standin_faults: bool = False
    postgres_bin: Path | None = None

    @classmethod
    def from_settings(cls, settings: LocalSettings) -> "LocalOptions":
        """As the settings say, and for the rest by default."""
        return cls(start_seconds=settings.start_seconds, stop_seconds=settings.stop_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPostgres:
    """A running embedded server, and the role that loads.

    `socket_dir` is the folder of its Unix socket (the `host` of a client); `pid` is the
    postmaster's; `version` is e.g. `18.4`; `pgpass` is a password file that psql reads; what
    `log` says from byte `log_start` on was said since this command looked.
    """

    socket_dir: Path
    port: int
    database: str
    user: str
    password: SecretStr = field(repr=False)
    pid: int
    version: str
    bin_dir: Path
    pgpass: Path
    log: Path
    log_start: int

    def crash(self) -> LocalError | None:
        """Why the server crashed since, which clients are not told; None if it did not."""
        reason = crash_in(self.log, self.log_start)
        if not reason:
            return None
        hint = f"{advice(reason)} See {self.log}.".strip()
        return LocalError(f"The embedded PostgreSQL crashed: {reason}.", hint=hint)

    @property
    def psql_command(self) -> str:
        """A shell line that opens the database; it names the password file, not the password."""
        words = (
            str(self.bin_dir / "psql"),
            "-h",
            str(self.socket_dir),
            *(("-p", str(self.port)) if self.port != 5432 else ()),
            "-U",
            self.user,
            self.database,
        )
        return f"PGPASSFILE={shlex.quote(str(self.pgpass))} {shlex.join(words)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStandin:
    """A running BigQuery stand-in: `url` is `http://127.0.0.1:PORT`."""

    url: str
    pid: int
    token: SecretStr | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEndpoints:
    """The embedded parts that a command asked for; None for one that it did not."""

    postgres: LocalPostgres | None = None
    standin: LocalStandin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStatus:
    """What runs in a home now: `in_use` by a command, `pinned` by `local start`, or nothing."""

    home: Path
    postgres: LocalPostgres | None
    standin: LocalStandin | None
    in_use: bool
    pinned: bool
