"""A caller's request to stop: nothing more is begun, what is under way has a grace time to end."""

import asyncio


class StopRequested(Exception):  # noqa: N818 - a request, not an error
    """The work ends before its end, as the caller asked for."""


class Stop:
    """Whether the caller asked to stop, and whether that left anything undone.

    The work asks `cuts_short` wherever it could begin something more, and ends in order. What is
    still under way `grace_seconds` after the request is cancelled.
    """

    def __init__(self, asked: asyncio.Event | None = None, *, grace_seconds: float = 0.0) -> None:
        self._asked = asked or asyncio.Event()
        self._grace_seconds = grace_seconds
        self._cut_short = False

    def cuts_short(self) -> bool:
        """Asked before something is begun: whether it is left to the next run."""
        self._cut_short |= self._asked.is_set()
        return self._cut_short

    @property
    def cut_short(self) -> bool:
        """Whether something was left to the next run."""
        return self._cut_short

    def tell(self) -> None:
        """The end of the work.

        Raises:
            StopRequested: something was left to the next run.
        """
        if self._cut_short:
            raise StopRequested

    async def at_once(self) -> None:
        """Wait for the request; for work in which there is nothing to bring to an end.

        Raises:
            StopRequested: the caller asks.
        """
        await self._asked.wait()
        raise StopRequested

    async def at_the_latest(self) -> None:
        """Wait for the request, and for the grace time.

        Raises:
            StopRequested: it is over.
        """
        await self._asked.wait()
        await asyncio.sleep(self._grace_seconds)
        raise StopRequested
