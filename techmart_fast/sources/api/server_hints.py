"""What a service says about when to come again: Retry-After and the RateLimit fields."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_WAIT_SECONDS = 7 * 86_400.0

_WHOLE = re.compile(r"[0-9]{1,12}")
_REMAINING = re.compile(r"(?:^|[;,\s])(?:r|remaining)=([0-9]{1,12})")
_LIMIT = re.compile(r"(?:^|[;,\s])limit=([0-9]{1,12})")
_RESET = re.compile(r"(?:^|[;,\s])(?:t|reset)=([0-9]{1,12})")
# Some services give the moment rather than the distance: 10⁹ s are 32 years.
_EPOCH_FROM = 1_000_000_000


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds to wait by `Retry-After` (RFC 9110, section 10.2.3); None without a valid one.

    A date is compared with the answer's own `Date`, so that clocks that differ do no harm.
    """
    text = headers.get("Retry-After", "").strip()
    if _WHOLE.fullmatch(text):
        return _bounded(float(text))
    moment = http_date(text)
    if moment is None:
        return None
    sent = http_date(headers.get("Date", "")) or now
    return _bounded((moment - sent).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What the service says of its own limit: `remaining` requests until it is renewed.

    `limit` is how many it allows from renewal to renewal, if it says so.
    """

    remaining: int
    reset_seconds: float
    limit: int | None


def quota(headers: Mapping[str, str], *, now: datetime) -> Quota | None:
    """The quota in an answer; None without one.

    Read are `RateLimit-Limit`, `-Remaining` and `-Reset`, the same with `X-`, and `RateLimit` with
    `r` and `t`, or with words (the IETF's drafts).
    """
    told = headers.get("RateLimit", "")
    if (remaining := _REMAINING.search(told)) and (reset := _RESET.search(told)):
        limit = _LIMIT.search(told)
        return _quota(remaining[1], reset[1], limit[1] if limit else "", now)
    for prefix in ("RateLimit", "X-RateLimit"):
        left, until, most = (
            headers.get(f"{prefix}-{name}", "").strip() for name in ("Remaining", "Reset", "Limit")
        )
        if _WHOLE.fullmatch(left) and _WHOLE.fullmatch(until):
            return _quota(left, until, most, now)
    return None


def _quota(remaining: str, reset: str, limit: str, now: datetime) -> Quota:
    seconds = float(reset)
    if seconds >= _EPOCH_FROM:
        seconds -= now.timestamp()
    # Some add the windows of several limits: `100, 100;w=60`.
    first = _WHOLE.match(limit)
    return Quota(
        remaining=int(remaining),
        reset_seconds=_bounded(seconds),
        limit=int(first[0]) if first else None,
    )


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), MAX_WAIT_SECONDS)


def http_date(text: str) -> datetime | None:
    """The time that a header like `Date` tells; None if it tells none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
