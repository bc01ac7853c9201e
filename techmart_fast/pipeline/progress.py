"""What a run tells while it works: one frozen snapshot after another, to whoever observes it."""

from dataclasses import dataclass
from typing import Protocol

from techmart_fast.records import Feed, FeedCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedProgress:
    """How far one feed is. `bytes_done` of `bytes_total` are bytes of the files as stored.

    `waiting_bytes` sit in the channels between the stages right now.
    """

    feed: Feed
    bytes_done: int
    bytes_total: int
    counts: FeedCounts
    waiting_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchProgress:
    """How far the fetch of a feed is. `total_records` is what the service announced, if it did.

    `retries` counts attempts that failed and are made again.
    """

    feed: Feed
    pages: int
    records: int
    total_records: int | None
    retries: int = 0


class RunObserver(Protocol):
    """Follows a run. Calls come from the event loop and must return at once."""

    def phase(self, name: str) -> None:
        """A phase of the run began: what it does, in a few words for people."""

    def fetching(self, progress: FetchProgress) -> None:
        """A page came from an API."""

    def progress(self, progress: FeedProgress) -> None:
        """A batch was committed."""


class SilentObserver:
    """Follows nothing."""

    def phase(self, name: str) -> None:
        """Ignore it."""

    def fetching(self, progress: FetchProgress) -> None:
        """Ignore it."""

    def progress(self, progress: FeedProgress) -> None:
        """Ignore it."""
