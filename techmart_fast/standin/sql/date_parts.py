"""Parts and formats of dates and timestamps: EXTRACT, FORMAT_DATE, PARSE_DATE.

https://cloud.google.com/bigquery/docs/reference/standard-sql/date_functions#extract
https://cloud.google.com/bigquery/docs/reference/standard-sql/format-elements
"""

import re
from collections.abc import Mapping

from sqlglot import exp

from techmart_fast.standin.bqtypes import BqType
from techmart_fast.standin.failure import invalid_query, not_implemented
from techmart_fast.standin.sql.coercion import coerced
from techmart_fast.standin.sql.dates import instant
from techmart_fast.standin.sql.kinds import (
    DATE,
    DATETIME,
    INT64,
    STRING,
    TIMESTAMP,
    call,
    cast,
    kind_of,
    literal_of,
    shown,
    text,
)
from techmart_fast.standin.sql.rules import always, rule

_PARTS: Mapping[str, str] = {
    "YEAR": "year",
    "ISOYEAR": "isoyear",
    "QUARTER": "quarter",
    "MONTH": "month",
    "ISOWEEK": "week",
    "DAY": "day",
    "DAYOFYEAR": "doy",
}
_CLOCK_PARTS: Mapping[str, str] = {"HOUR": "hour", "MINUTE": "minute", "SECOND": "second"}


def _extracted_type(node: exp.Expr) -> BqType:
    part = node.this.name.upper() if not isinstance(node.this, exp.WeekStart) else ""
    return DATE if part == "DATE" else INT64


@rule(exp.Extract, type_of=_extracted_type)
def _extract(node: exp.Expr) -> exp.Expr:
    if isinstance(node.this, exp.WeekStart):
        raise not_implemented(f"this date part: {shown(node)}")
    part = node.this.name.upper()
    value = node.expression
    if isinstance(value, exp.AtTimeZone):
        kind: BqType = DATETIME
        value = call("timezone", value.args["zone"], instant(value.this, name="EXTRACT"))
    else:
        kind = kind_of(value)
    if kind not in (DATE, TIMESTAMP, DATETIME):
        raise invalid_query(f"EXTRACT does not support arguments of type: {kind}")
    if part == "DATE":
        return cast(value, DATE)
    if part in _PARTS:
        return cast(call("date_part", text(_PARTS[part]), value), INT64)
    if part == "DAYOFWEEK":
        return cast(call("bq_day_of_week", value), INT64)
    if part == "WEEK":
        return cast(call("bq_week_number", cast(value, DATE)), INT64)
    if kind == DATE:
        raise invalid_query(f"EXTRACT from DATE does not support the date part {part}")
    if part in _CLOCK_PARTS:
        return cast(call("date_part", text(_CLOCK_PARTS[part]), value), INT64)
    if part in ("MILLISECOND", "MICROSECOND"):
        return cast(call(f"bq_{part.lower()}", value), INT64)
    raise not_implemented(f"the date part {part}")


# An AT TIME ZONE is only understood inside EXTRACT, which takes it apart.
@rule(exp.AtTimeZone, type_of=always(DATETIME))
def _at_time_zone(node: exp.Expr) -> exp.Expr:
    if not isinstance(node.parent, exp.Extract):
        raise not_implemented(f"AT TIME ZONE here: {shown(node)}")
    return node


_FORMATS = frozenset("YmdFHMSjbBaAyGVuTpIeRD%")
"""Elements of a format that mean the same in DuckDB (or are expanded into such)."""
_EXPANDED = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y"}


@rule(exp.TimeToStr, type_of=always(STRING))
def _formatted(node: exp.Expr) -> exp.Expr:
    pattern = literal_of(node.args["format"])
    if pattern is None or node.args.get("zone") is not None:
        raise not_implemented(f"this use of FORMAT_DATE or FORMAT_TIMESTAMP: {shown(node)}")
    return call("strftime", node.this, text(_format(pattern.name, shown(node))))


@rule(exp.TsOrDsToTimestamp, type_of=always(TIMESTAMP))
def _as_timestamp(node: exp.Expr) -> exp.Expr:
    return instant(node.this, name="FORMAT_TIMESTAMP")


@rule(exp.StrToDate, type_of=always(DATE))
def _parsed_date(node: exp.Expr) -> exp.Expr:
    pattern = literal_of(node.args["format"])
    if pattern is None:
        raise not_implemented(f"this use of PARSE_DATE: {shown(node)}")
    value = coerced(node.this, STRING, what="PARSE_DATE")
    return cast(call("strptime", value, text(_format(pattern.name, shown(node)))), DATE)


def _format(pattern: str, whole: str) -> str:
    def element(found: re.Match[str]) -> str:
        letter = found.group(1)
        if letter not in _FORMATS or letter in "eI":
            raise not_implemented(f"the format element %{letter}: {whole}")
        return _EXPANDED.get(letter, f"%{letter}")

    return re.sub(r"%(.)", element, pattern)
