"""What the figures are of: the machine, the versions, the day."""

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import psutil

from techmart_fast.version import VERSION

_DISTRIBUTIONS = """
import json
from importlib.metadata import distributions
print(json.dumps({one.name.lower().replace("_", "-"): one.version for one in distributions()}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`cores` are those that this process may use; `memory_bytes` is all there is."""

    day: date
    cpu: str
    cores: int
    memory_bytes: int
    system: str
    versions: Mapping[str, str]


def this_machine(*, postgres: str, peers: Mapping[str, str]) -> Machine:
    """This machine, today; versions of what takes part."""
    named = (
        *("dlt", "adbc-driver-postgresql", "pyarrow", "duckdb", "pandas"),
        *("sqlalchemy", "psycopg2-binary"),
    )
    return Machine(
        day=datetime.now(UTC).date(),
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        versions={
            "techmart_fast": VERSION,
            "Python": platform.python_version(),
            "PostgreSQL and psql": postgres,
            **{name: peers[name] for name in named if name in peers},
            **program_versions(),
        },
    )


def peer_versions(python: Path) -> Mapping[str, str]:
    """Versions of what is installed in the peers' environment; empty if it is not there."""
    if not python.exists():
        return {}
    done = subprocess.run(
        [str(python), "-c", _DISTRIBUTIONS], capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def program_versions() -> Mapping[str, str]:
    """The version of pgloader, if it is there."""
    program = shutil.which("pgloader")
    if program is None:
        return {}
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r'pgloader version "([^"]+)"', said.stdout)
    return {"pgloader": found[1] if found else "of unknown version"}


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()
