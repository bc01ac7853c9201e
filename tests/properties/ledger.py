"""What PostgreSQL has to hold after any history of batches, in plain Python over dicts.

A *version* is what one record says, at its position. The ledger takes batches of versions whole, in
whatever order they come, and says of each what becomes of its records; DOMAIN.md's rules on
positions, duplicates, corrections and held records are all that it knows.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Generic, NamedTuple, TypeVar

from techmart_fast.records import Feed

Position = tuple[int, int]
"""Ordinal of the file, offset in it."""

Row = TypeVar("Row")

PRIORITIES = {"vip": "high", "premium": "medium"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Version(Generic[Row]):
    """One valid record. `row` is what its reader carries along; the ledger does not look at it.

    `parents` are (feed, key) that must exist, the user first; `priority` is what the tier of its
    user said when it was read; `day` is the date of a transaction, `tier` that of a user.
    """

    key: str
    position: Position
    content: tuple[object, ...]
    row: Row
    parents: tuple[tuple[Feed, str], ...] = ()
    priority: str = ""
    day: date | None = None
    tier: str = "standard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[Row]):
    """One lane's share of a block. `rejections` maps offsets to reasons."""

    batch_id: object
    feed: Feed
    ordinal: int
    versions: tuple[Version[Row], ...]
    rejections: Mapping[int, str] = field(default_factory=dict)


class Counts(NamedTuple):
    """What became of the records of a batch, or of a release."""

    read: int = 0
    loaded: int = 0
    rejected: int = 0
    held: int = 0
    duplicate: int = 0
    corrected: int = 0
    superseded: int = 0
    released: int = 0


class Held(NamedTuple, Generic[Row]):
    """A version that waits for its parents; `counted`: it was counted as held."""

    version: Version[Row]
    counted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Generic[Row]):
    """What a batch did. `accepted` are the rows that changed; `old_days` where those stood."""

    counts: Counts
    skipped: bool = False
    accepted: tuple[Version[Row], ...] = ()
    old_days: frozenset[date] = frozenset()

    @property
    def days(self) -> tuple[date, ...]:
        """Every date that the batch touches."""
        days = {one.day for one in self.accepted if one.day} | self.old_days
        return tuple(sorted(days))


@dataclass(slots=True)
class Ledger(Generic[Row]):
    """All that is stored. Change it by `write` and `release` only."""

    stored: dict[Feed, dict[str, Version[Row]]] = field(
        default_factory=lambda: {feed: {} for feed in Feed}
    )
    held: dict[str, dict[Position, Held[Row]]] = field(default_factory=dict)
    quarantine: dict[tuple[Feed, int, int], tuple[str, bool]] = field(default_factory=dict)
    """Reason, and whether it is resolved, by feed, ordinal and offset."""
    batches: dict[object, Counts] = field(default_factory=dict)
    released: Counter[str] = field(default_factory=Counter)

    def copy(self) -> "Ledger[Row]":
        """The same, to be changed apart; versions are shared, as nobody changes them."""
        return replace(
            self,
            stored={feed: dict(rows) for feed, rows in self.stored.items()},
            held={key: dict(versions) for key, versions in self.held.items()},
            quarantine=dict(self.quarantine),
            batches=dict(self.batches),
            released=deepcopy(self.released),
        )

    # --- batches ------------------------------------------------------------------------------
    def write(self, batch: Batch[Row]) -> Done[Row]:
        """Take a batch whole; one that is known changes nothing."""
        read, rejected = len(batch.versions) + len(batch.rejections), len(batch.rejections)
        if batch.batch_id in self.batches:
            counts = Counts(read=read, rejected=rejected, duplicate=len(batch.versions))
            return Done(counts=counts, skipped=True)
        tally: Counter[str] = Counter()
        accepted: list[Version[Row]] = []
        old_days: set[date] = set()
        before = {feed: dict(rows) for feed, rows in self.stored.items()}
        for key in dict.fromkeys(version.key for version in batch.versions):
            chain = [version for version in batch.versions if version.key == key]
            one = _Chain(key, chain, before[batch.feed].get(key), self._waiting(batch.feed, key))
            one.judge(lambda version: _exists(before, version))
            tally.update(one.tally)
            self._take(batch.feed, one, accepted, old_days)
            tally["superseded"] += self._drop_held(batch.feed, key)
        self._quarantine(batch)
        counts = Counts(
            read=read,
            rejected=rejected,
            **{name: tally[name] for name in ("loaded", "held", "duplicate", "corrected")},
            superseded=tally["superseded"],
        )
        self.batches[batch.batch_id] = counts
        in_order = tuple(sorted(accepted, key=lambda version: version.position))
        return Done(counts=counts, accepted=in_order, old_days=frozenset(old_days))

    def _waiting(self, feed: Feed, key: str) -> Mapping[Position, Held[Row]]:
        return self.held.get(key, {}) if feed is Feed.TRANSACTIONS else {}

    def _take(
        self,
        feed: Feed,
        chain: "_Chain[Row]",
        accepted: list[Version[Row]],
        old_days: set[date],
    ) -> None:
        """Make the winner the row, and set aside what waits for its parents."""
        winner, stored = chain.winner, chain.stored
        for version, counted in chain.to_hold:
            self.held.setdefault(version.key, {})[version.position] = Held(version, counted)
        if winner is None:
            return
        kept = replace(winner, priority=chain.priority(winner))
        if stored is not None and stored.content == winner.content:
            # The same once more: nothing but its position is new.
            kept = replace(stored, position=winner.position)
        else:
            accepted.append(kept)
            if stored is not None and stored.day is not None:
                old_days.add(stored.day)
        self.stored[feed][winner.key] = kept

    def _drop_held(self, feed: Feed, key: str) -> int:
        """Drop held versions that can't become the row any more; how many were counted."""
        row, waiting = self.stored[feed].get(key), self._waiting(feed, key)
        if row is None:
            return 0
        gone = [position for position in waiting if position <= row.position]
        return sum(self.held[key].pop(position).counted for position in gone)

    def _quarantine(self, batch: Batch[Row]) -> None:
        for offset, code in batch.rejections.items():
            self.quarantine[batch.feed, batch.ordinal, offset] = code, False
        for version in batch.versions:
            place = (batch.feed, *version.position)
            if place in self.quarantine:
                self.quarantine[place] = self.quarantine[place][0], True

    # --- releases -----------------------------------------------------------------------------
    def release_some(self, start: str, max_rows: int) -> tuple[Done[Row] | None, str | None]:
        """One batch of a release, from a key on: what it did, and where the next one begins."""
        free = sorted(
            (key, position)
            for key, waiting in self.held.items()
            for position, (version, _) in waiting.items()
            if key >= start and _exists(self.stored, version)
        )[:max_rows]
        if not free:
            return None, None
        accepted: list[Version[Row]] = []
        old_days: set[date] = set()
        released = superseded = 0
        for key in dict.fromkeys(key for key, _ in free):
            going = [self.held[key].pop(position) for of, position in free if of == key]
            released += sum(held.counted for held in going)
            stored = self.stored[Feed.TRANSACTIONS].get(key)
            chain = _Chain(key, [self._with_tier(held.version) for held in going], stored, {})
            chain.elect(lambda _: True)
            self._take(Feed.TRANSACTIONS, chain, accepted, old_days)
            superseded += self._drop_held(Feed.TRANSACTIONS, key)
        self.released["released"] += released
        self.released["superseded"] += superseded
        done = Done(
            counts=Counts(released=released, superseded=superseded),
            accepted=tuple(accepted),
            old_days=frozenset(old_days),
        )
        return done, free[-1][0] if len(free) == max_rows else None

    def _with_tier(self, version: Version[Row]) -> Version[Row]:
        tier = self.stored[Feed.USERS][version.parents[0][1]].tier
        return replace(version, priority=PRIORITIES.get(tier, "standard"))


class _Chain(Generic[Row]):
    """The versions of one key in a batch, beside the stored and the held ones."""

    def __init__(
        self,
        key: str,
        versions: Iterable[Version[Row]],
        stored: Version[Row] | None,
        waiting: Mapping[Position, Held[Row]],
    ) -> None:
        self.key = key
        self.versions = sorted(versions, key=lambda version: version.position)
        self.stored = stored
        self.waiting = waiting
        self.tally: Counter[str] = Counter()
        self.winner: Version[Row] | None = None
        self.to_hold: list[tuple[Version[Row], bool]] = []
        self._first_loaded: Version[Row] | None = None

    def elect(self, exists: Callable[[Version[Row]], bool]) -> None:
        """The winner: the newest version with parents, if it is newer than the row."""
        free = [version for version in self.versions if self._is_newer(version) and exists(version)]
        self.winner = free[-1] if free else None

    def judge(self, exists: Callable[[Version[Row]], bool]) -> None:
        """Count every version once, and say which are set aside."""
        self.elect(exists)
        for version in self.versions:
            again = version.position in self.waiting
            previous = self._previous(version)
            repeats = previous is not None and previous.content == version.content
            duplicate = not self._is_newer(version) or again or repeats
            missing = not exists(version)
            self.tally["duplicate" if duplicate else "held" if missing else "loaded"] += 1
            if not duplicate and not missing:
                self.tally["corrected"] += previous is not None
                self._first_loaded = self._first_loaded or version
            beaten = self.winner is not None and version.position < self.winner.position
            if missing and self._is_newer(version) and not again and not beaten:
                self.to_hold.append((version, not duplicate))
            elif missing and not duplicate:
                self.tally["superseded"] += 1

    def priority(self, winner: Version[Row]) -> str:
        """That of the row, of the first version that was loaded, or its own."""
        return (self.stored or self._first_loaded or winner).priority

    def _is_newer(self, version: Version[Row]) -> bool:
        return self.stored is None or version.position > self.stored.position

    def _previous(self, version: Version[Row]) -> Version[Row] | None:
        others = [*self.versions, *(held.version for held in self.waiting.values())]
        others += [self.stored] if self.stored is not None else []
        earlier = [one for one in others if one.position < version.position]
        return max(earlier, key=lambda one: one.position, default=None)


def _exists(stored: Mapping[Feed, Mapping[str, object]], version: Version[Row]) -> bool:
    return all(key in stored[feed] for feed, key in version.parents)


def newest_with_parents(
    versions: Sequence[tuple[Feed, Version[Row]]],
) -> dict[Feed, dict[str, Version[Row]]]:
    """The end state in one sentence: of each key the newest version whose parents exist."""
    end: dict[Feed, dict[str, Version[Row]]] = {feed: {} for feed in Feed}
    for feed, version in sorted(
        versions, key=lambda one: (one[0] is Feed.TRANSACTIONS, one[1].position)
    ):
        if _exists(end, version):
            end[feed][version.key] = version
    return end
