"""Spaces requests so that no second, as the server counts it, has more than allowed."""

import asyncio
import math
from collections import deque

from techmart_fast.sources.api.clocks import Clocks
from techmart_fast.sources.api.deadline import Deadline
from techmart_fast.sources.api.events import Observer, Paused
from techmart_fast.sources.api.server_hints import Quota

SAFETY_SECONDS = 0.06
"""How much later than it was sent a request may reach the server, where nothing tells more.

At worst, it costs 6 % of a rate above 1 a second. A quick answer tells more: it came after that.
"""

_MOST_STALL_SECONDS = 0.15
_RECENT_ANSWERS = 50
_SPACING_SECONDS = 0.005
_CATCH_UP_SECONDS = 0.05


class Grant:
    """The leave to send one request. Until `sent` is called, it may be sent at any moment."""

    def __init__(self, clocks: Clocks, latencies: deque[float]) -> None:
        self._clocks = clocks
        self._latencies = latencies
        self._sent: float | None = None
        self._arrived: float | None = None

    def sent(self) -> None:
        """Its headers were sent just now. Only the first call counts."""
        if self._sent is None:
            self._sent = self._clocks.monotonic()

    def answered(self) -> None:
        """An answer began to come: by now the request has reached the server."""
        if self._arrived is None and self._sent is not None:
            self._arrived = self.latest_arrival
            self._latencies.append(self._clocks.monotonic() - self._sent)

    def ended(self) -> None:
        """It is over, with or without an answer; it may never have been sent."""
        self.sent()
        if self._arrived is None:
            self._arrived = self.latest_arrival

    @property
    def latest_arrival(self) -> float:
        """When it reached the server at the latest, by what is known.

        A longer wait than for all recent answers may be a stall on the way: it counts, too.
        """
        if self._arrived is not None:
            return self._arrived
        now = self._clocks.monotonic()
        if self._sent is None:
            return now
        unusual = now - self._sent - max(self._latencies, default=0.0)
        stall = min(max(0.0, unusual), _MOST_STALL_SECONDS)
        return min(now, self._sent + SAFETY_SECONDS + stall)


class RateLimiter:
    """Grants at most `rate` requests a second, evenly spaced, in the order in which they ask.

    Between the latest arrival of a request at the server and the grant of the n-th after it (n
    being the rate) there is always a second: neither the time that a connection takes, nor
    latencies that vary, nor a stall bring more than n of them into one second of the server. A
    late timer is made up for by up to `_CATCH_UP_SECONDS`, which that rule bounds.
    """

    def __init__(
        self, rate: float, *, clocks: Clocks, deadline: Deadline, observer: Observer
    ) -> None:
        burst = max(1, math.floor(rate))
        self._clocks = clocks
        self._deadline = deadline
        self._observer = observer
        self._burst = burst
        self._renewal_seconds = math.ceil(burst / rate)
        self._window = burst / rate
        self._interval = (self._window + _SPACING_SECONDS) / burst
        self._latencies: deque[float] = deque(maxlen=_RECENT_ANSWERS)
        self._recent: deque[Grant] = deque(maxlen=burst)
        self._slot = -math.inf
        self._paused_until = -math.inf
        self._why = "the rate limit left no time"
        self._turn = asyncio.Lock()

    async def admit(self) -> Grant:
        """Wait until one more request may be sent.

        Raises:
            SourceUnavailableError: that is after the deadline.
        """
        async with self._turn:
            while (wait := self._earliest() - self._clocks.monotonic()) > 0:
                await self._deadline.sleep(wait, self._why)
            now = self._clocks.monotonic()
            self._slot = max(self._slot, now - _CATCH_UP_SECONDS) + self._interval
            grant = Grant(self._clocks, self._latencies)
            self._recent.append(grant)
            return grant

    def pause(self, seconds: float, why: str) -> None:
        """Let nobody send for so long."""
        now = self._clocks.monotonic()
        until = now + seconds
        if until <= self._paused_until:
            return
        self._deadline.waited_seconds += until - max(now, self._paused_until)
        self._paused_until, self._why = until, why
        self._observer.saw(Paused(reason=why, seconds=seconds))

    def respect(self, quota: Quota) -> None:
        """Pause if the service's quota is used up and is not one that is kept here anyway.

        Services round the seconds up, so that whoever keeps exactly to the rate and pauses at
        every zero would use half of it.
        """
        is_kept = (
            quota.limit is not None
            and quota.limit >= self._burst
            and quota.reset_seconds <= self._renewal_seconds
        )
        if quota.remaining == 0 and not is_kept:
            self.pause(quota.reset_seconds, "the service's quota is used up")

    def _earliest(self) -> float:
        earliest = max(self._slot, self._paused_until)
        if len(self._recent) == self._recent.maxlen:
            earliest = max(earliest, self._recent[0].latest_arrival + self._window)
        return earliest
