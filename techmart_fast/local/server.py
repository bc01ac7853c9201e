"""The embedded PostgreSQL as a guarded part: its settings, its socket, whether it answers."""

import os
import shutil
import socket
import stat
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

from techmart_fast.errors import LocalError
from techmart_fast.local.binaries import find_binaries
from techmart_fast.local.cluster import (
    DATABASE,
    ROLE,
    Cluster,
    ensure_cluster,
    server_environment,
    write_private,
)
from techmart_fast.local.endpoints import MIB, LocalOptions, LocalPostgres
from techmart_fast.local.guarded import Plan, Record
from techmart_fast.local.home import LocalHome, clear_errors
from techmart_fast.local.waiting import Deadline

PORT = 5432
SOCKET_PATH_BYTES = 107
"""Longest path of a Unix socket on Linux."""

_ANSWER_SECONDS = 2.0
_SHARED_MEMORY_BYTES = 256 * MIB
_FORCED_STOP_SECONDS = 10.0


class PostgresPart:
    """The embedded server of one home."""

    title = "embedded PostgreSQL"

    def __init__(self, home: LocalHome, options: LocalOptions) -> None:
        self._options = options
        self.folder = home.postgres
        self.log = home.logs / "postgres.log"
        self._cluster = Cluster(self.folder / "cluster")

    def prepare(self, deadline: Deadline) -> Plan:
        """Make what the server needs; returns how to start it.

        Raises:
            MissingExtraError: the wheel is not installed.
            LocalError: the data can't be made or used.
        """
        binaries = find_binaries(self._options.postgres_bin)
        cluster = ensure_cluster(self.folder, binaries, deadline)
        with clear_errors(f"Can't prepare the embedded PostgreSQL in {self.folder}"):
            # No process of this cluster is left (alive.lock): a pid file is a leftover.
            (cluster.data / "postmaster.pid").unlink(missing_ok=True)
            sockets = _socket_folder(self.folder)
            write_private(cluster.configuration, _configuration(self._options, sockets, cluster))
            write_private(cluster.folder / "pg_hba.conf", "local all all scram-sha-256\n")
        return Plan(
            folder=self.folder,
            log=self.log,
            command=(
                *(binaries.tool("postgres"), "-D", str(cluster.data)),
                *("-c", f"config_file={cluster.configuration}"),
            ),
            environment=server_environment(),
            stop=(
                ("SIGINT", self._options.stop_seconds),
                ("SIGQUIT", min(_FORCED_STOP_SECONDS, self._options.stop_seconds)),
                ("SIGKILL", _FORCED_STOP_SECONDS),
            ),
            unprivileged=True,
            owned=(cluster.data, sockets),
            remove=(sockets,),
            facts={
                "socket_dir": str(sockets),
                "version": binaries.version,
                "bin_dir": str(binaries.folder),
            },
        )

    def answers(self, record: Record) -> bool:
        """Whether the server takes connections now."""
        try:
            lines = (self._cluster.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        ready = len(lines) > 7 and lines[7].strip() == "ready" and lines[0].isdecimal()
        return ready and int(lines[0]) == record.server.pid and _says_hello(_socket_of(record))

    def endpoint(self, record: Record) -> LocalPostgres:
        """Where the running server is reached."""
        return LocalPostgres(
            socket_dir=_socket_of(record).parent,
            port=PORT,
            database=DATABASE,
            user=ROLE,
            password=self._cluster.password(ROLE),
            pid=record.server.pid,
            version=str(record.facts["version"]),
            bin_dir=Path(str(record.facts["bin_dir"])),
            pgpass=self._cluster.pgpass,
            log=self.log,
            log_start=self.log.stat().st_size if self.log.exists() else 0,
        )


def _configuration(options: LocalOptions, sockets: Path, cluster: Cluster) -> str:
    """The settings for loading on a small machine, durable as ever."""
    shared_memory = os.statvfs("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108
    room = shared_memory.f_bavail * shared_memory.f_frsize if shared_memory else 0
    values: dict[str, str | int] = {
        "listen_addresses": "",
        "port": PORT,
        "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "hba_file": str(cluster.folder / "pg_hba.conf"),
        "password_encryption": "scram-sha-256",
        "cluster_name": "techmart",
        "max_connections": 100,
        "shared_buffers": f"{options.shared_buffers_bytes // 1024}kB",
        "work_mem": "32MB",
        "maintenance_work_mem": "128MB",
        "effective_cache_size": "1GB",
        "random_page_cost": "1.1",
        "jit": "off",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        # Nothing replicates from here; `minimal` lets a load into a new table skip the log.
        "wal_level": "minimal",
        "max_wal_senders": 0,
        "wal_compression": "on",
        "min_wal_size": "256MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "checkpoint_completion_target": "0.9",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        # Statements, details and contexts may hold values of records: they are not logged.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_checkpoints": "off",
        "log_line_prefix": "%m [%p] ",
        # A container's /dev/shm is often too small for a parallel query.
        "dynamic_shared_memory_type": "posix" if room >= _SHARED_MEMORY_BYTES else "mmap",
    }
    return "".join(f"{name} = {_quoted(str(value))}\n" for name, value in values.items())


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _socket_folder(folder: Path) -> Path:
    """A new private folder for the socket: in the home, or elsewhere if its path can't be used."""
    inside = folder / "run"
    shutil.rmtree(inside, ignore_errors=True)
    if _usable(inside):
        inside.mkdir(mode=0o700)
        return inside
    for parent in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):  # noqa: S108
        if parent and _usable(Path(parent) / "techmart-12345678") and os.access(parent, os.W_OK):
            return Path(tempfile.mkdtemp(prefix="techmart-", dir=parent))
    raise LocalError(
        f"The path {folder} is too long for a Unix socket (or has a comma), and no shorter "
        "temporary folder is writable.",
        hint="Name another folder with TECHMART_HOME.",
    )


def _usable(folder: Path) -> bool:
    """Short enough for the kernel, and without the comma at which clients split host names."""
    path = os.fsencode(folder / f".s.PGSQL.{PORT}")
    return len(path) <= SOCKET_PATH_BYTES and b"," not in path


def _socket_of(record: Record) -> Path:
    return Path(str(record.facts["socket_dir"])) / f".s.PGSQL.{PORT}"


def _says_hello(path: Path) -> bool:
    """Ask for TLS, the shortest question of the protocol: a server that works says yes or no."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return False
        connection.settimeout(_ANSWER_SECONDS)
        connection.connect(str(path))
        connection.sendall(struct.pack("!II", 8, 80877103))
        return connection.recv(1) in {b"S", b"N"}
    return False
