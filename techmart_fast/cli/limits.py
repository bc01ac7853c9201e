"""Stops a run when more records were rejected than its user allows."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from techmart_fast.errors import ExitCode, LimitReachedError
from techmart_fast.pipeline.progress import FeedProgress, RunObserver
from techmart_fast.records import Feed, FeedCounts
from techmart_fast.results import RunResult


class RejectionLimit:
    """Follows a run for another observer, and calls `stop` once `most` rejections are exceeded.

    Batches that are being written then are still committed whole, so the count may end above.
    """

    def __init__(self, most: int, *, observer: RunObserver, stop: Callable[[], None]) -> None:
        self._most = most
        self._observer = observer
        self._stop = stop
        self._feeds: dict[Feed, FeedCounts] = {}

    def phase(self, name: str) -> None:
        """Pass it on."""
        self._observer.phase(name)

    def progress(self, progress: FeedProgress) -> None:
        """Pass it on, and stop the run if this was too much."""
        self._observer.progress(progress)
        self._feeds[progress.feed] = progress.counts
        if _rejected(self._feeds) > self._most:
            self._stop()

    def judge(self, result: RunResult) -> RunResult:
        """The result, with what the limit says of it: exit code 4 if it was exceeded.

        Failures of another kind keep their own exit code.
        """
        rejected = _rejected(result.feeds)
        ends = {ExitCode.DONE, ExitCode.QUALITY_FAIL, ExitCode.INTERRUPTED}
        if rejected <= self._most or result.exit_code not in ends:
            return result
        error = LimitReachedError(
            f"{rejected:,} records were rejected, more than --max-rejected {self._most:,}.",
            hint="What is committed stays; see techmart-fast quarantine list.",
        )
        return replace(result, exit_code=error.exit_code, error=str(error))


def _rejected(feeds: Mapping[Feed, FeedCounts]) -> int:
    return sum(counts.rejected for counts in feeds.values())
