"""Quality scores: formulas, thresholds, verdicts."""

from decimal import Decimal

import pytest

from techmart_fast.contract import default_contract
from techmart_fast.quality import DIMENSIONS, QualityStatus, QualityTally, score, verdict
from techmart_fast.records import FeedCounts

_THRESHOLDS = default_contract().quality


def test_every_dimension_follows_its_formula() -> None:
    tally = QualityTally(
        counts=FeedCounts(
            read=1000,
            loaded=900,
            rejected=50,
            held=20,
            duplicate=30,
            rejected_by_reason={"not_a_number": 6, "invalid_json": 40, "missing_field": 4},
        ),
        completeness={"user_id": (995, 1000), "amount": (985, 1000)},
        flagged=36,
        timed=400,
        late=100,
    )
    values = {name: quality.value for name, quality in score(tally, _THRESHOLDS).items()}
    assert values == {
        "completeness": Decimal("0.9900"),  # (995 + 985) / 2000
        "accuracy": Decimal("0.9940"),  # 1 - 6 / 1000: only values count
        "consistency": Decimal("0.9783"),  # 1 - 20 / 920
        "validity": Decimal("0.9600"),  # 1 - 36 / 900
        "uniqueness": Decimal("0.9700"),  # 1 - 30 / 1000
        "timeliness": Decimal("0.7500"),
    }


def test_nothing_judged_has_no_score_and_passes() -> None:
    scores = score(QualityTally(), _THRESHOLDS)
    assert tuple(scores) == DIMENSIONS
    assert all(quality.value is None for quality in scores.values())
    assert verdict(scores) is QualityStatus.PASS


@pytest.mark.parametrize(
    ("duplicates", "status"),
    [
        (500, QualityStatus.PASS),  # 0.95 exactly
        (501, QualityStatus.WARN),
        (700, QualityStatus.WARN),  # 0.93, the last of the margin
        (701, QualityStatus.FAIL),
    ],
)
def test_status_is_judged_on_the_exact_share(duplicates: int, status: QualityStatus) -> None:
    counts = FeedCounts(read=10_000, loaded=10_000 - duplicates, duplicate=duplicates)
    scores = score(QualityTally(counts=counts), _THRESHOLDS)
    assert scores["uniqueness"].status is status
    assert verdict(scores) is status


def test_a_share_just_below_the_threshold_does_not_pass_because_it_prints_the_same() -> None:
    counts = FeedCounts(read=10_000_000, loaded=9_499_999, duplicate=500_001)
    uniqueness = score(QualityTally(counts=counts), _THRESHOLDS)["uniqueness"]
    assert uniqueness.value == Decimal("0.9500")
    assert uniqueness.status is QualityStatus.WARN


def test_tallies_add_up() -> None:
    one = QualityTally(
        counts=FeedCounts(read=3, loaded=2, rejected=1, rejected_by_reason={"invalid_json": 1}),
        completeness={"email": (2, 2)},
        flagged=1,
    )
    both = one + one
    assert both.counts.read == 6
    assert both.counts.adds_up
    assert both.counts.rejected_by_reason == {"invalid_json": 2}
    assert both.completeness == {"email": (4, 4)}
    assert both.flagged == 2
