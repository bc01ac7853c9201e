"""Patience with PostgreSQL: what is tried again, after which waits, and when that ends."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import asyncpg
import pytest

from techmart_fast.errors import (
    CommitUnknownError,
    LeaseHeldError,
    RefusedRowError,
    SinkAccessError,
    SinkError,
)
from techmart_fast.postgres.retry import Clock, Patience, Retrying


@dataclass
class FakeTime:
    """A clock that only sleeping (and what an attempt takes) moves; chance is always the same."""

    chance: float = 0.0
    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def patience(self, seconds: float, told: Callable[[Retrying], None] | None = None) -> Patience:
        clock = Clock(monotonic=lambda: self.now, sleep=self.sleep, random=lambda: self.chance)
        return Patience(seconds=seconds, clock=clock, told=told or (lambda _: None))


def failing(*errors: SinkError) -> Callable[[], Awaitable[str]]:
    """An attempt that fails so, time after time, and then succeeds."""
    left = list(errors)

    async def attempt() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return attempt


def lost() -> SinkError:
    return SinkError("The connection was lost.", hint="Run again.", transient=True)


def conflict() -> SinkError:
    error = SinkError("Deadlock.", transient=True)
    error.__cause__ = asyncpg.DeadlockDetectedError("deadlock")
    return error


async def test_waits_double_up_to_the_longest_and_chance_halves_them_at_most() -> None:
    shortest, longest = FakeTime(chance=0.0), FakeTime(chance=1.0)
    for time in (shortest, longest):
        attempt = failing(*(lost() for _ in range(8)))
        assert await time.patience(60).keep_trying(attempt) == "done"
    assert longest.slept == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])
    assert shortest.slept == pytest.approx([wait / 2 for wait in longest.slept])


async def test_no_attempt_begins_after_the_last_moment() -> None:
    time, attempts = FakeTime(chance=1.0), 0

    async def down() -> None:
        nonlocal attempts
        attempts += 1
        raise lost()

    with pytest.raises(SinkError) as caught:
        await time.patience(10).keep_trying(down)
    assert sum(time.slept) < 10
    assert attempts == len(time.slept) + 1
    assert str(caught.value) == "The connection was lost. Run again. It failed 7 times in 6 s."


async def test_time_counts_from_the_first_failure_not_from_the_beginning() -> None:
    time = FakeTime()
    first = failing(lost())

    async def slow() -> str:
        time.now += 300
        return await first()

    assert await time.patience(60).keep_trying(slow) == "done"


async def test_a_second_deadline_that_passed_is_the_last() -> None:
    time, attempts = FakeTime(), 0

    async def hanging() -> None:
        nonlocal attempts
        attempts += 1
        time.now += 300
        raise lost()

    with pytest.raises(SinkError):
        await time.patience(60).keep_trying(hanging)
    assert attempts == 2


async def test_without_seconds_every_failure_is_told_as_it_is() -> None:
    time = FakeTime()
    with pytest.raises(SinkError) as caught:
        await time.patience(0).keep_trying(failing(lost()))
    assert time.slept == []
    assert str(caught.value) == "The connection was lost. Run again."


@pytest.mark.parametrize(
    "terminal",
    [
        SinkError("A missing table."),
        SinkAccessError("A wrong password."),
        RefusedRowError("A refused row."),
        LeaseHeldError("Another run took over."),
        CommitUnknownError("Nobody knows."),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_will_not_pass_is_told_at_once(terminal: SinkError) -> None:
    time = FakeTime()
    with pytest.raises(type(terminal)) as caught:
        await time.patience(60).keep_trying(failing(lost(), terminal))
    assert caught.value is terminal
    assert len(time.slept) == 1


async def test_conflicts_are_repeated_at_once_and_twice_at_most() -> None:
    time = FakeTime()
    assert await time.patience(0).keep_trying(failing(conflict(), conflict())) == "done"
    with pytest.raises(SinkError, match="Deadlock"):
        await time.patience(60).keep_trying(failing(*(conflict() for _ in range(3))))
    assert time.slept == []


async def test_what_nobody_wants_any_more_is_not_tried_again() -> None:
    time = FakeTime()
    with pytest.raises(SinkError):
        await time.patience(60).keep_trying(failing(lost()), is_wanted=lambda: False)
    assert time.slept == []


async def test_each_further_attempt_is_told_before_its_wait() -> None:
    time, told = FakeTime(chance=1.0), list[Retrying]()
    await time.patience(60, told.append).keep_trying(failing(lost(), lost()))
    assert [(one.failures, one.wait_seconds) for one in told] == [(1, 0.1), (2, 0.2)]
    assert all(one.error.transient for one in told)
