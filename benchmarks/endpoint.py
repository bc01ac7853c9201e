"""Where the warehouse's leg of a run goes: the endpoint that discards, or a stand-in."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Settings that bring the loader there, and the process that serves it."""

    environment: Mapping[str, str]
    pid: int


@contextmanager
def discarding() -> Iterator[Endpoint]:
    """The endpoint that discards, in a process of its own until the block ends."""
    command = [sys.executable, "-m", "benchmarks.discarding", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHECKOUT) as server:
        try:
            if server.stdout is None:
                raise RuntimeError("the endpoint has no output")
            yield Endpoint(environment=json.loads(server.stdout.readline()), pid=server.pid)
        finally:
            server.terminate()
