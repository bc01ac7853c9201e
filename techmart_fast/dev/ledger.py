"""Keeps the books while a shop is written: what a right run must report."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import TypeVar

import numpy as np

from techmart_fast.dev.orders import COMPLETED, DAY_MILLISECONDS, Chunk, Version
from techmart_fast.dev.randomness import Ints
from techmart_fast.dev.usd import CURRENCIES, UsdTable
from techmart_fast.records import FeedCounts

_Record = TypeVar("_Record")


@dataclass(slots=True)
class FeedLedger:
    """What became of the records of one feed. `rows` is what its table holds at the end."""

    loaded: int = 0
    held: int = 0
    duplicate: int = 0
    corrected: int = 0
    repaired: int = 0
    rows: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    defects: Counter[str] = field(default_factory=Counter)

    def plain(self, *, loaded: int, held: int = 0) -> None:
        """Records whose ids come once."""
        self.loaded += loaded
        self.rows += loaded
        self.held += held

    def story(
        self, versions: Sequence[_Record], *, is_held: Callable[[_Record], bool] = lambda _: False
    ) -> _Record | None:
        """All versions of one id in the order of the file; returns the one that stays, if any.

        Equal to the version before: duplicate. Parent missing: held. Otherwise loaded.
        """
        before: _Record | None = None
        stays: _Record | None = None
        for version in versions:
            if version == before:
                self.duplicate += 1
            elif is_held(version):
                self.held += 1
            else:
                self.loaded += 1
                self.corrected += stays is not None
                stays = version
            before = version
        self.rows += stays is not None
        return stays

    def counts(self) -> FeedCounts:
        """The counts of the feed."""
        rejected = self.rejected.total()
        return FeedCounts(
            read=self.loaded + rejected + self.held + self.duplicate,
            loaded=self.loaded,
            rejected=rejected,
            held=self.held,
            duplicate=self.duplicate,
            rejected_by_reason=dict(self.rejected),
            corrected=self.corrected,
            repaired=self.repaired,
        )


class SalesLedger:
    """Sums over the transactions of the end state, in whole cents.

    It holds a few numbers for each day and currency, whatever the number of transactions.
    """

    def __init__(self, *, first: date, days: int, usd: UsdTable) -> None:
        self._first = first
        self._usd = usd
        self._rows: Ints = np.zeros(days, dtype=np.int64)
        self._completed_usd: Ints = np.zeros(days, dtype=np.int64)
        self._amounts: Ints = np.zeros(len(CURRENCIES), dtype=np.int64)
        self._total_usd = 0
        self._rejected: Counter[int] = Counter()

    def add_rows(self, chunk: Chunk, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        """Transactions of a chunk that are in the end state as they are."""
        day = chunk.milliseconds[rows] // DAY_MILLISECONDS
        cents, currency = chunk.cents[rows], chunk.currency[rows]
        usd = self._usd.cents(cents, currency, day)
        completed = chunk.status[rows] == COMPLETED
        np.add.at(self._rows, day, 1)
        np.add.at(self._completed_usd, day[completed], usd[completed])
        np.add.at(self._amounts, currency, cents)
        self._total_usd += int(usd.sum())

    def add(self, version: Version) -> None:
        """One transaction of the end state."""
        usd = self._usd.cents_of(version.cents, version.currency, version.day)
        self._rows[version.day] += 1
        if version.status == COMPLETED:
            self._completed_usd[version.day] += usd
        self._amounts[version.currency] += version.cents
        self._total_usd += usd

    def add_rejected(self, day: int) -> None:
        """A rejected transaction whose timestamp can be read."""
        self._rejected[day] += 1

    def revenue_usd(self) -> dict[date, Decimal]:
        """USD of completed transactions, by every day that has a transaction."""
        return {
            self._date(day): _money(int(self._completed_usd[day]))
            for day in np.nonzero(self._rows)[0].tolist()
        }

    def rejected_by_day(self) -> dict[date, int]:
        """Rejected transactions by the day of their timestamp."""
        return {self._date(day): rows for day, rows in sorted(self._rejected.items())}

    def amounts(self) -> dict[str, Decimal]:
        """Sum of all amounts, by currency in order of its code."""
        return {
            code: _money(int(self._amounts[CURRENCIES.index(code)])) for code in sorted(CURRENCIES)
        }

    def amount_usd(self) -> Decimal:
        """Sum of all amounts in USD, each rounded to cents."""
        return _money(self._total_usd)

    def _date(self, day: int) -> date:
        return self._first + timedelta(days=day)


def _money(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)
