"""What a service says about when to come again: Retry-After and the RateLimit fields."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_WAIT_SECONDS = 7 * 86_400.0

_WHOLE = re.compile(r"[0-9]{1,12}")
_REMAINING = re.compile(r"(?:^|[;,\s])(?:r|remaining)=([0-9]{1,12})")
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
    moment = _http_date(text)
    if moment is None:
        return None
    sent = _http_date(headers.get("Date", "")) or now
    return _bounded((moment - sent).total_seconds())


def rate_limit_pause(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds until the quota is renewed, if the answer says that it is used up.

    Read are `RateLimit-Remaining` and `-Reset`, the same with `X-`, and `RateLimit` with `r` and
    `t` (the IETF's drafts).
    """
    told = headers.get("RateLimit", "")
    remaining, reset = _REMAINING.search(told), _RESET.search(told)
    if remaining and reset:
        return _bounded(float(reset[1])) if int(remaining[1]) == 0 else None
    for prefix in ("RateLimit", "X-RateLimit"):
        left = headers.get(f"{prefix}-Remaining", "").strip()
        until = headers.get(f"{prefix}-Reset", "").strip()
        if _WHOLE.fullmatch(left) and _WHOLE.fullmatch(until):
            if int(left) > 0:
                return None
            seconds = float(until)
            if seconds >= _EPOCH_FROM:
                seconds -= now.timestamp()
            return _bounded(seconds)
    return None


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), MAX_WAIT_SECONDS)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
