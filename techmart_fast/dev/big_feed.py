"""Writes the transactions of a shop, with their defects, in one or many files."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from techmart_fast.dev.damage import BadRecord, broken, missing_value, refused_value, untidy
from techmart_fast.dev.layout import Layout
from techmart_fast.dev.ledger import FeedLedger, SalesLedger
from techmart_fast.dev.orders import CHUNK_ROWS, Chunk, Orders, Version
from techmart_fast.dev.pieces import Pieces
from techmart_fast.dev.randomness import Dice
from techmart_fast.dev.schedule import Defect, FollowUps, defects
from techmart_fast.dev.spec import DefectKind, ShopSpec
from techmart_fast.dev.twists import Story, Twists
from techmart_fast.records import Feed

_FEED = Feed.TRANSACTIONS
_NEAR, _FAR = 50, 40_000
"""Reach of repeats and newer versions, in rows: half of them come soon, half much later."""

_REJECTED = {
    DefectKind.VALUES: refused_value,
    DefectKind.MISSING: missing_value,
    DefectKind.STRUCTURE: broken,
}


class TransactionsWriter:
    """Writes the feed and keeps its books in `ledger` and `sales`."""

    def __init__(
        self, spec: ShopSpec, *, orders: Orders, sales: SalesLedger, layout: Layout, dice: Dice
    ) -> None:
        self.ledger = FeedLedger()
        self._sales = sales
        self._spec = spec
        self._orders = orders
        self._layout = layout
        self._dice = dice
        self._twists = Twists(orders, dice)
        self._follow_ups = FollowUps()

    def write(self, paths: Sequence[Path], *, progress: Callable[[int], None]) -> None:
        """Write all transactions, cut into as many files of about equal numbers of ids.

        Raises:
            TechmartError: a file can't be written.
        """
        rows = self._orders.count
        with Pieces(paths, self._layout, self._spec.compression, rows=rows) as pieces:
            for number, planned in enumerate(self._chunks()):
                late = [_place(defect) for defect in planned if defect.kind is DefectKind.LATE]
                chunk = self._orders.chunk(number, late)
                lines = self._lines(chunk, planned)
                broken_rows = {
                    defect.row for defect in planned if defect.kind is DefectKind.STRUCTURE
                }
                for start, end, file in pieces.over(chunk.start, len(lines), broken_rows):
                    some = lines[start - chunk.start : end - chunk.start]
                    last = end == rows
                    file.write(self._follow_ups.merged(start, some, last=last))
                progress(chunk.start + len(lines))

    def _chunks(self) -> Iterator[list[Defect]]:
        """The defects of each chunk."""
        planned = defects(
            self._orders.count,
            self._spec.defects,
            self._spec.kind_shares(_FEED),
            self._dice,
            lambda _row, _kind: True,
        )
        upcoming = next(planned, None)
        for start in range(0, self._orders.count, CHUNK_ROWS):
            here: list[Defect] = []
            while upcoming is not None and upcoming.row < start + CHUNK_ROWS:
                here.append(upcoming)
                upcoming = next(planned, None)
            yield here

    def _lines(self, chunk: Chunk, planned: Sequence[Defect]) -> list[str]:
        lines = self._orders.lines(chunk, self._layout)
        plain = np.ones(len(chunk), dtype=np.bool_)
        for defect in planned:
            self.ledger.defects[defect.kind] += 1
            if defect.kind is not DefectKind.LATE:
                place = _place(defect)
                plain[place] = False
                lines[place] = self._twisted(defect, self._orders.version(chunk, place))
        parents = (
            self._orders.people.exists[chunk.user] & self._orders.catalogue.exists[chunk.product]
        )
        loaded = plain & parents
        self._sales.add_rows(chunk, loaded)
        self.ledger.plain(loaded=int(loaded.sum()), held=int((plain & ~parents).sum()))
        return lines

    def _twisted(self, defect: Defect, version: Version) -> str:
        values = self._orders.values(version)
        if make := _REJECTED.get(defect.kind):
            return self._rejected(make(_FEED, values, self._layout, defect.serial), version)
        if defect.kind is DefectKind.REPAIRS:
            self._settle([version])
            messy = untidy(_FEED, values, self._layout, defect.serial)
            self.ledger.repaired += messy.repaired
            return messy.text
        story = {
            DefectKind.DUPLICATES: self._twists.repeat,
            DefectKind.CORRECTIONS: self._twists.correction,
            DefectKind.ORPHANS: self._twists.orphan,
        }[defect.kind](version, defect.serial)
        self._settle(story)
        texts = [self._layout.record(self._orders.values(version)) for version in story]
        if defect.kind is DefectKind.DUPLICATES and defect.serial % 3 == 2:
            # The same content in another notation is still the same.
            messy = untidy(_FEED, values, self._layout, defect.serial // 3)
            self.ledger.repaired += messy.repaired
            texts[-1] = messy.text
        after = defect.row
        for text in texts[1:]:
            after += self._dice.between(0, _NEAR if self._dice.chance(50) else _FAR)
            self._follow_ups.push(after, text)
        return texts[0]

    def _settle(self, story: Story) -> None:
        stays = self.ledger.story(story, is_held=lambda version: version.is_held)
        if stays is not None:
            self._sales.add(stays)

    def _rejected(self, bad: BadRecord, version: Version) -> str:
        self.ledger.rejected[bad.code] += 1
        if bad.dated:
            self._sales.add_rejected(version.day)
        return bad.text


def _place(defect: Defect) -> int:
    return defect.row % CHUNK_ROWS
