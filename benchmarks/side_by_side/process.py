"""Runs a command to its end and says what it took; one that takes too long is ended."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.side_by_side.model import WayFailedError

_LOOK_SECONDS = 0.05
_KIB = 1024
_SAID_LINES = 4
_PEAK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a command took, in seconds and bytes, and its standard output."""

    wall: float
    cpu: float
    peak_bytes: int
    output: str


@dataclass(slots=True)
class _Watch:
    """Looks after a child from a thread: how large it grew, and whether its time is over.

    What `wait4` tells of memory is no less than what this process has: a child begins as it.
    """

    pid: int
    limit_seconds: float
    peak_bytes: int = 0
    is_late: bool = False
    _over: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> None:
        deadline = time.monotonic() + self.limit_seconds
        while not self._over.wait(_LOOK_SECONDS):
            with suppress(OSError):
                found = _PEAK.search(Path(f"/proc/{self.pid}/status").read_text(encoding="ascii"))
                self.peak_bytes = max(self.peak_bytes, int(found[1]) * _KIB if found else 0)
            if time.monotonic() >= deadline:
                self.is_late = True
                self.end_child()
                return

    def end_child(self) -> None:
        """End the child and what it started; it was given a group of its own."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Look no more."""
        self._over.set()


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    limit_seconds: float,
    done: Collection[int] = (0,),
) -> Taken:
    """Run a command in `folder`. Its CPU time includes the processes that it started and awaited.

    Raises:
        WayFailedError: it can't be started, ends with another exit code than those for `done`, or
            takes longer than the limit.
    """
    output, complaints = folder / "stdout", folder / "stderr"
    with output.open("wb") as out, complaints.open("wb") as err:
        began = time.perf_counter()
        try:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            raise WayFailedError(f"{command[0]}: {error.strerror}") from None
        watch = _Watch(process.pid, limit_seconds)
        thread = threading.Thread(target=watch, name="watch")
        thread.start()
        try:
            # Only this call tells what one child used, and not all children together.
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            watch.end_child()
            raise
        finally:
            watch.stop()
        wall = time.perf_counter() - began
        thread.join()
        process.returncode = os.waitstatus_to_exitcode(status)
    if watch.is_late:
        raise WayFailedError(f"no end after {limit_seconds:g} s")
    if process.returncode not in done:
        said = complaints.read_text(errors="replace") or output.read_text(errors="replace")
        lines = [line for line in said.splitlines() if line.strip()][-_SAID_LINES:]
        raise WayFailedError(f"exit code {process.returncode}: {' | '.join(lines)}")
    return Taken(
        wall=wall,
        cpu=used.ru_utime + used.ru_stime,
        peak_bytes=watch.peak_bytes,
        output=output.read_text(errors="replace"),
    )
