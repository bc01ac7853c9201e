"""What every test of a broken connection asks: how long, what is left over, what it came to."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import pytest
from _pytest.mark import ParameterSet

from techmart_fast.errors import SinkError
from techmart_fast.postgres import BatchWrite, Lease, Patience, PostgresSink
from tests.network.proxy import Fault, Proxy
from tests.postgres.conftest import OpenSink
from tests.postgres.places import Connection, run_start, until
from tests.postgres.records import many_users

DEADLINE_SECONDS = 1.0
GRACE_SECONDS = 1.0
"""What a deadline may be missed by, beside what the machine itself was late."""
_BEAT_SECONDS = 0.02
USERS = 4_000
_LONG_EMAIL = "e" * 500 + "@example.com"
"""Together enough for several pieces of a COPY."""


def cases(
    moments: Iterable[str], faults: Iterable[Fault], *, often: Collection[tuple[str, Fault]]
) -> list[ParameterSet]:
    """Each fault at each moment, by name: those tried `often`, and the others by torture."""
    return [
        pytest.param(
            moment,
            fault,
            id=f"{moment}, {fault.name.lower()}",
            marks=[] if (moment, fault) in often else [pytest.mark.torture],
        )
        for moment in moments
        for fault in faults
    ]


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late the machine was: (when, by how many seconds), of a thread that only sleeps."""

    beats: list[tuple[float, float]] = field(default_factory=list)

    def since(self, moment: float) -> float:
        """Seconds that were lost after a moment of the monotonic clock."""
        return sum(late for when, late in self.beats if when > moment)


@contextmanager
def watching_the_machine() -> Iterator[Lateness]:
    """Finds out, within the block, how late a machine with other work to do wakes everybody."""
    lateness, over = Lateness(), threading.Event()

    def sleep_on() -> None:
        while not over.is_set():
            began = time.monotonic()
            over.wait(_BEAT_SECONDS)
            now = time.monotonic()
            lateness.beats.append((now, max(0.0, now - began - 2 * _BEAT_SECONDS)))

    sleeper = threading.Thread(target=sleep_on, daemon=True)
    sleeper.start()
    try:
        yield lateness
    finally:
        over.set()
        sleeper.join()


@contextmanager
def in_time(seconds: float = DEADLINE_SECONDS) -> Iterator[None]:
    """The block takes no longer than its deadline, plus the grace."""
    with watching_the_machine() as lateness:
        began = time.monotonic()
        yield
        took = time.monotonic() - began
    late = lateness.since(began)
    assert took < seconds + GRACE_SECONDS + late, f"{took:.2f} s, the machine was {late:.2f} s late"


@asynccontextmanager
async def no_task_left() -> AsyncIterator[None]:
    """The block leaves no task behind."""
    before = asyncio.all_tasks()
    yield
    # What was cancelled has one turn of the loop to end.
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before
    assert not left, left


async def failure(work: Awaitable[object]) -> SinkError | None:
    """The sink's error, if there is one; any other is none of the sink's to raise."""
    try:
        await work
    except SinkError as error:
        return error
    return None


def through(proxy: Proxy) -> dict[str, object]:
    """Where the sink goes instead of the server."""
    return {"host": "127.0.0.1", "port": proxy.port}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A sink behind the proxy, a run's lease, and a batch that was not written yet."""

    sink: PostgresSink
    lease: Lease
    write: BatchWrite

    async def loaded(self, other: Connection) -> None:
        """The batch is in, once, and its connections work."""
        # A loaded machine may miss so short a deadline without any fault.
        again = await Patience(seconds=20).keep_trying(lambda: self.sink.write(0, self.write))
        assert again.counts.adds_up
        assert await other.fetchval("SELECT count(*) FROM users") == USERS
        known = "SELECT count(*) FROM techmart_loader.batches WHERE batch_id = $1"
        assert await other.fetchval(known, self.write.identity.batch_id) == 1
        await self.sink.confirm(self.lease)


@asynccontextmanager
async def loading(
    open_sink: OpenSink,
    proxy: Proxy,
    *,
    staged: bool = False,
    deadline_seconds: float = DEADLINE_SECONDS,
    retry_seconds: float = 0.0,
) -> AsyncIterator[Load]:
    """A load that is about to write its batch: new rows, or `staged` ones that are known."""
    async with (
        no_task_left(),
        open_sink(
            command_timeout_seconds=deadline_seconds,
            connect_timeout_seconds=deadline_seconds,
            retry_seconds=retry_seconds,
            **through(proxy),
        ) as sink,
    ):
        lease = await sink.start_run(run_start())
        if staged:
            await sink.write(0, _users(lease))
        yield Load(sink=sink, lease=lease, write=_users(lease))


def _users(lease: Lease) -> BatchWrite:
    return many_users(lease, USERS, email=_LONG_EMAIL)


async def backends(other: Connection) -> set[int]:
    """Process ids of the loader's connections."""
    rows = await other.fetch(
        "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'techmart_fast%'"
        " AND datname = current_database()"
    )
    return {row["pid"] for row in rows}


async def no_backend_left(other: Connection, among: set[int] | None = None) -> None:
    """Wait until the server has none of these connections any more, or none at all."""
    await until(
        other,
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'techmart_fast%'"
        " AND datname = current_database() AND ($1::int[] IS NULL OR pid = ANY ($1))",
        None if among is None else sorted(among),
    )
