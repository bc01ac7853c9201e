"""Reporting dates: which day and hour an instant is in the contract's reporting time zone."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US

Integers = np.ndarray[tuple[int], np.dtype[np.int64]]


def local_micros(instants: pa.TimestampArray, zone: str) -> Integers:
    """Wall-clock microseconds since 1970-01-01 00:00 in `zone`, for each instant (no nulls)."""
    if zone in {"UTC", "Etc/UTC"}:
        return _numbers(instants)
    zoned = instants.cast(pa.timestamp("us", tz=zone))
    return _numbers(pc.local_timestamp(zoned))


def _numbers(instants: pa.TimestampArray) -> Integers:
    micros: Integers = instants.cast(pa.int64()).to_numpy()
    return micros


def reporting_days(instants: pa.TimestampArray, zone: str) -> Integers:
    """Days since 1970-01-01 in `zone`."""
    return local_micros(instants, zone) // _DAY_US


def split_local(micros: Integers) -> tuple[Integers, Integers, Integers]:
    """Day since 1970-01-01, hour of the day, ISO day of the week (Monday 1) of local time."""
    days = micros // _DAY_US
    hours = (micros - days * _DAY_US) // _HOUR_US
    # 1970-01-01 was a Thursday, ISO day 4.
    return days, hours, (days + 3) % 7 + 1
