"""Spaces requests so that no second, as the server counts it, has more than allowed."""

import asyncio
import math
from collections import deque

from techmart_fast.sources.api.clocks import Clocks
from techmart_fast.sources.api.deadline import Deadline
from techmart_fast.sources.api.events import Observer, Paused
from techmart_fast.sources.api.server_hints import Quota

SAFETY_SECONDS = 0.06
"""By how much later one request than another may reach the server without breaking the limit.

It costs 6 % of the rate at any rate above 1 a second: a window of 1.06 s gets what 1 s may have.
"""

_CATCH_UP_SECONDS = 0.03


class Grant:
    """The leave to send one request. Until `settle` is called, it may be sent at any moment."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._at: float | None = None

    def settle(self) -> None:
        """Its headers were sent just now, or never will be. Only the first call counts."""
        if self._at is None:
            self._at = self._clocks.monotonic()

    @property
    def at(self) -> float:
        """When it was sent, or now."""
        return self._clocks.monotonic() if self._at is None else self._at


class RateLimiter:
    """Grants at most `rate` requests a second, evenly spaced, in the order in which they ask.

    Between the sending of a request and the grant of the n-th after it (n being the rate) there are
    always 1 s and `SAFETY_SECONDS`: neither the time that a connection takes nor a latency that
    varies less than that can bring more than n of them into one second. A late timer is made up
    for by up to `_CATCH_UP_SECONDS`, which that rule bounds.
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
        self._window = burst / rate + SAFETY_SECONDS
        self._interval = self._window / burst
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
            grant = Grant(self._clocks)
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
            earliest = max(earliest, self._recent[0].at + self._window)
        return earliest
