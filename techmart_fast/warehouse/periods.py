"""Calendar periods around touched days: which days a recomputation reads and which rows it writes.

The formula itself (`rollups/financial_reports.sql`) derives the periods again from the days; this
only says, as literals, which partitions that touches.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import TypeVar

MAX_PARTITIONS = 2000
"""Days of one statement. A job may modify 4,000 partitions; a statement has to stay below 1 MB."""

_T = TypeVar("_T")


def period_starts(days: Iterable[date]) -> frozenset[date]:
    """First days of the day, ISO week, month, quarter and year that hold each of the days."""
    return frozenset(start for day in days for start in _starts(day))


def period_days(days: Iterable[date]) -> frozenset[date]:
    """Every day of the years, and of the ISO weeks, that hold the days."""
    weeks = {day - timedelta(days=day.weekday()) for day in days}
    years = {day.year for day in days}
    in_weeks = {week + timedelta(days=number) for week in weeks for number in range(7)}
    in_years = {
        date(year, 1, 1) + timedelta(days=number)
        for year in years
        for number in range(365 + (date(year, 12, 31).timetuple().tm_yday == 366))
    }
    return frozenset(in_weeks | in_years)


def period_count(days: Collection[date]) -> int:
    """How many periods (all five lengths) hold any of the days."""
    return len({(length, start) for day in days for length, start in enumerate(_starts(day))})


def chunks(days: Collection[date]) -> Iterator[Sequence[date]]:
    """The days in order, in pieces that one statement may name."""
    ordered = sorted(days)
    for first in range(0, len(ordered), MAX_PARTITIONS):
        yield ordered[first : first + MAX_PARTITIONS]


def _starts(day: date) -> tuple[date, date, date, date, date]:
    return (
        day,
        day - timedelta(days=day.weekday()),
        day.replace(day=1),
        day.replace(month=3 * ((day.month - 1) // 3) + 1, day=1),
        day.replace(month=1, day=1),
    )
