"""Where a fetch takes time and chance from, so that tests need not wait."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The clocks and the dice of a fetch.

    Attributes:
        monotonic: seconds that only grow.
        now: the time of day, with an offset.
        sleep: waits so many seconds.
        random: a number from 0 up to, not with, 1.
    """

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = field(default_factory=lambda: secrets.SystemRandom().random)
