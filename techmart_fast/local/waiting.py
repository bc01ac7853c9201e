"""Waits that end: by a deadline, or when the command that waits was stopped."""

import threading
import time

POLL_SECONDS = 0.02


class StoppedWaitingError(Exception):
    """The command was cancelled while it waited. Never leaves this package."""


class Deadline:
    """A moment until which a wait may last; `abandoned` ends every wait at once."""

    __slots__ = ("_abandoned", "_end")

    def __init__(self, seconds: float, abandoned: threading.Event | None = None) -> None:
        self._end = time.monotonic() + seconds
        self._abandoned = abandoned or threading.Event()

    @property
    def passed(self) -> bool:
        """Whether the moment is over."""
        return time.monotonic() >= self._end

    def pause(self) -> None:
        """Wait for a moment, then let the caller look again.

        Raises:
            StoppedWaitingError: the command was cancelled.
        """
        if self._abandoned.wait(POLL_SECONDS):
            raise StoppedWaitingError
