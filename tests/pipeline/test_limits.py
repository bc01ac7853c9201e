"""The limit of rejections counts all feeds."""

from decimal import Decimal

import pytest

from techmart_fast.errors import ConfigError, ExitCode, LimitReachedError
from techmart_fast.pipeline.limits import RejectionLimit


def test_the_run_ends_when_all_feeds_together_exceed_the_limit() -> None:
    limit = RejectionLimit(most=1_005, before=1_000)
    limit.check(4, read=9)
    limit.check(5, read=9)
    with pytest.raises(LimitReachedError, match=r"1,006 .* more than --max-rejected 1,005") as told:
        limit.check(6, read=9)
    assert told.value.exit_code is ExitCode.LIMIT


def test_a_share_is_judged_once_enough_is_read_and_at_the_end_of_a_feed() -> None:
    limit = RejectionLimit(most=Decimal("0.01"))
    limit.check(9, read=100)
    limit.check(10, read=1_000)
    with pytest.raises(LimitReachedError, match=r"11 of 1,000 .*1\.10%.*-rejected 1%"):
        limit.check(11, read=1_000)
    limit.check(1, read=100, at_end=True)
    with pytest.raises(LimitReachedError):
        limit.check(2, read=100, at_end=True)
    limit.check(0, read=0, at_end=True)


def test_a_share_counts_all_feeds() -> None:
    limit = RejectionLimit(most=Decimal("0.005"), before=5, read_before=10_000)
    limit.check(45, read=0)
    with pytest.raises(LimitReachedError, match=r"--max-rejected 0\.5%"):
        limit.check(46, read=0)


@pytest.mark.parametrize("most", [-1, Decimal("-0.1"), Decimal("1.01")])
def test_an_impossible_limit_is_a_mistake(most: int | Decimal) -> None:
    with pytest.raises(ConfigError, match="max_rejected"):
        RejectionLimit(most=most)
