"""Timestamps and dates from ISO 8601 text: in bulk where plain, one by one otherwise."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.records import INSTANT
from techmart_fast.validate.text import as_mask, repair_text
from techmart_fast.validate.verdicts import Mask

# Days that exist in every year, so that Arrow's cast of all matching rows can't fail: 29 February
# is left to the calendar.
_DATE = (
    r"[0-9]{4}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
    r"|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
)
_TIME = r"[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
_OFFSET = r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_PLAIN_WITH_OFFSET = f"^{_DATE}{_TIME}{_OFFSET}$"
_PLAIN_NAIVE = f"^{_DATE}{_TIME}$"
_PLAIN_DATE = f"^{_DATE}$"
_ISO = re.compile(
    r"[0-9]{4}(-[0-9]{2}-[0-9]{2}|[0-9]{4})[Tt ]"
    r"(?P<time>[0-9]{2}(:?[0-9]{2}(:?[0-9]{2}([.,][0-9]+)?)?)?)(?P<offset>[Zz]|[+-][0-9:]{2,5})?"
)
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SHORTEST_WITH_OFFSET = len("2026-01-01T10:00Z")
_MICROSECOND = pa.timestamp("us")

Microseconds = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class InstantColumn:
    """Timestamps as UTC microseconds since 1970; `readable` marks rows that have one."""

    micros: Microseconds
    readable: Mask
    missing: Mask
    invalid: Mask
    without_offset: Mask
    in_gap: Mask
    repaired: int


@dataclass(frozen=True, slots=True)
class DateColumn:
    """Dates; null where missing or invalid."""

    values: pa.Date32Array
    missing: Mask
    invalid: Mask
    repaired: int


def read_instants(column: pa.StringArray, *, zone: str) -> InstantColumn:
    """Read ISO 8601 timestamps. Naive ones are in `zone`, or a fault if it is empty.

    A local time that the zone skips is a fault; one that it repeats is the first of the two.
    Digits beyond microseconds are cut off.
    """
    text = repair_text(column)
    rows = len(column)
    missing = text.missing
    nothing = np.zeros(rows, dtype=np.bool_)
    if not zone and (micros := _cast_all(text.values)) is not None:
        return InstantColumn(micros, ~missing, missing, nothing, nothing, nothing, text.repaired)
    micros = np.zeros(rows, dtype=np.int64)
    readable, invalid, without_offset, in_gap = (np.zeros(rows, dtype=np.bool_) for _ in range(4))
    aware = as_mask(pc.match_substring_regex(text.values, _PLAIN_WITH_OFFSET))
    if aware.any():
        chosen = text.values.filter(pa.array(aware)).cast(INSTANT)
        micros[aware] = chosen.cast(pa.int64()).to_numpy()
        readable |= aware
    naive = as_mask(pc.match_substring_regex(text.values, _PLAIN_NAIVE)) if zone else nothing
    if naive.any():
        _localize(text.values, naive, zone, micros=micros, readable=readable, in_gap=in_gap)
    strange = ~(aware | naive | missing)
    # Unusual spellings, leap days and faults: one by one.
    for row in np.nonzero(strange)[0].tolist():
        moment = _parse(text.values[row].as_py())
        if moment is None:
            invalid[row] = True
        elif moment.tzinfo is not None:
            _store(moment, row, micros, readable, invalid)
        elif not zone:
            without_offset[row] = True
        else:
            local = moment.replace(tzinfo=ZoneInfo(zone), fold=0)
            if local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) != moment:
                in_gap[row] = True
            else:
                _store(local, row, micros, readable, invalid)
    return InstantColumn(micros, readable, missing, invalid, without_offset, in_gap, text.repaired)


def read_dates(column: pa.StringArray) -> DateColumn:
    """Read ISO 8601 calendar dates (`2026-01-31`)."""
    text = repair_text(column)
    plain = pc.match_substring_regex(text.values, _PLAIN_DATE)
    days = pc.if_else(plain, text.values, pa.scalar(None, pa.string())).cast(pa.date32())
    missing = text.missing
    strange = np.nonzero(~(as_mask(plain) | missing))[0].tolist()
    if not strange:
        return DateColumn(days, missing, np.zeros(len(column), np.bool_), text.repaired)
    numbers = pc.fill_null(days.cast(pa.int32()), 0).to_numpy().copy()
    known = as_mask(days.is_valid())
    for row in strange:
        spelling = text.values[row].as_py()
        try:
            day = date.fromisoformat(spelling) if _ISO_DATE.fullmatch(spelling) else None
        except ValueError:
            day = None
        if day is not None:
            numbers[row] = (day - date(1970, 1, 1)).days
            known[row] = True
    values = pa.array(numbers, pa.int32(), mask=~known).cast(pa.date32())
    return DateColumn(values, missing, ~known & ~missing, text.repaired)


def _cast_all(values: pa.StringArray) -> Microseconds | None:
    """All values in one cast, if every one is a plain timestamp with an offset."""
    shortest = pc.min(pc.binary_length(values)).as_py()
    if shortest is not None and shortest < _SHORTEST_WITH_OFFSET:
        return None
    try:
        moments = values.cast(INSTANT).cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    micros: Microseconds = pc.fill_null(moments, 0).to_numpy()
    return micros


def _localize(
    values: pa.StringArray,
    naive: Mask,
    zone: str,
    *,
    micros: Microseconds,
    readable: Mask,
    in_gap: Mask,
) -> None:
    """Put the naive timestamps of `zone` into `micros`; those in a gap are marked instead."""
    local = values.filter(pa.array(naive)).cast(_MICROSECOND)
    moments = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="earliest")
    skipped = as_mask(pc.not_equal(pc.local_timestamp(moments), local))
    (rows,) = np.nonzero(naive)
    micros[rows] = moments.cast(pa.int64()).to_numpy()
    readable[rows] = ~skipped
    in_gap[rows] = skipped


def _parse(spelling: str) -> datetime | None:
    found = _ISO.fullmatch(spelling)
    if not found or found["time"].replace(":", "").startswith("24"):
        return None
    try:
        return datetime.fromisoformat(spelling.upper().replace(",", "."))
    except ValueError:
        return None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _store(moment: datetime, row: int, micros: Microseconds, readable: Mask, invalid: Mask) -> None:
    try:
        since = moment.astimezone(UTC) - _EPOCH
    except OverflowError:  # year 1 or 9999, moved over the edge of the calendar by its offset
        invalid[row] = True
        return
    micros[row] = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    readable[row] = True
