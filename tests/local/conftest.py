"""Homes with a made database in them, and commands in processes of their own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from techmart_fast.local import LocalHome, LocalOptions
from techmart_fast.local.binaries import find_binaries
from techmart_fast.local.cluster import ensure_cluster
from techmart_fast.local.guarded import halt
from techmart_fast.local.waiting import Deadline

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 60.0


class Command:
    """A running `lives.py`."""

    def __init__(self, home: LocalHome, prefix: Sequence[str] = ()) -> None:
        script = Path(__file__).with_name("lives.py")
        self.process = subprocess.Popen(
            [*prefix, sys.executable, str(script), str(home.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def answer(self) -> dict[str, Any]:
        """What it says when it is ready, or has failed."""
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def finish(self) -> int:
        """Let it end in good order; returns its exit status."""
        self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.communicate(timeout=DEADLINE_SECONDS)


@pytest.fixture
def command() -> Iterator[Callable[..., Command]]:
    with ExitStack() as started:

        def start(home: LocalHome, prefix: Sequence[str] = ()) -> Command:
            new = Command(home, prefix)
            started.callback(new.kill)
            return new

        yield start


@pytest.fixture
def small() -> LocalOptions:
    """Options for many servers on a small machine."""
    return LocalOptions(shared_buffers_bytes=16 << 20, start_seconds=60, wait_seconds=60)


@pytest.fixture(scope="session")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> LocalHome:
    """A home with a database that was never started."""
    home = LocalHome(tmp_path_factory.mktemp("made") / "home").create()
    ensure_cluster(home.postgres, find_binaries(None), Deadline(DEADLINE_SECONDS))
    return home


@pytest.fixture
def home(bare_home: LocalHome, made_home: LocalHome) -> LocalHome:
    """A home of the test's own with a made database; whatever runs in it ends with the test."""
    shutil.copytree(made_home.postgres / "cluster", bare_home.postgres / "cluster")
    return bare_home


@pytest.fixture
def bare_home(tmp_path: Path) -> Iterator[LocalHome]:
    """A home of the test's own without a database; whatever runs in it ends with the test."""
    home = LocalHome(tmp_path / "home").create()
    yield home
    home.pinned.unlink(missing_ok=True)
    for part in (home.postgres, home.standin):
        halt(part, Deadline(DEADLINE_SECONDS))


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Waits for what other processes do; fails when it has not happened after a minute."""

    def wait(happened: Callable[[], bool]) -> None:
        deadline = Deadline(DEADLINE_SECONDS)
        while not happened():
            assert not deadline.passed, "it did not happen"
            deadline.pause()

    return wait
