"""The limit of rejections counts all feeds."""

import pytest

from techmart_fast.errors import ExitCode, LimitReachedError
from techmart_fast.pipeline.limits import RejectionLimit


def test_the_run_ends_when_all_feeds_together_exceed_the_limit() -> None:
    limit = RejectionLimit(most=1_005, before=1_000)
    limit.check(4)
    limit.check(5)
    with pytest.raises(LimitReachedError, match=r"1,006 .* more than --max-rejected 1,005") as told:
        limit.check(6)
    assert told.value.exit_code is ExitCode.LIMIT
