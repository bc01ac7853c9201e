"""Dates and timestamps. Timestamps are microseconds in UTC; weeks begin where BigQuery says.

https://cloud.google.com/bigquery/docs/reference/standard-sql/date_functions
https://cloud.google.com/bigquery/docs/reference/standard-sql/timestamp_functions
"""

import re
from collections.abc import Mapping

from sqlglot import exp

from techmart_fast.standin.bqtypes import BqType, Kind
from techmart_fast.standin.failure import invalid_query, not_implemented
from techmart_fast.standin.sql.coercion import coerced
from techmart_fast.standin.sql.kinds import (
    DATE,
    DATETIME,
    INT64,
    STRING,
    TIMESTAMP,
    call,
    cast,
    cast_to,
    is_text_literal,
    kind_of,
    literal_of,
    noted,
    number,
    shown,
    text,
)
from techmart_fast.standin.sql.rules import always, rule

DATE_ARRAY = BqType(Kind.ARRAY, element=DATE)
_MICROSECONDS: Mapping[str, int] = {
    "MICROSECOND": 1,
    "MILLISECOND": 1_000,
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
}
_MONTHS: Mapping[str, int] = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_TRUNCATED = ("DAY", "MONTH", "QUARTER", "YEAR")
_WEEKDAYS = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")


def _unit(node: exp.Expr) -> str:
    """The date part of a function, e.g. `DAY` or `WEEK(TUESDAY)`."""
    unit = node.args.get("unit")
    if isinstance(unit, exp.WeekStart):
        return f"WEEK({unit.this.name.upper()})"
    return unit.name.upper() if unit is not None else "DAY"


def _week_offset(unit: str) -> int | None:
    """Days by which a week of this kind begins after Monday; None if it is no week."""
    if unit == "ISOWEEK":
        return 0
    if unit == "WEEK":
        return -1
    if unit.startswith("WEEK("):
        return _WEEKDAYS.index(unit[5:-1]) - 1
    return None


def _dated(node: exp.Expr, *, name: str) -> exp.Expr:
    """An argument that must be a DATE."""
    return coerced(node, DATE, what=name)


def instant(node: exp.Expr, *, name: str) -> exp.Expr:
    """An argument that must be a TIMESTAMP."""
    return coerced(node, TIMESTAMP, what=name)


def _time_type(node: exp.Expr) -> BqType:
    if is_text_literal(node.this):
        return DATE if isinstance(node, (exp.DateTrunc, exp.DateAdd, exp.DateSub)) else TIMESTAMP
    kind = kind_of(node.this)
    if kind not in (DATE, TIMESTAMP):
        raise not_implemented(f"{node.key} of {kind}")
    return kind


@rule(exp.DateTrunc, exp.TimestampTrunc, type_of=_time_type)
def _truncated(node: exp.Expr) -> exp.Expr:
    kind, unit = kind_of(node), _unit(node)
    zone = node.args.get("zone")
    if zone is not None and (kind == DATE or not _is_utc(zone)):
        raise not_implemented(f"truncation in a time zone: {shown(node)}")
    if kind == DATE:
        return truncated_date(_dated(node.this, name="DATE_TRUNC"), unit)
    value = instant(node.this, name="TIMESTAMP_TRUNC")
    if _week_offset(unit) is not None or unit == "ISOYEAR":
        return cast(truncated_date(cast(value, DATE), unit), TIMESTAMP)
    if unit not in _MICROSECONDS and unit not in _TRUNCATED:
        raise invalid_query(f"A valid date part name is required but found {unit}.")
    return cast(call("date_trunc", text(unit.lower()), value), TIMESTAMP)


def truncated_date(value: exp.Expr, unit: str) -> exp.Expr:
    """The first day of the period that a (rewritten) date is in."""
    offset = _week_offset(unit)
    if offset is not None:
        return noted(call("bq_week_start", value, number(offset)), DATE)
    if unit == "ISOYEAR":
        return noted(call("bq_iso_year_start", value), DATE)
    if unit not in _TRUNCATED:
        raise invalid_query(f"A valid date part name is required but found {unit}.")
    return cast(call("date_trunc", text(unit.lower()), value), DATE)


def _is_utc(zone: exp.Expr) -> bool:
    written = literal_of(zone)
    return written is not None and written.name.upper() in ("UTC", "ETC/UTC", "+00", "+00:00")


@rule(exp.DateDiff, type_of=always(INT64))
def _date_difference(node: exp.Expr) -> exp.Expr:
    unit = _unit(node)
    if TIMESTAMP in (kind_of(node.this), kind_of(node.expression)):
        return _instant_difference(node)
    end = _dated(node.this, name="DATE_DIFF")
    start = _dated(node.expression, name="DATE_DIFF")
    if unit == "DAY":
        return cast(exp.Paren(this=exp.Sub(this=end, expression=start)), INT64)
    if _week_offset(unit) is not None:
        weeks = exp.Sub(this=truncated_date(end, unit), expression=truncated_date(start, unit))
        return cast(call("bq_div", exp.Paren(this=weeks), number(7)), INT64)
    if unit == "ISOYEAR":
        return noted(call("bq_iso_year_diff", end, start), INT64)
    if unit in _MONTHS:
        return cast(call("date_diff", text(unit.lower()), start, end), INT64)
    raise invalid_query(f"DATE_DIFF does not support the date part {unit}.")


@rule(exp.TimestampDiff, type_of=always(INT64))
def _instant_difference(node: exp.Expr) -> exp.Expr:
    """Whole units between two instants, towards zero (DuckDB would count boundaries)."""
    unit = _unit(node)
    if unit not in _MICROSECONDS:
        raise invalid_query(f"TIMESTAMP_DIFF does not support the date part {unit}.")
    end = call("epoch_us", instant(node.this, name="TIMESTAMP_DIFF"))
    start = call("epoch_us", instant(node.expression, name="TIMESTAMP_DIFF"))
    difference = exp.Paren(this=exp.Sub(this=end, expression=start))
    return cast(call("bq_div", difference, number(_MICROSECONDS[unit])), INT64)


@rule(exp.DateAdd, exp.DateSub, exp.TimestampAdd, exp.TimestampSub, type_of=_time_type)
def _shifted(node: exp.Expr) -> exp.Expr:
    kind, unit = kind_of(node), _unit(node)
    amount = _amount(node.expression)
    if isinstance(node, (exp.DateSub, exp.TimestampSub)):
        amount = exp.Neg(this=exp.Paren(this=amount))
    if kind == DATE:
        return existing_date(shifted_date(_dated(node.this, name="DATE_ADD"), amount, unit))
    if unit not in _MICROSECONDS:
        raise invalid_query(f"TIMESTAMP_ADD does not support the date part {unit}.")
    span = exp.Mul(this=exp.Paren(this=amount), expression=number(_MICROSECONDS[unit]))
    value = instant(node.this, name="TIMESTAMP_ADD")
    moved = exp.Add(this=value, expression=call("to_microseconds", span))
    return cast(call("bq_existing_instant", exp.Paren(this=moved)), TIMESTAMP)


def existing_date(value: exp.Expr) -> exp.Expr:
    """A computed date, or an error outside of the years 1 to 9999."""
    return cast(call("bq_existing_date", value), DATE)


def shifted_date(value: exp.Expr, amount: exp.Expr, unit: str) -> exp.Expr:
    """A (rewritten) date moved by some units; in a shorter month its last day."""
    if unit in _MONTHS:
        months = exp.Mul(this=exp.Paren(this=amount), expression=number(_MONTHS[unit]))
        moved = exp.Add(this=value, expression=call("to_months", cast_to(months, "INTEGER")))
        return cast(exp.Paren(this=moved), DATE)
    if unit not in ("DAY", "WEEK"):
        raise invalid_query(f"DATE_ADD does not support the date part {unit}.")
    days = exp.Mul(this=exp.Paren(this=amount), expression=number(7 if unit == "WEEK" else 1))
    moved = exp.Add(this=value, expression=cast_to(exp.Paren(this=days), "INTEGER"))
    return cast(exp.Paren(this=moved), DATE)


def _amount(node: exp.Expr) -> exp.Expr:
    """The number of an INTERVAL; sqlglot writes a literal number as a text."""
    written = literal_of(node)
    if written is not None and written.is_string:
        if not re.fullmatch(r"[+-]?\d+", written.name):
            raise not_implemented(f"the interval '{written.name}'")
        return cast(number(int(written.name)), INT64)
    return coerced(node, INT64, what="INTERVAL")


@rule(exp.LastDay, type_of=always(DATE))
def _last_day(node: exp.Expr) -> exp.Expr:
    unit = _unit(node) if node.args.get("unit") else "MONTH"
    first = truncated_date(_dated(node.this, name="LAST_DAY"), unit)
    if unit == "ISOYEAR":
        raise not_implemented("LAST_DAY of ISOYEAR")
    step = "WEEK" if _week_offset(unit) is not None else unit
    following = shifted_date(first, number(1), step)
    return cast(exp.Paren(this=exp.Sub(this=following, expression=number(1))), DATE)


@rule(exp.Date, exp.TsOrDsToDate, type_of=always(DATE))
def _date(node: exp.Expr) -> exp.Expr:
    if node.expressions:
        raise not_implemented(f"this use of DATE: {shown(node)}")
    zone, value = node.args.get("zone"), node.this
    if zone is not None:
        local = call("timezone", coerced(zone, STRING, what="DATE"), instant(value, name="DATE"))
        return cast(local, DATE)
    if kind_of(value) in (DATE, TIMESTAMP, DATETIME) or is_text_literal(value):
        return cast(value, DATE)
    raise invalid_query(f"No matching signature for DATE for argument type {kind_of(value)}.")


@rule(exp.DateFromParts, type_of=always(DATE))
def _date_of_parts(node: exp.Expr) -> exp.Expr:
    parts = [coerced(node.args[part], INT64, what="DATE") for part in ("year", "month", "day")]
    return call("make_date", *parts)


@rule(exp.Timestamp, type_of=always(TIMESTAMP))
def _timestamp(node: exp.Expr) -> exp.Expr:
    zone = node.args.get("zone")
    if zone is not None and not _is_utc(zone):
        raise not_implemented(f"TIMESTAMP in a time zone: {shown(node)}")
    if kind_of(node.this) not in (DATE, TIMESTAMP, DATETIME, STRING):
        raise invalid_query(f"No matching signature for TIMESTAMP for {kind_of(node.this)}.")
    return cast(node.this, TIMESTAMP)


@rule(exp.CurrentDate, type_of=always(DATE))
def _today(node: exp.Expr) -> exp.Expr:
    zone = node.this
    local = call("timezone", zone if zone is not None else text("UTC"), call("now"))
    return cast(local, DATE)


@rule(exp.CurrentTimestamp, type_of=always(TIMESTAMP))
def _now(node: exp.Expr) -> exp.Expr:
    return cast(call("now"), TIMESTAMP)


@rule(exp.GenerateDateArray, type_of=always(DATE_ARRAY))
def _date_array(node: exp.Expr) -> exp.Expr:
    step = node.args["step"]
    unit = _unit(step)
    amount = _amount(step.this)
    start = _dated(node.args["start"], name="GENERATE_DATE_ARRAY")
    end = _dated(node.args["end"], name="GENERATE_DATE_ARRAY")
    if unit in _MONTHS:
        span = call(
            "to_months", cast_to(exp.Mul(this=amount, expression=number(_MONTHS[unit])), "INTEGER")
        )
    elif unit in ("DAY", "WEEK"):
        days = exp.Mul(this=amount, expression=number(7 if unit == "WEEK" else 1))
        span = call("to_days", cast_to(exp.Paren(this=days), "INTEGER"))
    else:
        raise invalid_query(f"GENERATE_DATE_ARRAY does not support the date part {unit}.")
    return cast(call("generate_series", start, end, span), DATE_ARRAY)


_SECONDS: dict[type[exp.Expr], int] = {
    exp.UnixSeconds: 1_000_000,
    exp.UnixMillis: 1_000,
    exp.UnixMicros: 1,
}


@rule(*_SECONDS, type_of=always(INT64))
def _since_epoch(node: exp.Expr) -> exp.Expr:
    micros = call("epoch_us", instant(node.this, name="UNIX_SECONDS"))
    return cast(call("bq_floor_div", micros, number(_SECONDS[type(node)])), INT64)


@rule(exp.UnixDate, type_of=always(INT64))
def _days_since_epoch(node: exp.Expr) -> exp.Expr:
    epoch = cast(text("1970-01-01"), DATE)
    value = _dated(node.this, name="UNIX_DATE")
    return cast(exp.Paren(this=exp.Sub(this=value, expression=epoch)), INT64)


@rule(exp.DateFromUnixDate, type_of=always(DATE))
def _date_of_days(node: exp.Expr) -> exp.Expr:
    days = coerced(node.this, INT64, what="DATE_FROM_UNIX_DATE")
    return existing_date(shifted_date(cast(text("1970-01-01"), DATE), days, "DAY"))


@rule(exp.UnixToTime, type_of=always(TIMESTAMP))
def _instant_of_seconds(node: exp.Expr) -> exp.Expr:
    scale = literal_of(node.args["scale"]) if node.args.get("scale") else None
    power = {None: 1_000_000, "0": 1_000_000, "3": 1_000, "6": 1}[scale.name if scale else None]
    value = coerced(node.this, INT64, what="TIMESTAMP_SECONDS")
    micros = exp.Mul(this=value, expression=number(power))
    return cast(call("bq_existing_instant", call("make_timestamptz", micros)), TIMESTAMP)
