"""Which PostgreSQL server, database and role, and how far its identity is checked."""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from techmart_fast.errors import ConfigError
from techmart_fast.settings import PostgresSettings

SslMode = Literal["disable", "prefer", "require", "verify-ca", "verify-full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresTarget:
    """Where to connect. `host` is a server name, an address, or the folder of a Unix socket.

    `sslmode` has libpq's meanings; `None` chooses `verify-full` for a remote host and `prefer` for
    this machine. The password never appears in a `repr`.
    """

    host: str
    db: str
    user: str
    port: int = 5432
    password: SecretStr | None = None
    sslmode: SslMode | None = None
    root_certificates: Path | None = None

    @classmethod
    def from_settings(cls, settings: PostgresSettings) -> "PostgresTarget":
        """The target that the settings name.

        Raises:
            ConfigError: no host is set; then the embedded server gives the target.
        """
        if settings.host is None:
            raise ConfigError("No PostgreSQL host is set.", hint="Set POSTGRES_HOST.")
        return cls(
            host=settings.host,
            port=settings.port,
            db=settings.db,
            user=settings.user,
            password=settings.password,
            sslmode=settings.sslmode,
        )

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine (socket folder or loopback address)."""
        if self.host.startswith("/") or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def effective_sslmode(self) -> SslMode:
        """The mode in force: the one that is set, or the default for the kind of host."""
        return self.sslmode or ("prefer" if self.is_local else "verify-full")

    def __str__(self) -> str:
        """`user@host:port/db`, for messages."""
        return f"{self.user}@{self.host}:{self.port}/{self.db}"

    def ssl_context(self) -> ssl.SSLContext | SslMode:
        """What asyncpg takes as `ssl`: a mode word, or a context that verifies the server.

        Verification uses `root_certificates`, or the system's certificates.

        Raises:
            ConfigError: the certificates can't be read.
        """
        mode = self.effective_sslmode
        if mode in {"disable", "prefer", "require"}:
            return mode
        try:
            context = ssl.create_default_context(cafile=self.root_certificates)
        except OSError as error:
            raise ConfigError(
                f"Can't read the certificates in {self.root_certificates}: {error.strerror}."
            ) from None
        context.check_hostname = mode == "verify-full"
        return context
