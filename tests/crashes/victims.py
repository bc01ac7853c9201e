"""The test's side of victims: give a run, wait for its end, kill, stop and continue it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.crashes.victim import Order

SECONDS = 120
"""No run of a small shop takes so long."""

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a victim's run ended: by a signal, or with an exit code and what it said."""

    signal: int | None
    exit_code: int | None = None
    error: str | None = None
    run_id: str | None = None
    met: frozenset[str] = frozenset()
    seconds: float = 0.0

    @property
    def killed(self) -> bool:
        """Whether it met its end, rather than coming to it."""
        return self.signal == signal.SIGKILL


class Victims:
    """One process that forks runs, one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crashes.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=PROJECT,
        )
        self.pid = 0
        self._handle = -1
        self._began = 0.0

    def run(self, order: Order, *, meanwhile: Callable[[], None] = lambda: None) -> Ended:
        """A run from its start to its end; `meanwhile` is called when it has begun."""
        self.begin(order)
        meanwhile()
        return self.end()

    def begin(self, order: Order) -> None:
        """Start a run. One that a failed test left is ended first."""
        if self._handle >= 0:
            self.send(signal.SIGKILL)
            self.end()
        assert self._process.stdin is not None
        self._process.stdin.write(order.packed())
        self._process.stdin.flush()
        self.pid = int(self._said()["pid"])
        self._handle = os.pidfd_open(self.pid)
        self._began = time.monotonic()

    def end(self) -> Ended:
        """Wait for the run's end."""
        said = self._said()
        os.close(self._handle)
        self._handle = -1
        status = int(said["ended"])
        assert status <= 0, "the run ended with an error that is not the loader's; see above"
        return Ended(
            signal=-status if status < 0 else None,
            exit_code=said.get("exit_code"),
            error=said.get("error"),
            run_id=said.get("run_id"),
            met=frozenset(said.get("met", ())),
            seconds=time.monotonic() - self._began,
        )

    def send(self, number: signal.Signals) -> None:
        """Send the run a signal, if it is still there."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    def wait_until_stopped(self) -> None:
        """Wait until the run has stopped itself (SIGSTOP)."""
        process, deadline = psutil.Process(self.pid), time.monotonic() + SECONDS
        while process.status() != psutil.STATUS_STOPPED:
            assert process.status() != psutil.STATUS_ZOMBIE, "it never came to the step"
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def close(self) -> None:
        """End the process; a run that is still there is killed."""
        if self._handle >= 0:
            self.send(signal.SIGKILL)
            os.close(self._handle)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(SECONDS)

    def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process of the victims has ended"
        said: dict[str, Any] = json.loads(line)
        return said
