"""Progress: log events now and then, or a display that redraws itself."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from rich.console import Console

from techmart_fast.cli.progress import LiveObserver, LogObserver, observing
from techmart_fast.monitoring.logs import logging_to_stderr
from techmart_fast.pipeline.progress import FeedProgress, SilentObserver
from techmart_fast.records import Feed, FeedCounts


def progress(done: int, *, total: int = 100, feed: Feed = Feed.TRANSACTIONS) -> FeedProgress:
    return FeedProgress(
        feed=feed,
        bytes_done=done,
        bytes_total=total,
        counts=FeedCounts(read=10 * done, loaded=10 * done),
        waiting_bytes=0,
    )


@pytest.fixture
def logged() -> Iterator[None]:
    with logging_to_stderr(level=logging.INFO, json_lines=True):
        yield


@pytest.mark.usefixtures("logged")
def test_a_feed_is_logged_first_then_rarely_and_at_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    observer = LogObserver(every_seconds=3600)
    observer.phase("Loading transactions")
    for done in (1, 2, 50, 100):
        observer.progress(progress(done))
    observer.progress(progress(1, feed=Feed.USERS))
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [event["event"] for event in events] == ["phase", *["progress"] * 3]
    assert [event.get("percent") for event in events[1:]] == [1, 100, 1]
    assert events[2]["read"] == 1_000


@pytest.mark.usefixtures("logged")
def test_an_empty_feed_is_at_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    LogObserver().progress(progress(0, total=0))
    assert json.loads(capsys.readouterr().err)["percent"] == 100


def test_without_a_terminal_progress_is_logged_and_with_quiet_it_is_not() -> None:
    with observing(quiet=False) as observer:
        assert isinstance(observer, LogObserver)
    with observing(quiet=True) as observer:
        assert isinstance(observer, SilentObserver)


@pytest.mark.parametrize("columns", [80, 120])
def test_the_display_shows_each_feed_once_and_the_phase_last(columns: int) -> None:
    screen = io.StringIO()
    console = Console(file=screen, width=columns, force_terminal=True, color_system=None)
    with LiveObserver(console) as live:
        live.phase("Opening PostgreSQL")
        for feed in (Feed.USERS, Feed.TRANSACTIONS):
            live.phase(f"Loading {feed}")
            live.progress(progress(50, feed=feed))
            live.progress(progress(100, feed=feed))
        frame = live.lines()
    assert [line.split()[0] for line in frame[:2]] == ["users", "transactions"]
    assert "Loading transactions" in frame[2]
    assert len(frame) == 3
    assert "1,000" in frame[0]
    assert all(len(line) <= columns for line in frame)
