"""Any part under a guardian: made-up ones that misbehave in every way."""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from techmart_fast.errors import LocalError
from techmart_fast.local import LocalHome
from techmart_fast.local.complaints import complaint, complaint_in, crash_in
from techmart_fast.local.guarded import (
    Plan,
    ProcessName,
    Record,
    halt,
    lives,
    read_record,
    rotate,
)
from techmart_fast.local.guardian import started_ticks
from techmart_fast.local.locks import FileLock
from techmart_fast.local.usage import Usage
from techmart_fast.local.waiting import Deadline, StoppedWaitingError

Until = Callable[[Callable[[], bool]], None]

READY = "import pathlib, signal; pathlib.Path('ready').touch(); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + READY
FAILS = "raise SystemExit('ValueError: no such port')"
NEVER_READY = "import signal; signal.pause()"


class MadeUpPart:
    """Runs a Python program that makes the file `ready` in its folder."""

    title = "made-up part"

    def __init__(self, home: LocalHome, program: str) -> None:
        self.folder = home.standin
        self.log = home.logs / "made-up.log"
        self._program = program
        self.prepared = 0
        self.hangs = False

    def prepare(self, deadline: Deadline) -> Plan:
        assert not deadline.passed
        self.prepared += 1
        self.hangs = False
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
        return not self.hangs and record.server.lives and (self.folder / "ready").exists()


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


def test_a_part_that_hangs_is_replaced_by_its_only_user(
    bare_home: LocalHome, started: MadeUpPart
) -> None:
    first, second = usage(bare_home, [started]), usage(bare_home, [started], start_seconds=0.1)
    (record,) = first.enter([started])
    bare_home.pinned.touch()
    first.leave()
    assert lives(started.folder)
    started.hangs = True
    (again,) = second.enter([started])
    assert again.server != record.server
    bare_home.pinned.unlink()
    second.leave()
    assert not lives(started.folder)


def test_a_part_that_hangs_while_another_command_uses_it_is_left_alone(
    bare_home: LocalHome, started: MadeUpPart
) -> None:
    first, second = usage(bare_home, [started]), usage(bare_home, [started], start_seconds=0.1)
    (record,) = first.enter([started])
    started.hangs = True
    with pytest.raises(LocalError, match="does not answer, and another command uses it"):
        second.enter([started])
    second.leave()
    assert record.server.lives
    first.leave()
    assert not lives(started.folder)


def test_a_pin_does_not_outlive_what_it_kept(bare_home: LocalHome, started: MadeUpPart) -> None:
    bare_home.pinned.touch()  # as after a restart of the machine
    use = usage(bare_home, [started])
    use.enter([started])
    use.leave()
    assert not lives(started.folder)
    assert not bare_home.pinned.exists()


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


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"", ""),
        (b"it just ended\n", "it just ended"),
        (b"a ... 2026-01-01 00:00:00.1 UTC [7] FATAL:  no room\nshut down\n", "no room"),
        (b"FATAL:  No space left on device\nPANIC:  cannot abort\n", "No space left on device"),
        (b"initdb: error: no folder\ninitdb: removing it\n", "no folder"),
        (b"Traceback:\nValueError: no such port\n", "ValueError: no such port"),
    ],
)
def test_the_complaint_is_the_line_that_says_what_is_wrong(output: bytes, expected: str) -> None:
    assert complaint(output) == expected


def test_the_complaint_in_a_log_is_not_an_earlier_ones(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("2026-01-01 00:00:00.1 UTC [7] FATAL:  old\n")
    assert complaint_in(log, 0) == "old"
    assert complaint_in(log, log.stat().st_size) == ""
    assert complaint_in(tmp_path / "absent", 0) == ""


def test_a_crash_is_told_from_what_comes_after_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("2026-01-01 00:00:00.1 UTC [7] PANIC:  old\n")
    start = log.stat().st_size
    assert crash_in(log, start) == crash_in(tmp_path / "absent", 0) == ""
    with log.open("a") as more:
        more.write("2026-01-01 00:00:00.2 UTC [8] PANIC:  No space left on device\n")
        more.write("2026-01-01 00:00:00.3 UTC [9] FATAL:  is in recovery mode\n" * 1000)
    assert crash_in(log, start) == "No space left on device"


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
