"""The time that a fetch may take: waits that would go beyond it are not even begun."""

from techmart_fast.errors import SourceUnavailableError
from techmart_fast.sources.api.clocks import Clocks


class Deadline:
    """Counts down from `total_seconds`. `where` is what messages say of the service.

    `waited_seconds` is what was spent on retries and pauses that the service caused.
    """

    def __init__(self, total_seconds: float, *, clocks: Clocks, where: str) -> None:
        self._clocks = clocks
        self._where = where
        self._total_seconds = total_seconds
        self._end = clocks.monotonic() + total_seconds
        self.waited_seconds = 0.0

    @property
    def left_seconds(self) -> float:
        """What is left, not below 0."""
        return max(0.0, self._end - self._clocks.monotonic())

    async def sleep(self, seconds: float, why: str) -> None:
        """Wait, if there is time for it.

        Raises:
            SourceUnavailableError: there is not.
        """
        if seconds >= self.left_seconds:
            raise self.passed(why)
        await self._clocks.sleep(seconds)

    def passed(self, why: str) -> SourceUnavailableError:
        """The error for what can't be done in time."""
        return SourceUnavailableError(
            f"{self._where}: not all pages came within {self._total_seconds:g} s "
            f"(limits.total_seconds); {why}.",
            hint="The next run goes on with the pages that are missing.",
        )
