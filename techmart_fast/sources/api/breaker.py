"""Stops asking a service that is down: pauses, asks once, and gives up if it stays down."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from techmart_fast.errors import SourceUnavailableError
from techmart_fast.sources.api.deadline import Deadline
from techmart_fast.sources.api.events import Observer, Paused

PROBES = 3
"""Single requests to a service that seems to be down, before the fetch gives up."""

_FIRST_PAUSE_SECONDS = 5.0


class Breaker:
    """Opens after `failures` in a row over all requests; one success closes it.

    While it is open, requests wait in `passage`. After a pause one of them goes through alone, as a
    probe; each probe that fails doubles the pause.
    """

    def __init__(
        self, failures: int, *, deadline: Deadline, observer: Observer, where: str
    ) -> None:
        self._most = failures
        self._deadline = deadline
        self._observer = observer
        self._where = where
        self._in_a_row = 0
        self._failed_probes = 0
        self._reason = ""
        self._turn = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the service seems to be down."""
        return self._in_a_row >= self._most

    def succeeded(self) -> None:
        """The service answered."""
        self._in_a_row = self._failed_probes = 0

    def failed(self, reason: str) -> None:
        """The service did not answer, or said that something is wrong with it."""
        self._in_a_row += 1
        self._reason = reason

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Wait until a request may be tried; its outcome is told within the block.

        Raises:
            SourceUnavailableError: the service stays down.
        """
        if self.is_open:
            async with self._turn:
                # Whoever waited for a probe that succeeded goes on at once.
                if self.is_open:
                    await self._pause()
                    yield
                    self._judge_probe()
                    return
        yield

    async def _pause(self) -> None:
        # Those who waited for the last probe need not try by themselves.
        if self._failed_probes >= PROBES:
            raise self._down()
        seconds = _FIRST_PAUSE_SECONDS * 2**self._failed_probes
        self._observer.saw(Paused(reason=self._reason, seconds=seconds))
        self._deadline.waited_seconds += seconds
        await self._deadline.sleep(seconds, f"the service seems to be down ({self._reason})")

    def _judge_probe(self) -> None:
        if not self.is_open:
            return
        self._failed_probes += 1
        if self._failed_probes >= PROBES:
            raise self._down()

    def _down(self) -> SourceUnavailableError:
        return SourceUnavailableError(
            f"{self._where} seems to be down: {self._in_a_row} requests in a row failed, the last "
            f"one: {self._reason}.",
            hint="The next run goes on with the pages that are missing.",
        )
