"""Failures that may pass are tried again: after waits that grow, and not for ever.

A lost connection, a server that restarts, a deadline that passed: the next attempt may succeed. An
attempt must leave nothing behind when it fails, or be one that may be made twice. Whatever else is
wrong (a privilege, a table, a row, the lease) is told at once.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from techmart_fast.errors import CommitUnknownError, SinkError
from techmart_fast.postgres.faults import is_conflict

FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 5.0

CONFLICT_ATTEMPTS = 3
"""How often is tried what a conflict with another application undid: at once, as that has ended."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """An attempt failed and is made again after `wait_seconds`; `failures` so far, in a row."""

    error: SinkError
    failures: int
    wait_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """Where patience takes time and chance from, so that tests need not wait.

    Attributes:
        monotonic: seconds that only grow.
        sleep: waits so many seconds.
        random: a number from 0 up to, not with, 1.
    """

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = field(default_factory=lambda: secrets.SystemRandom().random)


def _nobody(_: Retrying) -> None:
    """Without a listener nobody is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """For how many `seconds`, from the first failure on, an operation is tried again.

    No attempt begins later; one that has begun has its own deadlines. 0: each failure is told.
    `told` hears of every further attempt before its wait.
    """

    seconds: float
    told: Callable[[Retrying], None] = _nobody
    clock: Clock = field(default_factory=Clock)

    async def keep_trying(
        self,
        attempt: Callable[[], Awaitable[_Result]],
        *,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> _Result:
        """The result of the first attempt that succeeds; `is_wanted` is asked before each other.

        Raises:
            SinkError: the last failure, once it is no use to go on.
        """
        failures = conflicts = 0
        began = self.clock.monotonic()
        while True:
            try:
                return await attempt()
            except SinkError as error:
                if not _may_pass(error) or not is_wanted():
                    raise
                now = self.clock.monotonic()
                began = now if failures == 0 else began
                failures += 1
                if is_conflict(error):
                    conflicts += 1
                    wait, goes_on = 0.0, conflicts < CONFLICT_ATTEMPTS
                else:
                    wait = self._wait_seconds(failures)
                    goes_on = now + wait - began < self.seconds
                if not goes_on:
                    if failures > 1:
                        tried = f"It failed {failures} times in {now - began:.0f} s."
                        error.hint = f"{error.hint} {tried}".lstrip()
                    raise
                self.told(Retrying(error=error, failures=failures, wait_seconds=wait))
            if wait:
                await self.clock.sleep(wait)

    def _wait_seconds(self, failures: int) -> float:
        """Doubles up to the longest; half of it by chance, as those that fail together are many."""
        longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 16))
        return longest * (1 + self.clock.random()) / 2


def _may_pass(error: SinkError) -> bool:
    return error.transient and not isinstance(error, CommitUnknownError)
