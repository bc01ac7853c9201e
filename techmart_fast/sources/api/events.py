"""What a fetch tells while it works: values without secrets, addresses' queries or records."""

from dataclasses import dataclass
from typing import Protocol

from techmart_fast.sources.api.drift import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """An interrupted fetch goes on: so many pages are here already."""

    pages: int
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFetched:
    """A page is stored. `total_records` is what the service announced, if it did."""

    page: int
    records: int
    total_records: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """An attempt for a page failed; another one follows after `seconds`."""

    page: int
    attempt: int
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """All requests wait `seconds`, as the service asked for or as it seems to be down."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifted:
    """The shape of the records or of the answers differs from what is known."""

    change: Change


Event = Resumed | PageFetched | Retrying | Paused | Drifted


class Observer(Protocol):
    """Is told what happens, in the event loop's thread; it must be quick."""

    def saw(self, event: Event) -> None:
        """Take note of an event."""


class Unobserved:
    """An observer that does nothing."""

    def saw(self, event: Event) -> None:
        """Ignore it."""
