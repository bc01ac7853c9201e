"""Time as the waits for jobs see it: the machine's, or one that tests replace it by."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Time as the waits here see it."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait without holding a thread."""
        await asyncio.sleep(seconds)
