"""Reads a secret from where the contract says it is, and makes the header of it."""

import base64
import os
from pathlib import Path

from techmart_fast.contract.endpoint import ApiKey, Auth, Basic, NoAuth
from techmart_fast.errors import ConfigError

_MOST_BYTES = 16 << 10


class Secret:
    """The header that proves who asks. It shows its value to nobody but `header`."""

    __slots__ = ("_name", "_value")

    def __init__(self, name: str, value: str) -> None:
        self._name = name
        self._value = value

    def __repr__(self) -> str:
        return f"<Secret in {self._name}>"

    def header(self) -> dict[str, str]:
        """Name and value."""
        return {self._name: self._value}


def read_secret(auth: Auth) -> Secret | None:
    """The secret of an endpoint; None if it needs none. Blocking, as it may read a file.

    Raises:
        ConfigError: the secret is not there, or can't stand in a header.
    """
    if isinstance(auth, NoAuth):
        return None
    if auth.environment is not None:
        place = f"the environment variable {auth.environment}"
        value = os.environ.get(auth.environment, "")
    else:
        place = f"the file {auth.file}"
        value = _read(Path(str(auth.file)).expanduser(), place)
    # Editors end files with a line end.
    value = value.rstrip("\r\n")
    if not value:
        raise ConfigError(
            f"The secret for the service is not in {place}.",
            hint="Put it there, or name another place in [… .auth] of the contract.",
        )
    if isinstance(auth, Basic):
        pair = f"{auth.user}:{value}".encode()
        return Secret("Authorization", f"Basic {base64.b64encode(pair).decode()}")
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise ConfigError(
            f"The secret in {place} has characters that can't stand in a header.",
            hint="It must be one line of visible ASCII characters.",
        )
    if isinstance(auth, ApiKey):
        return Secret(auth.header, value)
    return Secret("Authorization", f"Bearer {value}")


def _read(path: Path, place: str) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode()
    except OSError as error:
        raise ConfigError(f"Can't read the secret in {place}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"The secret in {place} is not UTF-8 text.") from None
