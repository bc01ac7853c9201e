"""The limit of rejections: it stops a run once, and gives it its exit code."""

from dataclasses import replace

import pytest
from cli_support import run_result

from techmart_fast.cli.limits import RejectionLimit
from techmart_fast.errors import ExitCode
from techmart_fast.pipeline.progress import FeedProgress, SilentObserver
from techmart_fast.records import Feed, FeedCounts
from techmart_fast.results import RunStatus


def progress(feed: Feed, rejected: int) -> FeedProgress:
    counts = FeedCounts(read=rejected, rejected=rejected)
    return FeedProgress(feed=feed, bytes_done=1, bytes_total=2, counts=counts, waiting_bytes=0)


def test_the_run_is_stopped_when_all_feeds_together_exceed_the_limit() -> None:
    stopped: list[bool] = []
    limit = RejectionLimit(5, observer=SilentObserver(), stop=lambda: stopped.append(True))
    limit.phase("Loading users")
    limit.progress(progress(Feed.USERS, 2))
    limit.progress(progress(Feed.USERS, 3))
    limit.progress(progress(Feed.TRANSACTIONS, 2))
    assert not stopped
    limit.progress(progress(Feed.TRANSACTIONS, 3))
    assert stopped


@pytest.mark.parametrize(
    ("most", "before", "after"),
    [
        (9_003, ExitCode.DONE, ExitCode.DONE),
        (9_002, ExitCode.DONE, ExitCode.LIMIT),
        (9_002, ExitCode.QUALITY_FAIL, ExitCode.LIMIT),
        (0, ExitCode.INTERRUPTED, ExitCode.LIMIT),
        (0, ExitCode.FAILED, ExitCode.FAILED),
        (0, ExitCode.SINKS_DIFFER, ExitCode.SINKS_DIFFER),
    ],
)
def test_the_limit_decides_the_exit_code_of_runs_that_did_not_fail_otherwise(
    most: int, before: ExitCode, after: ExitCode
) -> None:
    limit = RejectionLimit(most, observer=SilentObserver(), stop=lambda: None)
    result = replace(run_result(status=RunStatus.STOPPED), exit_code=before)
    judged = limit.judge(result)
    assert judged.exit_code is after
    assert (judged.error is not None) == (after is ExitCode.LIMIT)
