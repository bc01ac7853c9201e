"""What the server counted: requests, answers, cuts, and how many came at once."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from techmart_fast.dev.catalog_server.ratelimit import Clock, RollingPeak


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts since the start: requests = answered + cut + abandoned + in_flight.

    Attributes:
        requests: all that came, but for those to `/`, `/stats` and `/revise`.
        answered: whole answers by status.
        cut: answers whose connection was cut.
        abandoned: requests whose client went away first.
        in_flight: requests that wait for their answer now.
        most_in_one_second: the most that came in any rolling second, refused ones included.
        most_at_once: the most that were in flight at the same time.
    """

    requests: int
    answered: Mapping[int, int]
    cut: int
    abandoned: int
    in_flight: int
    most_in_one_second: int
    most_at_once: int

    def as_object(self) -> dict[str, object]:
        """The object that `/stats` answers with."""
        return {
            "requests": self.requests,
            "answered": {str(status): count for status, count in sorted(self.answered.items())},
            "cut": self.cut,
            "abandoned": self.abandoned,
            "in_flight": self.in_flight,
            "most_in_one_second": self.most_in_one_second,
            "most_at_once": self.most_at_once,
        }


class Tally:
    """Counts while the server works."""

    def __init__(self, clock: Clock) -> None:
        self._peak = RollingPeak(clock)
        self._requests = 0
        self._answered: Counter[int] = Counter()
        self._cut = 0
        self._abandoned = 0
        self._most_at_once = 0

    def arrive(self) -> None:
        """Count a request that came."""
        self._requests += 1
        self._peak.arrive()
        self._most_at_once = max(self._most_at_once, self._in_flight)

    def answer(self, status: int) -> None:
        """Count a whole answer."""
        self._answered[status] += 1

    def cut(self) -> None:
        """Count an answer that is cut."""
        self._cut += 1

    def abandon(self) -> None:
        """Count a request whose client went away."""
        self._abandoned += 1

    @property
    def _in_flight(self) -> int:
        return self._requests - self._answered.total() - self._cut - self._abandoned

    def stats(self) -> Stats:
        """What was counted until now."""
        return Stats(
            requests=self._requests,
            answered=MappingProxyType(dict(self._answered)),
            cut=self._cut,
            abandoned=self._abandoned,
            in_flight=self._in_flight,
            most_in_one_second=self._peak.most,
            most_at_once=self._most_at_once,
        )
