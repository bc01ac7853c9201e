"""Data quality: six dimensions scored 0 to 1 from counts, against the contract's thresholds.

The formulas are those of the domain's data quality section; every score is computed from sums of
counts, so batches, feeds and runs add up in any order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from techmart_fast.contract.model import QualityThresholds
from techmart_fast.reasons import REASONS, ReasonKind
from techmart_fast.records import FeedCounts

DIMENSIONS = (
    "completeness",
    "accuracy",
    "consistency",
    "validity",
    "uniqueness",
    "timeliness",
)

_SCORE = Decimal("0.0001")


class QualityStatus(StrEnum):
    """How a score stands against its threshold."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    WARN = "WARN"
    FAIL = "FAIL"
    NONE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityScore:
    """One dimension's score (4 decimals), or None where nothing was there to judge.

    `good` of `judged` records (or fields) were right.
    """

    dimension: str
    value: Decimal | None
    threshold: Decimal
    status: QualityStatus
    good: int
    judged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityTally:
    """What the dimensions are computed from, besides the counts of a feed.

    `flagged` loaded records have a business rule flag; `late` of `timed` records arrived after the
    contract's `sla_hours`. `completeness` maps required fields to (filled, expected). `resent` of
    the duplicates are no fault: an API sends records again that have not changed.
    """

    counts: FeedCounts = field(default_factory=FeedCounts)
    completeness: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    flagged: int = 0
    timed: int = 0
    late: int = 0
    resent: int = 0

    def __add__(self, other: "QualityTally") -> "QualityTally":
        completeness = dict(self.completeness)
        for name, (filled, expected) in other.completeness.items():
            before = completeness.get(name, (0, 0))
            completeness[name] = (before[0] + filled, before[1] + expected)
        return QualityTally(
            counts=self.counts + other.counts,
            completeness=completeness,
            flagged=self.flagged + other.flagged,
            timed=self.timed + other.timed,
            late=self.late + other.late,
            resent=self.resent + other.resent,
        )


def score(tally: QualityTally, thresholds: QualityThresholds) -> dict[str, QualityScore]:
    """Score every dimension, in the order of `DIMENSIONS`."""
    counts = tally.counts
    wrong_values = sum(
        number
        for code, number in counts.rejected_by_reason.items()
        if REASONS[code].kind is ReasonKind.VALUE
    )
    filled = sum(filled for filled, _ in tally.completeness.values())
    expected = sum(expected for _, expected in tally.completeness.values())
    shares = {
        "completeness": (filled, expected),
        "accuracy": (counts.read - wrong_values, counts.read),
        "consistency": (counts.loaded, counts.loaded + counts.held),
        "validity": (counts.loaded - tally.flagged, counts.loaded),
        "uniqueness": (counts.read - counts.duplicate + tally.resent, counts.read),
        "timeliness": (tally.timed - tally.late, tally.timed),
    }
    return {
        dimension: _judge(dimension, *shares[dimension], thresholds) for dimension in DIMENSIONS
    }


def verdict(scores: Mapping[str, QualityScore]) -> QualityStatus:
    """The worst status among the scores."""
    statuses = {quality.status for quality in scores.values()}
    for status in (QualityStatus.FAIL, QualityStatus.WARN):
        if status in statuses:
            return status
    return QualityStatus.PASS


def _judge(dimension: str, good: int, judged: int, thresholds: QualityThresholds) -> QualityScore:
    threshold: Decimal = getattr(thresholds, dimension)
    if not judged:
        value, status = None, QualityStatus.NONE
    else:
        # Judged on the exact share: rounding to print must not turn a failure into a pass.
        share = Decimal(good) / judged
        value = share.quantize(_SCORE, rounding=ROUND_HALF_UP)
        if share >= threshold:
            status = QualityStatus.PASS
        elif share >= threshold - thresholds.warn_margin:
            status = QualityStatus.WARN
        else:
            status = QualityStatus.FAIL
    return QualityScore(
        dimension=dimension,
        value=value,
        threshold=threshold,
        status=status,
        good=good,
        judged=judged,
    )
