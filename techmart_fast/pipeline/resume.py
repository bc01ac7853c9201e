"""What of a feed's files is done: it is counted from what is stored, and not decoded again.

What a run has to tell of a block besides PostgreSQL's own counts is stored with its batches as
JSON: rejections by reason with each, what was seen of the whole block with the first lane's.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from techmart_fast.pipeline.prepare import PreparedBlock, unknown_names
from techmart_fast.postgres import DoneBatch, DonePart
from techmart_fast.quality import QualityTally
from techmart_fast.records import FeedCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSeen:
    """What was seen of a block: `tally` has repairs, completeness and timeliness only."""

    tally: QualityTally = field(default_factory=QualityTally)
    unknown_fields: dict[str, int] = field(default_factory=dict)
    swallowed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """What is done of a file, as a run tells it: its candidates count as duplicates."""

    counts: FeedCounts
    judged: QualityTally
    unknown_fields: dict[str, int]
    swallowed: int


def seen_of(prepared: PreparedBlock) -> BlockSeen:
    """What was seen of a block that was decoded."""
    candidates = prepared.candidates
    return BlockSeen(
        tally=QualityTally(
            counts=FeedCounts(repaired=sum(candidates.repairs.values())),
            completeness=candidates.completeness,
            timed=prepared.timed,
            late=prepared.late,
        ),
        unknown_fields=dict(candidates.unknown_fields),
        swallowed=prepared.swallowed,
    )


def stored(seen: BlockSeen) -> dict[str, object]:
    """The same as plain values, which `resumed` reads again."""
    return {
        "repaired": seen.tally.counts.repaired,
        "completeness": {name: list(filled) for name, filled in seen.tally.completeness.items()},
        "timed": seen.tally.timed,
        "late": seen.tally.late,
        "unknown_fields": seen.unknown_fields,
        "swallowed": seen.swallowed,
    }


def resumed(part: DonePart, *, resends: bool) -> Resumed:
    """What a run tells of what is done. `resends`: what the file repeats is no fault of its own."""
    counts, judged = FeedCounts(), QualityTally()
    unknown: dict[str, int] = {}
    swallowed = 0
    for batch in part.batches:
        said = orjson.loads(batch.seen)
        seen = _seen(said)
        taken = _counts(batch, said["reasons"])
        counts += replace(
            taken,
            loaded=0,
            held=0,
            corrected=0,
            duplicate=batch.read - batch.rejected,
            repaired=seen.tally.counts.repaired,
        )
        unknown = unknown_names(unknown, seen.unknown_fields)
        swallowed += seen.swallowed
        if batch.due:
            resent = batch.resent if resends else 0
            judged += QualityTally(counts=taken, flagged=batch.flagged, resent=resent) + seen.tally
    return Resumed(counts=counts, judged=judged, unknown_fields=unknown, swallowed=swallowed)


def _counts(batch: DoneBatch, reasons: dict[str, int]) -> FeedCounts:
    return FeedCounts(
        read=batch.read,
        loaded=batch.loaded,
        rejected=batch.rejected,
        held=batch.held,
        duplicate=batch.duplicate,
        corrected=batch.corrected,
        rejected_by_reason=reasons,
    )


def _seen(said: dict[str, Any]) -> BlockSeen:
    if "repaired" not in said:
        return BlockSeen()
    return BlockSeen(
        tally=QualityTally(
            counts=FeedCounts(repaired=said["repaired"]),
            completeness={name: (a, b) for name, (a, b) in said["completeness"].items()},
            timed=said["timed"],
            late=said["late"],
        ),
        unknown_fields=said["unknown_fields"],
        swallowed=said["swallowed"],
    )
