"""Shows how a run gets on: a live display on a terminal, log events elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from techmart_fast.cli.console import size
from techmart_fast.cli.invocation import use_color
from techmart_fast.monitoring.logs import get_logger
from techmart_fast.pipeline.progress import FeedProgress, FetchProgress, RunObserver, SilentObserver
from techmart_fast.records import Feed

_EVERY_SECONDS = 5.0
_FRAMES_A_SECOND = 8


@contextmanager
def observing(*, quiet: bool) -> Iterator[RunObserver]:
    """The observer that fits this process's standard error."""
    if quiet:
        yield SilentObserver()
    elif sys.stderr.isatty():
        console = Console(stderr=True, no_color=not use_color(sys.stderr), highlight=False)
        with LiveObserver(console) as live:
            yield live
    else:
        yield LogObserver()


class LogObserver:
    """Logs phases, and each feed's progress now and then."""

    def __init__(self, *, every_seconds: float = _EVERY_SECONDS) -> None:
        self._log = get_logger("techmart_fast.run")
        self._every_seconds = every_seconds
        self._next: dict[Feed, float] = {}

    def phase(self, name: str) -> None:
        """Log it."""
        self._log.info("phase", what=name)

    def fetching(self, progress: FetchProgress) -> None:
        """Log it, unless this feed was logged a moment ago."""
        now = time.monotonic()
        if now < self._next.get(progress.feed, 0.0):
            return
        self._next[progress.feed] = now + self._every_seconds
        self._log.info(
            "fetching",
            feed=progress.feed.value,
            pages=progress.pages,
            records=progress.records,
            of=progress.total_records,
            retries=progress.retries,
        )

    def progress(self, progress: FeedProgress) -> None:
        """Log it, unless this feed was logged a moment ago and is not at its end."""
        now = time.monotonic()
        at_end = progress.bytes_done >= progress.bytes_total
        if not at_end and now < self._next.get(progress.feed, 0.0):
            return
        self._next[progress.feed] = now + self._every_seconds
        counts = progress.counts
        self._log.info(
            "progress",
            feed=progress.feed.value,
            percent=_percent(progress),
            read=counts.read,
            loaded=counts.loaded,
            rejected=counts.rejected,
            held=counts.held,
            duplicate=counts.duplicate,
        )


class LiveObserver:
    """A line for each feed and one for the phase, redrawn in place and gone at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._feeds = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=None, complete_style="cyan", finished_style="green"),
            _BytesColumn(),
            _CountColumn(),
            console=console,
            expand=True,
        )
        self._phases = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console
        )
        self._phase = self._phases.add_task("Starting", total=None)
        self._tasks: dict[Feed, TaskID] = {}
        self._live = Live(
            self._screen(), console=console, transient=True, refresh_per_second=_FRAMES_A_SECOND
        )

    def __enter__(self) -> "LiveObserver":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def lines(self) -> list[str]:
        """What is shown now."""
        rendered = self._console.render_lines(self._screen(), pad=False)
        return ["".join(segment.text for segment in line).rstrip() for line in rendered]

    def phase(self, name: str) -> None:
        """Show it as the last line."""
        self._phases.update(self._phase, description=name)

    def fetching(self, progress: FetchProgress) -> None:
        """Show it as the last line."""
        of = "" if progress.total_records is None else f" of {progress.total_records:,}"
        records = f"{progress.records:,}{of} records in {progress.pages:,} pages"
        failed = f", {progress.retries:,} failed attempts" if progress.retries else ""
        self._phases.update(self._phase, description=f"Fetching {progress.feed}: {records}{failed}")

    def progress(self, progress: FeedProgress) -> None:
        """Move the feed's bar."""
        total = max(progress.bytes_total, 1)
        if progress.feed not in self._tasks:
            self._tasks[progress.feed] = self._feeds.add_task(progress.feed.value, total=total)
        self._feeds.update(
            self._tasks[progress.feed],
            total=total,
            completed=progress.bytes_done if progress.bytes_total else total,
            read=progress.counts.read,
        )

    def _screen(self) -> Group:
        return Group(self._feeds, self._phases)


class _BytesColumn(ProgressColumn):
    """`12.3 of 200 MB`, for feeds."""

    def render(self, task: Task) -> Text:
        total = 0 if task.total is None else int(task.total)
        return Text(f"{size(int(task.completed))} of {size(total)}", style="dim", justify="right")


class _CountColumn(ProgressColumn):
    """Records read, for feeds."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.fields.get('read', 0):,} records", justify="right")


def _percent(progress: FeedProgress) -> int:
    if not progress.bytes_total:
        return 100
    return min(100, progress.bytes_done * 100 // progress.bytes_total)
