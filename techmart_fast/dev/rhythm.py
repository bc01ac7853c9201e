"""When people buy: a year with seasons, a week with weekends, a day with an evening."""

from datetime import date, timedelta

import numpy as np

from techmart_fast.dev.randomness import Ints, Words, scaled

_MONTHS = (82, 78, 86, 88, 92, 90, 86, 88, 94, 104, 132, 150)
_WEEKDAYS = (100, 97, 98, 102, 108, 120, 114)  # Monday first
_HOURS = (
    *(14, 9, 6, 5, 5, 8, 14, 24, 36, 46, 54, 60),
    *(64, 62, 58, 58, 62, 70, 84, 98, 100, 86, 58, 30),
)
_SALE = 260  # percent of the usual, on the days around the last Friday of November
_MONTHS_PER_YEAR = 12
_HOUR_MILLISECONDS = 3_600_000


class Rhythm:
    """Spreads a number of events over the hours of a period, in proportion to how busy each is.

    Event i of n lies, up to a random step, at the i/n-quantile of the year: the sequence is in
    order of time and any part of it can be made without the rest.
    """

    def __init__(self, *, first: date, days: int) -> None:
        self.first = first
        self.days = days
        busy = [_day_weight(first + timedelta(days=day)) for day in range(days)]
        self._weights: Ints = np.outer(busy, _HOURS).astype(np.int64).ravel() // 100
        self._starts: Ints = np.concatenate(([0], np.cumsum(self._weights)))

    def milliseconds(self, start: int, words: Words, *, total: int) -> Ints:
        """Times of the events `start`, `start` + 1, … of `total`, as ms since the first midnight.

        One random word for each event.
        """
        weight = int(self._starts[-1])
        rows = np.arange(start, start + len(words), dtype=np.int64)
        places = (rows * weight + _wide_scaled(words, weight)) // total
        slots = np.searchsorted(self._starts, places, side="right") - 1
        step = _HOUR_MILLISECONDS // self._weights[slots]
        within = (places - self._starts[slots]) * step + scaled(words << np.uint64(32), step)
        return slots * _HOUR_MILLISECONDS + within


def _wide_scaled(words: Words, bound: int) -> Ints:
    """As `scaled`, for bounds up to 2^40, with 24 bits of the word."""
    return (((words >> np.uint64(40)) * np.uint64(bound)) >> np.uint64(24)).astype(np.int64)


def _day_weight(day: date) -> int:
    """How busy a day is: about 10,000 on a usual one."""
    month = day.month - 1
    # Between the middles of two months, so that no day jumps.
    side = 1 if day.day > 15 else -1
    neighbour = _MONTHS[(month + side) % _MONTHS_PER_YEAR]
    away = abs(day.day - 15)
    season = (_MONTHS[month] * (30 - away) + neighbour * away) // 30
    weight = season * _WEEKDAYS[day.weekday()]
    return weight * _SALE // 100 if _in_sale(day) else weight


def _in_sale(day: date) -> bool:
    november = date(day.year, 11, 30)
    friday = november - timedelta(days=(november.weekday() - 4) % 7)
    return 0 <= (day - friday).days <= 3
