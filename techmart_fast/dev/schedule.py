"""Which rows of a feed get which defect, and what comes again later in the file."""

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain

from techmart_fast.dev.randomness import Dice
from techmart_fast.dev.spec import DefectKind

RowAllowed = Callable[[int, DefectKind], bool]

REJECTING = frozenset({DefectKind.VALUES, DefectKind.MISSING, DefectKind.STRUCTURE})
"""Kinds after which the record does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """Row `row` gets a defect; it is number `serial` (from 0) of its kind."""

    row: int
    kind: DefectKind
    serial: int


def defects(
    rows: int,
    rate: Decimal,
    shares: Mapping[DefectKind, Decimal],
    dice: Dice,
    allowed: RowAllowed,
) -> Iterator[Defect]:
    """All defects of a feed in row order, spread evenly, in exact proportions.

    The first defects are one of each kind, so that small feeds have them all; after that the kind
    that is furthest behind its share comes next. Two structurally broken records are never
    neighbours, nor at either end of the feed: how many records a broken stretch of a JSON array
    stands for could not be told. A defect for which no row is `allowed` in its stretch is left out.
    """
    number = int(rows * rate + Decimal("0.5"))
    counts = dict.fromkeys(shares, 0)
    if not counts:
        return
    last_broken = -1
    for place in range(number):
        first, end = place * rows // number, (place + 1) * rows // number
        kind = _next_kind(counts, shares, place)
        start = first + dice.below(end - first)
        for row in chain(range(start, end), range(first, start)):
            if kind is DefectKind.STRUCTURE and (row < last_broken + 2 or row == rows - 1):
                continue
            if allowed(row, kind):
                break
        else:
            continue
        if kind is DefectKind.STRUCTURE:
            last_broken = row
        yield Defect(row=row, kind=kind, serial=counts[kind])
        counts[kind] += 1


def _next_kind(
    counts: Mapping[DefectKind, int], shares: Mapping[DefectKind, Decimal], place: int
) -> DefectKind:
    for kind, count in counts.items():
        if not count:
            return kind
    return max(counts, key=lambda kind: shares[kind] * (place + 1) - counts[kind])


class FollowUps:
    """Records that are due after a later row: repeats and newer versions.

    Holds what lies within the reach of the delays, not the whole feed.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, str]] = []
        self._serial = 0

    def push(self, after_row: int, text: str) -> None:
        """Let `text` follow row `after_row` (or the last row of the feed, if that comes first)."""
        heapq.heappush(self._waiting, (after_row, self._serial, text))
        self._serial += 1

    def merged(self, start: int, lines: list[str], *, last: bool) -> list[str]:
        """The rows `start`, `start` + 1, … with what is due among them; with `last` all of it."""
        end = start + len(lines)
        merged: list[str] = []
        cursor = 0
        while self._waiting and (last or self._waiting[0][0] < end):
            after, _, text = heapq.heappop(self._waiting)
            place = min(after - start + 1, len(lines))
            merged += lines[cursor:place]
            merged.append(text)
            cursor = place
        return merged + lines[cursor:]
