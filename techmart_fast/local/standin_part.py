"""The BigQuery stand-in as a guarded part: its command line, its record, whether it answers."""

import importlib.util
import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr

from techmart_fast.errors import MissingExtraError
from techmart_fast.local.binaries import INSTALL_HINT
from techmart_fast.local.endpoints import LocalOptions, LocalStandin
from techmart_fast.local.guarded import Plan, Record
from techmart_fast.local.home import LocalHome
from techmart_fast.local.waiting import Deadline

ADDRESS = "127.0.0.1"

_PROGRAM = "techmart_fast.standin"
_NEEDED = ("duckdb", "sqlglot")
_ROOT = Path(__file__).parents[2]
_ANSWER_SECONDS = 2.0
_FORCED_STOP_SECONDS = 10.0


class StandinPart:
    """The stand-in of one home. It binds a free port and writes it to `server.json` when ready."""

    title = "BigQuery stand-in"

    def __init__(self, home: LocalHome, options: LocalOptions) -> None:
        self._options = options
        self.folder = home.standin
        self.log = home.logs / "standin.log"
        self._ready = self.folder / "server.json"

    def prepare(self, deadline: Deadline) -> Plan:
        """How to start it.

        Raises:
            MissingExtraError: the packages that it needs are not installed.
        """
        for package in _NEEDED:
            if importlib.util.find_spec(package) is None:
                raise MissingExtraError(
                    f"The BigQuery stand-in needs the package {package}, which is not installed.",
                    hint=f"{INSTALL_HINT}, or set BIGQUERY_PROJECT_ID to use BigQuery.",
                )
        self._ready.unlink(missing_ok=True)
        limit = self._options.standin_memory_bytes
        return Plan(
            folder=self.folder,
            log=self.log,
            command=(
                *(sys.executable, "-P", "-m", _PROGRAM, "--home", str(self.folder)),
                *("--port", str(self._options.standin_port)),
                *(() if limit is None else ("--memory-bytes", str(limit))),
                *(("--faults",) if self._options.standin_faults else ()),
            ),
            environment=_environment(),
            stop=(("SIGTERM", self._options.stop_seconds), ("SIGKILL", _FORCED_STOP_SECONDS)),
            facts={},
        )

    def answers(self, record: Record) -> bool:
        """Whether it takes requests now."""
        port, _ = self._read(record)
        if not port:
            return False
        with suppress(OSError), socket.create_connection((ADDRESS, port), _ANSWER_SECONDS):
            return True
        return False

    def endpoint(self, record: Record) -> LocalStandin:
        """Where the running stand-in is reached."""
        port, token = self._read(record)
        return LocalStandin(
            url=f"http://{ADDRESS}:{port}",
            pid=record.server.pid,
            token=SecretStr(token) if token else None,
        )

    def _read(self, record: Record) -> tuple[int, str]:
        """Port and token that the stand-in of `record` wrote down; (0, "") when it has not yet."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            values = json.loads(self._ready.read_bytes())
            if int(values["pid"]) == record.server.pid:
                return int(values["port"]), str(values.get("token") or "")
        return 0, ""


def _environment() -> dict[str, str]:
    """The user's environment, in which this very package is found first."""
    paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
