"""What failed in PostgreSQL and was tried again: one line in the log each, one note in the run."""

from techmart_fast.monitoring.logs import get_logger
from techmart_fast.postgres import Retrying


class Retries:
    """Hears of every further attempt."""

    def __init__(self) -> None:
        self._log = get_logger("techmart_fast.postgres")
        self._count = 0
        self._last = ""

    def __call__(self, retrying: Retrying) -> None:
        """Log it and count it."""
        self._count += 1
        self._last = str(retrying.error.args[0])
        self._log.warning(
            "trying_again",
            after=self._last,
            failures=retrying.failures,
            wait_seconds=round(retrying.wait_seconds, 2),
        )

    @property
    def note(self) -> str | None:
        """What a run has to note of them; None without any."""
        if not self._count:
            return None
        times = "once" if self._count == 1 else f"{self._count:,} times"
        return f"PostgreSQL failed in passing, and was tried again, {times}. Last: {self._last}"
