"""Writes the users and the products of a shop, with their defects."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from techmart_fast.dev.damage import broken, missing_value, refused_value, untidy
from techmart_fast.dev.layout import Values, layout
from techmart_fast.dev.ledger import FeedLedger
from techmart_fast.dev.output import record_file
from techmart_fast.dev.randomness import Dice
from techmart_fast.dev.schedule import REJECTING, Defect, FollowUps, defects
from techmart_fast.dev.spec import Compression, DefectKind, FileFormat, ShopSpec
from techmart_fast.records import FIELDS, Feed

_LINES_AT_ONCE = 1 << 14
_REACH = 300
"""How many rows later, at most, a repeat or a newer version comes."""


class Population(Protocol):
    """Users or products."""

    count: int
    exists: npt.NDArray[np.bool_]

    def values(self, row: int, /) -> dict[str, str]:
        """The record of a row."""
        ...

    def is_expendable(self, row: int, /) -> bool:
        """Whether the record may be rejected: few transactions go with it."""
        ...


Correct = Callable[[Values, int, Dice], dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallFeed:
    """A feed of users or products to be written."""

    feed: Feed
    population: Population
    correct: Correct
    format: FileFormat
    path: Path

    def write(self, spec: ShopSpec, dice: Dice) -> FeedLedger:
        """Write the file; marks in the population whose records are rejected.

        Raises:
            TechmartError: the file can't be written.
        """
        ledger = FeedLedger()
        texts = layout(self.format, FIELDS[self.feed])
        follow_ups = FollowUps()
        shares = spec.kind_shares(self.feed)
        planned = defects(self.population.count, spec.defects, shares, dice, self._allowed)
        upcoming = next(planned, None)
        with record_file(self.path, texts, Compression.NONE) as file:
            for start in range(0, self.population.count, _LINES_AT_ONCE):
                end = min(start + _LINES_AT_ONCE, self.population.count)
                lines = []
                for row in range(start, end):
                    if upcoming is not None and upcoming.row == row:
                        lines.append(self._twisted(upcoming, ledger, follow_ups, dice))
                        upcoming = next(planned, None)
                    else:
                        lines.append(texts.record(self.population.values(row)))
                        ledger.plain(loaded=1)
                last = end == self.population.count
                file.write(follow_ups.merged(start, lines, last=last))
        return ledger

    def _allowed(self, row: int, kind: DefectKind) -> bool:
        return kind not in REJECTING or self.population.is_expendable(row)

    def _twisted(
        self, defect: Defect, ledger: FeedLedger, follow_ups: FollowUps, dice: Dice
    ) -> str:
        texts = layout(self.format, FIELDS[self.feed])
        values = self.population.values(defect.row)
        ledger.defects[defect.kind] += 1
        if defect.kind in REJECTING:
            make = {
                DefectKind.VALUES: refused_value,
                DefectKind.MISSING: missing_value,
                DefectKind.STRUCTURE: broken,
            }[defect.kind]
            bad = make(self.feed, values, texts, defect.serial)
            ledger.rejected[bad.code] += 1
            self.population.exists[defect.row] = False
            return bad.text
        if defect.kind is DefectKind.REPAIRS:
            messy = untidy(self.feed, values, texts, defect.serial)
            ledger.repaired += messy.repaired
            ledger.plain(loaded=1)
            return messy.text
        story = [values, values]
        if defect.kind is DefectKind.CORRECTIONS:
            story[1] = self.correct(values, defect.serial, dice)
            if defect.serial % 4 == 3:  # and back again
                story.append(values)
        ledger.story(story)
        after = defect.row
        for version in story[1:]:
            after += dice.between(0, _REACH)
            follow_ups.push(after, texts.record(version))
        return texts.record(values)
