"""The products that the server has, made or stored, each with the time of its change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from techmart_fast.dev.catalogue import Catalogue, corrected_product
from techmart_fast.dev.layout import Values
from techmart_fast.dev.people import id_maker
from techmart_fast.dev.randomness import Dice, Ints, Streams

_NEWEST = datetime(2025, 1, 1, tzinfo=UTC)
_PERIOD_SECONDS = 30 * 86_400
_BETWEEN_REVISIONS = timedelta(hours=1)
_ID_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    values: Mapping[str, str]
    updated_at: datetime


class Products:
    """All products in their order. An object never changes; `revised` makes another.

    `updated_at` lies in whole seconds within the 30 days before 2025-01-01 UTC; each revision is an
    hour after everything before it. HTTP dates know whole seconds only, so Last-Modified is exact.
    """

    def __init__(self, *, count: int, seed: int, stored: Sequence[Values] | None = None) -> None:
        """`count` products of the generator, or those that are `stored`."""
        streams = Streams(seed)
        self.count = count if stored is None else len(stored)
        self._seed = seed
        self._made: Callable[[int], Values]
        if stored is None:
            # The generator knows no empty shop; one product that is never shown stands in for it.
            made = Catalogue(streams, count=max(1, count), ids=id_maker("prd", _ID_DIGITS))
            self._made = made.values
        else:
            self._made = stored.__getitem__
        self._age_seconds: Ints = streams.below("updated at", self.count, _PERIOD_SECONDS)
        self._changes: Mapping[int, _Change] = {}
        self._revisions = 0

    @property
    def newest(self) -> datetime:
        """When the last change was made, or could have been made."""
        return _NEWEST + self._revisions * _BETWEEN_REVISIONS

    def revised(self, count: int) -> "Products":
        """The products after `count` of them (all, if there are fewer) changed an hour later.

        Price, stock or name differs; which products, and how, comes from the seed.
        """
        later = object.__new__(Products)
        later.count, later._seed, later._made = self.count, self._seed, self._made
        later._age_seconds = self._age_seconds
        later._revisions = self._revisions + 1
        dice = Streams(self._seed).dice(f"revision {later._revisions}")
        order = sorted(range(self.count), key=lambda _index: dice.below(1 << 60))
        later._changes = {
            **self._changes,
            **{
                index: _Change(
                    values=corrected_product(self._plain(index), serial, dice),
                    updated_at=later.newest,
                )
                for serial, index in enumerate(order[:count])
            },
        }
        return later

    def updated_at(self, index: int) -> datetime:
        """When a product was changed last (UTC, whole seconds)."""
        change = self._changes.get(index)
        if change is not None:
            return change.updated_at
        return _NEWEST - timedelta(seconds=int(self._age_seconds[index]))

    def values(self, index: int) -> dict[str, str]:
        """The record of a product by field; numbers are written exactly."""
        moment = f"{self.updated_at(index):%Y-%m-%dT%H:%M:%SZ}"
        return {**self._plain(index), "updated_at": moment}

    def since(self, moment: datetime | None) -> Sequence[int]:
        """Indices of the products changed at `moment` (with an offset) or later; None is all."""
        if moment is None:
            return range(self.count)
        seconds = (_NEWEST - moment).total_seconds()
        recent = set(np.flatnonzero(self._age_seconds <= seconds).tolist())
        # Changed products are as new as their change, however old they were before it.
        for index, change in self._changes.items():
            if change.updated_at >= moment:
                recent.add(index)
        return sorted(recent)

    def _plain(self, index: int) -> Mapping[str, str]:
        change = self._changes.get(index)
        return self._made(index) if change is None else change.values


def request_dice(seed: int, ordinal: int) -> Dice:
    """The dice that decide the fate of the `ordinal`-th request; of no other use."""
    return Dice((seed << 64 | ordinal) << 1)
