"""Logs: an event and its keys, JSON or for people, never a person's data."""

import json
import logging

import asyncpg
import pytest

from techmart_fast.contract import parse_contract
from techmart_fast.errors import ConfigError
from techmart_fast.monitoring.logs import PRIVATE_KEYS, get_logger, logging_to_stderr
from techmart_fast.monitoring.traces import describe, origin

LOG = get_logger("techmart_fast.test")


def test_events_are_json_lines_with_their_keys(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(level=logging.INFO, json_lines=True):
        LOG.info("batch 100% done", rows=9, message="taken", args=[1])
        LOG.debug("not said")
    event = json.loads(capsys.readouterr().err)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "batch 100% done",
        "level": "info",
        "logger": "techmart_fast.test",
        "rows": 9,
        "message": "taken",
        "args": [1],
    }


def test_people_get_one_line_without_colours(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(level=logging.INFO, json_lines=False):
        LOG.warning("batch_repeated", rows=9)
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "batch_repeated" in line
    assert "rows=9" in line
    assert "\x1b" not in line


@pytest.mark.parametrize("json_lines", [True, False])
def test_private_values_are_never_written(
    json_lines: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to_stderr(level=logging.INFO, json_lines=json_lines):
        LOG.info("event", **dict.fromkeys(PRIVATE_KEYS, "jo@example.com"))
        LOG.info("event", deep={"email": "jo@example.com", "rows": 1})
    assert "jo@example.com" not in capsys.readouterr().err


@pytest.mark.parametrize("json_lines", [True, False])
def test_exceptions_are_told_without_their_messages(
    json_lines: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to_stderr(level=logging.INFO, json_lines=json_lines):
        try:
            int("jo@example.com")
        except ValueError:
            LOG.exception("failed")
            logging.getLogger("other").exception("also failed")
    said = capsys.readouterr().err
    assert "jo@example.com" not in said
    assert said.count("builtins.ValueError") == 2


def test_other_libraries_are_heard_from_warnings_on(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(level=logging.DEBUG, json_lines=True):
        logging.getLogger("other").info("not said")
        logging.getLogger("other").warning("said %d", 3)
        LOG.debug("said too")
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert events == ["said 3", "said too"]


def test_a_lost_connection_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    def forgotten(error: Exception) -> str:
        logging.getLogger("asyncio").error("never retrieved", exc_info=error)
        return capsys.readouterr().err

    with logging_to_stderr(level=logging.INFO, json_lines=True):
        assert forgotten(asyncpg.ConnectionDoesNotExistError()) == ""
        assert "never retrieved" in forgotten(ValueError())


def test_leaving_restores_what_was_there() -> None:
    root, own = logging.getLogger(), logging.getLogger("techmart_fast")
    before = (root.level, own.level, list(root.handlers))
    with logging_to_stderr(level=logging.DEBUG, json_lines=True):
        assert own.level == logging.DEBUG
    assert (root.level, own.level, list(root.handlers)) == before


def test_as_a_library_events_reach_the_handlers_of_the_application(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "techmart_fast")
    LOG.info("batch_committed", rows=9)
    [record] = caplog.records
    assert record.getMessage() == "batch_committed"
    assert vars(record)["techmart"] == {"rows": 9}


def test_a_trace_tells_chains_and_groups_once() -> None:
    try:
        try:
            raise KeyError("secret")
        except KeyError as error:
            raise ExceptionGroup("secret", [error, ValueError("secret")]) from error
    except ExceptionGroup as group:
        text = describe(group)
    assert "secret" not in text
    assert [text.count(name) for name in ("KeyError", "ValueError", "ExceptionGroup")] == [1, 1, 1]


def test_the_origin_is_the_innermost_place_of_this_package() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_contract("x", name="x")
    assert origin(raised.value).startswith("contract/load.py:")
    assert origin(ValueError()) == "unknown place"
