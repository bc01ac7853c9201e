"""Data quality: scores by dimension, and a run's verdict."""

from techmart_fast.quality.scores import (
    DIMENSIONS,
    QualityScore,
    QualityStatus,
    QualityTally,
    score,
    verdict,
)

__all__ = ["DIMENSIONS", "QualityScore", "QualityStatus", "QualityTally", "score", "verdict"]
