"""Whatever ends a command: one clear line, the right exit code, JSON where it was asked for."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from cli_support import CHECKOUT, call, spawn

from techmart_fast.cli import commands, main
from techmart_fast.cli.framework import Command
from techmart_fast.errors import (
    ConfigError,
    LeaseHeldError,
    SinkError,
    TechmartError,
    WarehouseBehindError,
)

SECRET = "jo@example.com 4111-1111"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """A command `status` that raises what the test puts into the list."""
    raised: list[BaseException] = []

    def callback() -> None:
        raise raised[0]

    broken = Command("status", callback=callback)
    monkeypatch.setitem(main.cli.commands, "status", broken)
    monkeypatch.setitem(main.cli.commands, "run", Command("run", callback=_raiser(raised)))
    main.cli.commands["run"].params.append(click.Option(["--json"], is_flag=True))
    return raised


def _raiser(raised: list[BaseException]) -> object:
    def callback(json: bool) -> None:
        raise raised[0]

    return callback


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("A setting is wrong.", hint="Set it right."), 2),
        (SinkError("The server went away."), 1),
        (WarehouseBehindError("The warehouse is behind."), 5),
        (LeaseHeldError("Another run is at work."), 6),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (MemoryError(), 1),
    ],
)
def test_an_expected_end_is_one_line_and_its_exit_code(
    error: BaseException,
    code: int,
    failing: list[BaseException],
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing.append(error)
    called = call(capsys, "status")
    assert called.code == code
    assert called.out == ""
    assert called.err.startswith("error: ")
    assert called.err.count("\n") == 1
    if isinstance(error, TechmartError):
        assert called.err == f"error: {error}\n"


def test_the_first_known_error_of_a_group_is_told(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    known = SinkError("The server went away.")
    failing.append(ExceptionGroup("x", [ValueError(SECRET), ExceptionGroup("y", [known])]))
    assert call(capsys, "status").err == "error: The server went away.\n"


def test_run_with_json_prints_its_error_as_one_object(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(ConfigError("A setting is wrong.", hint="Set it right."))
    called = call(capsys, "run", "--json")
    counts = dict.fromkeys(("read", "loaded", "rejected", "held", "duplicate"), 0)
    nothing = {**counts, "rejected_by_reason": {}}
    assert json.loads(called.out) == {
        "status": "failed",
        "run_id": None,
        "seconds": 0,
        "rows_per_second": 0,
        "quality": {},
        "feeds": {"users": nothing, "products": nothing, "transactions": nothing},
        "error": "A setting is wrong.",
        "hint": "Set it right.",
        "exit_code": 2,
    }
    assert called.err == "error: A setting is wrong. Set it right.\n"


def test_an_unexpected_error_leaves_a_private_trace_without_its_message(
    failing: list[BaseException],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("TECHMART_HOME", str(tmp_path / "home"))
    error = ValueError(SECRET)
    error.__cause__ = KeyError(SECRET)
    failing.append(ExceptionGroup("many", [error]))
    called = call(capsys, "status")
    assert called.code == 1
    assert SECRET not in called.err
    assert called.err.count("\n") == 1
    assert "Unexpected ValueError at " in called.err
    path = Path(re.findall(r"trace is in (\S+);", called.err)[0])
    assert path.parent == tmp_path / "home" / "logs"
    assert path.stat().st_mode & 0o777 == 0o600
    trace = path.read_text()
    assert SECRET not in trace
    for part in ("ExceptionGroup", "ValueError", "KeyError", "cli/main.py:", "callback"):
        assert part in trace


def test_home_of_the_command_gets_the_trace(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    failing.append(ValueError())
    assert call(capsys, "status", "--home", str(tmp_path / "h")).code == 1
    assert len(list((tmp_path / "h" / "logs").iterdir())) == 1


def test_debug_shows_the_whole_trace(
    failing: list[BaseException],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("TECHMART_HOME", str(tmp_path))
    failing.append(ValueError("the message"))
    called = call(capsys, "status", "--debug")
    assert "Traceback" in called.err
    assert "the message" in called.err


def test_a_trace_that_cannot_be_written_is_no_second_failure(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    failing.append(ValueError())
    called = call(capsys, "status", "--home", str(tmp_path / "file" / "home"))
    assert called.code == 1
    assert "can't be written" in called.err
    assert called.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("run", "--nope"), "--nope"),
        (("nope",), "nope"),
        (("report", "users", "--limit", "0"), "--limit"),
        (("report", "daily-sales", "--since", "2024-13-01"), "--since"),
        (("dev", "generate"), "--out"),
        (("dev", "generate", "--out", "x", "--defects", "many"), "--defects"),
        (("run", "--block-bytes", "much"), "--block-bytes"),
        (("quarantine", "show", "x"), "NUMBER"),
        (("report", "users", "--csv", "--json"), "together"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_place_and_the_help(
    arguments: tuple[str, ...], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    called = call(capsys, *arguments)
    assert (called.code, called.out) == (2, "")
    assert what in called.err
    assert called.err.startswith("error: ")
    assert "--help" in called.err
    assert called.err.count("\n") == 1


def test_no_command_shows_the_help_and_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    called = call(capsys)
    assert called.code == 2
    assert "Usage:" in called.err
    assert "quarantine" in called.err


def test_standard_input_can_feed_one_feed_only(capsys: pytest.CaptureFixture[str]) -> None:
    called = call(capsys, "run", "--users", "-", "--products", "-", "--json")
    assert called.code == 2
    assert json.loads(called.out)["exit_code"] == 2


def test_a_reader_that_leaves_early_changes_nothing() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", "from techmart_fast.cli.output import write_out; write_out('x')"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
        cwd=CHECKOUT,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_into_a_closed_pipe_is_quiet() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "techmart_fast", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
        cwd=CHECKOUT,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (("run", "--users", "nowhere.csv"), {}, "nowhere.csv"),
        (("run", "--contract", "nowhere.toml"), {}, "nowhere.toml"),
        (("run", "--config", "nowhere.toml"), {}, "nowhere.toml"),
        (("run",), {"POSTGRES_PORT": "many"}, "POSTGRES_PORT"),
        (
            ("report", "daily-sales", "--since", "2024-02-01", "--until", "2024-01-01"),
            {},
            "--since",
        ),
        (("quarantine", "list", "--reason", "bad_luck"), {}, "unknown_currency"),
    ],
)
def test_a_mistake_of_the_user_is_told_before_anything_starts(
    arguments: tuple[str, ...], env: dict[str, str], said: str, tmp_path: Path
) -> None:
    done = spawn(*arguments, home=tmp_path / "home", cwd=tmp_path, env=env)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(errors) == 1
    assert said in errors[0]
    assert not list((tmp_path / "home").glob("postgres/*"))


def test_the_commands_of_the_package_are_those_of_the_root() -> None:
    folder = Path(commands.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert modules == set(main.cli.commands)
