"""Any order of arrival, cut into any batches: the counts of a plain model, and one end state."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from techmart_fast.local import LocalPostgres
from techmart_fast.postgres import Lease, PostgresSink
from techmart_fast.records import Feed
from tests.postgres.places import Connection, another_session, run_start, target_of
from tests.postgres.records import SpoolRecorder, batch, product, sale, user

IDS = ("a", "b")
PRESENT, LATER, NEVER = "present", "later", "never"


@dataclass(frozen=True)
class Version:
    key: str
    position: int
    amount: int
    user_id: str

    @property
    def content(self) -> tuple[int, str]:
        return self.amount, self.user_id


@dataclass
class Model:
    """What DOMAIN says, version by version, in the order of a batch's positions."""

    users: set[str] = field(default_factory=lambda: {PRESENT})
    stored: dict[str, Version] = field(default_factory=dict)
    held: dict[str, dict[int, tuple[Version, bool]]] = field(
        default_factory=lambda: {key: {} for key in IDS}
    )

    def write(self, versions: Sequence[Version]) -> dict[str, int]:
        counts = {"loaded": 0, "duplicate": 0, "held": 0, "superseded": 0}
        # Judged against the state before the batch and the versions before in the batch.
        before = {key: self.stored.get(key) for key in IDS}
        chains = {
            key: [version for version, _ in self.held[key].values()]
            + ([stored] if (stored := before[key]) else [])
            for key in IDS
        }
        winners: dict[str, Version] = {}
        waiting: list[tuple[Version, bool]] = []
        for version in sorted(versions, key=lambda version: version.position):
            stored = before[version.key]
            newer = stored is None or version.position > stored.position
            again = version.position in self.held[version.key]
            missing = version.user_id not in self.users
            earlier = [v for v in chains[version.key] if v.position < version.position]
            previous = max(earlier, key=lambda v: v.position, default=None)
            repeats = previous is not None and previous.content == version.content
            chains[version.key].append(version)
            if not newer or again or repeats:
                counts["duplicate"] += 1
            elif missing:
                counts["held"] += 1
            else:
                counts["loaded"] += 1
            if newer and not missing:
                winners[version.key] = version
            elif newer and not again:
                waiting.append((version, not repeats))
        for version, counted in waiting:
            self.held[version.key][version.position] = (version, counted)
        for key, winner in winners.items():
            self.stored[key] = winner
            counts["superseded"] += self._drop_up_to(key, winner.position)
        return counts

    def release(self) -> int:
        released = 0
        for key in IDS:
            free = [p for p, (v, _) in self.held[key].items() if v.user_id in self.users]
            for position in sorted(free):
                version, counted = self.held[key].pop(position)
                released += counted
                stored = self.stored.get(key)
                if stored is None or position > stored.position:
                    self.stored[key] = version
            if key in self.stored:
                self._drop_up_to(key, self.stored[key].position)
        return released

    def _drop_up_to(self, key: str, position: int) -> int:
        gone = [p for p in self.held[key] if p <= position]
        return sum(self.held[key].pop(p)[1] for p in gone)


@st.composite
def histories(draw: st.DrawFn) -> list[list[Version]]:
    """Versions of two ids at distinct positions, in any order, cut into batches."""
    count = draw(st.integers(1, 9))
    versions = [
        Version(
            key=draw(st.sampled_from(IDS)),
            position=position,
            amount=draw(st.integers(1, 2)),
            user_id=draw(st.sampled_from([PRESENT, PRESENT, LATER, NEVER])),
        )
        for position in range(count)
    ]
    # Some are read again, at the same position.
    arriving = draw(
        st.permutations(versions + draw(st.lists(st.sampled_from(versions), max_size=2)))
    )
    cuts = sorted(draw(st.sets(st.integers(1, count), max_size=4)))
    pieces = [
        list(arriving[start:end])
        for start, end in zip([0, *cuts], [*cuts, len(arriving)], strict=True)
    ]
    return [list(dict.fromkeys(piece)) for piece in pieces]


def newest_with_parents(history: Sequence[Sequence[Version]]) -> dict[str, Version]:
    """The end state in one sentence: the newest version whose parents exist."""
    versions = [version for piece in history for version in piece if version.user_id != NEVER]
    return {version.key: version for version in sorted(versions, key=lambda v: v.position)}


class Shop:
    """A sink, its lease and a second connection, in a loop of the test's own."""

    def __init__(self, database: LocalPostgres) -> None:
        self.database = database
        self.sink: PostgresSink
        self.lease: Lease
        self.other: Connection

    async def empty(self) -> None:
        await self.other.execute("TRUNCATE transactions, users, products CASCADE")
        await self.other.execute("TRUNCATE techmart_loader.held_transactions")
        await self.sink.write(0, batch(self.lease, Feed.USERS, [user(PRESENT)]))
        await self.sink.write(0, batch(self.lease, Feed.PRODUCTS, [product("p1")]))

    async def state(self) -> tuple[dict[str, tuple[int, int, str]], set[tuple[str, int, bool]]]:
        rows = await self.other.fetch(
            "SELECT transaction_id, source_offset, amount, user_id FROM transactions"
        )
        held = await self.other.fetch(
            "SELECT transaction_id, source_offset, counted FROM techmart_loader.held_transactions"
        )
        return (
            {row[0]: (row[1], int(row[2]), row[3]) for row in rows},
            {(row[0], row[1], row[2]) for row in held},
        )

    async def play(self, history: Sequence[Sequence[Version]]) -> None:
        await self.empty()
        model, warehouse = Model(), SpoolRecorder()
        for piece in history:
            outcome = await self.sink.write(
                0,
                batch(
                    self.lease, Feed.TRANSACTIONS, [_candidate(v) for v in piece], spool=warehouse
                ),
            )
            expected = model.write(piece)
            counts = outcome.counts
            assert {
                "loaded": counts.loaded,
                "duplicate": counts.duplicate,
                "held": counts.held,
                "superseded": outcome.superseded,
            } == expected
            assert await self.state() == _state(model)
        await self.sink.write(0, batch(self.lease, Feed.USERS, [user(LATER, at=1)]))
        model.users.add(LATER)
        released = [r async for r in self.sink.release_held(self.lease, warehouse, max_rows=2)]
        assert sum(release.released for release in released) == model.release()
        state = await self.state()
        assert state == _state(model)
        expected_end = newest_with_parents(history)
        assert state[0] == {
            key: (v.position, v.amount, v.user_id) for key, v in expected_end.items()
        }
        assert _folded(warehouse.rows) == {key: v.content for key, v in expected_end.items()}


def _candidate(version: Version) -> Mapping[str, object]:
    return sale(version.key, version.amount, at=version.position, user_id=version.user_id)


def _state(model: Model) -> tuple[dict[str, tuple[int, int, str]], set[tuple[str, int, bool]]]:
    rows = {key: (v.position, v.amount, v.user_id) for key, v in model.stored.items()}
    held = {
        (key, position, counted)
        for key, versions in model.held.items()
        for position, (_, counted) in versions.items()
    }
    return rows, held


def _folded(rows: Sequence[Mapping[str, object]]) -> dict[str, tuple[int, str]]:
    """What a warehouse that folds spooled rows by position would show."""
    newest = {row["transaction_id"]: row for row in sorted(rows, key=lambda r: r["source_offset"])}
    return {str(key): (int(row["amount"]), str(row["user_id"])) for key, row in newest.items()}


@pytest.fixture
def shop(database: LocalPostgres) -> Iterator[Callable[[Sequence[Sequence[Version]]], None]]:
    place = Shop(database)
    with asyncio.Runner() as runner:
        opened = _open(place)
        runner.run(anext(opened))
        yield lambda history: runner.run(place.play(history))
        runner.run(opened.aclose())


async def _open(place: Shop):
    async with (
        PostgresSink(target_of(place.database), writers=1) as place.sink,
        another_session(place.database) as place.other,
    ):
        place.lease = await place.sink.start_run(run_start())
        yield


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=histories())
def test_counts_follow_the_model_and_the_end_state_any_order(
    history: list[list[Version]], shop: Callable[[Sequence[Sequence[Version]]], None]
) -> None:
    shop(history)
