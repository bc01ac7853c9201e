"""A true rolling window: how many requests any second may have, and had."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

SECOND_NS = 1_000_000_000

Clock = Callable[[], int]
"""Nanoseconds that only grow, like `time.monotonic_ns`: whole numbers, so edges are exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What a limiter says to a request.

    `remaining` requests may still come now; after `wait_ns` the oldest leaves the window.
    """

    admitted: bool
    limit: int
    remaining: int
    wait_ns: int

    @property
    def wait_seconds(self) -> int:
        """The wait in whole seconds, rounded up: nobody who obeys comes too early."""
        return math.ceil(self.wait_ns / SECOND_NS)


class RollingLimit:
    """Admits at most `limit` requests in any second [t, t + 1 s).

    Refused requests take no place: who is refused and waits as told is admitted.
    """

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._admitted: deque[int] = deque()

    def admit(self) -> Admission:
        """Count a request in, if there is room."""
        now = self._clock()
        _forget(self._admitted, now)
        admitted = len(self._admitted) < self._limit
        if admitted:
            self._admitted.append(now)
        return Admission(
            admitted=admitted,
            limit=self._limit,
            remaining=self._limit - len(self._admitted),
            wait_ns=self._admitted[0] + SECOND_NS - now if self._admitted else 0,
        )


class RollingPeak:
    """The most requests that any rolling second had."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recent: deque[int] = deque()
        self.most = 0

    def arrive(self) -> None:
        """Count a request."""
        now = self._clock()
        _forget(self._recent, now)
        self._recent.append(now)
        self.most = max(self.most, len(self._recent))


def _forget(times: deque[int], now: int) -> None:
    while times and now - times[0] >= SECOND_NS:
        times.popleft()
