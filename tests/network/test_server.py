"""A server in trouble while a batch is written: backends ended or stopped, the server restarted."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from techmart_fast.errors import SinkError
from techmart_fast.local import LocalHome
from techmart_fast.postgres import Lease, PostgresSink
from techmart_fast.records import Feed
from techmart_fast.results import RunStatus
from tests.network.own_server import OwnServer
from tests.network.proxy import COMMIT, Fault, Moment, Proxy, copying
from tests.network.test_runs import behind
from tests.network.watching import (
    DEADLINE_SECONDS,
    failure,
    in_time,
    no_backend_left,
    no_task_left,
)
from tests.postgres.conftest import OpenSink
from tests.postgres.places import Connection, run_start, until
from tests.postgres.records import WaitingSpool, batch, many_users, user
from tests.shops import Shop, State, sources_in
from tests.trouble.asking import MakeShop, as_without_trouble

USERS = 20_000
_COPYING = (
    'SELECT pid FROM pg_stat_activity WHERE query LIKE \'COPY "public"."users"%\''
    " AND wait_event_type = 'Lock' AND datname = current_database()"
)
_WAITING = (
    "SELECT pid FROM pg_stat_activity WHERE state = 'idle in transaction'"
    " AND application_name LIKE 'techmart_fast %' AND datname = current_database()"
    # Between the statements that are sent beside the spool, it is idle for a moment as well.
    " AND state_change < clock_timestamp() - interval '0.3 seconds'"
)


@asynccontextmanager
async def amid_a_copy(
    sink: PostgresSink, lease: Lease, locking: Connection, asking: Connection
) -> AsyncIterator[tuple[int, "asyncio.Task[SinkError | None]"]]:
    """A write whose COPY waits for a lock, that is let go at the end; its backend's process id."""
    async with locking.transaction():
        await locking.execute("LOCK users IN SHARE MODE")
        writing = asyncio.create_task(failure(sink.write(0, many_users(lease, USERS))))
        yield await until(asking, _COPYING), writing


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process does nothing for the time of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def users_are(count: int, other: Connection) -> None:
    assert await other.fetchval("SELECT count(*) FROM users") == count


async def test_an_ended_backend_is_told_at_once(
    open_sink: OpenSink, other: Connection, third: Connection
) -> None:
    async with no_task_left(), open_sink(command_timeout_seconds=30) as sink:
        lease = await sink.start_run(run_start())
        async with amid_a_copy(sink, lease, third, other) as (pid, writing):
            with in_time(0):
                await other.execute("SELECT pg_terminate_backend($1)", pid)
                error = await writing
        assert error is not None
        assert error.transient
        await users_are(0, other)
        await sink.write(0, many_users(lease, USERS))
        await users_are(USERS, other)
    await no_backend_left(other)


async def test_an_ended_backend_does_not_stop_a_patient_sink(
    open_sink: OpenSink, other: Connection, third: Connection
) -> None:
    async with no_task_left(), open_sink(retry_seconds=30) as sink:
        lease = await sink.start_run(run_start())
        async with amid_a_copy(sink, lease, third, other) as (pid, writing):
            await other.execute("SELECT pg_terminate_backend($1)", pid)
            await until(other, f"SELECT EXISTS ({_COPYING} AND pid <> $1)", pid)
        assert await asyncio.wait_for(writing, 30) is None
        await users_are(USERS, other)


async def test_a_backend_that_is_stopped_in_a_copy_meets_the_deadline(
    open_sink: OpenSink, other: Connection, third: Connection
) -> None:
    async with no_task_left(), open_sink(command_timeout_seconds=DEADLINE_SECONDS) as sink:
        lease = await sink.start_run(run_start())
        async with amid_a_copy(sink, lease, third, other) as (pid, writing):
            with stopped(pid):
                with in_time():
                    error = await writing
                assert error is not None
                assert error.transient
                assert "did not answer within" in str(error)
                # Its transaction is open: until it goes on, the batch can't be written.
                with in_time():
                    small = batch(lease, Feed.USERS, [user("a")])
                    await failure(sink.write(0, small))
    await no_backend_left(other)


async def test_a_backend_that_is_stopped_before_its_commit_meets_the_deadline(
    open_sink: OpenSink, other: Connection
) -> None:
    async with no_task_left(), open_sink(command_timeout_seconds=DEADLINE_SECONDS) as sink:
        lease, spool = await sink.start_run(run_start()), WaitingSpool()
        write = batch(lease, Feed.USERS, [user("a")], spool=spool)  # type: ignore[arg-type]  # a spool that waits
        writing = asyncio.create_task(failure(sink.write(0, write)))
        await spool.reached.wait()
        pid = await until(other, _WAITING)
        with stopped(pid), in_time():
            spool.go_on.set()
            error = await writing
        assert error is not None
        assert error.transient
        # The server may have been asked to commit before it was stopped: never twice.
        await sink.write(0, batch(lease, Feed.USERS, [user("a")]))
        await users_are(1, other)
    await no_backend_left(other)


async def test_a_patient_sink_waits_for_a_stopped_backend_to_go_on(
    open_sink: OpenSink, other: Connection
) -> None:
    async with (
        no_task_left(),
        open_sink(command_timeout_seconds=DEADLINE_SECONDS, retry_seconds=60) as sink,
    ):
        lease, spool = await sink.start_run(run_start()), WaitingSpool()
        write = batch(lease, Feed.USERS, [user("a")], spool=spool)  # type: ignore[arg-type]  # a spool that waits
        writing = asyncio.create_task(sink.write(0, write))
        await spool.reached.wait()
        pid = await until(other, _WAITING)
        with stopped(pid):
            spool.go_on.set()
            # Another backend waits for the batch's claim, which the stopped one holds.
            waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid <> $1)"
            await until(other, waiting, pid)
        outcome = await asyncio.wait_for(writing, 60)
        assert (outcome.counts.loaded, outcome.skipped) == (1, False)
        await users_are(1, other)


@dataclass(frozen=True, kw_only=True)
class Restarted:
    """A shop on a server that may be restarted, and what it has to come to."""

    server: OwnServer
    shop: Shop
    folder: Path
    make_shop: MakeShop
    untroubled: dict[str, State]

    async def comes_to_the_same(self) -> None:
        """Both sinks hold what they would without trouble."""
        await as_without_trouble(self.shop, self.make_shop, self.folder, self.untroubled)


@pytest.fixture
def restarted(
    own_server: OwnServer,
    shop_home: LocalHome,
    make_shop: MakeShop,
    generated: Path,
    untroubled: dict[str, State],
) -> Restarted:
    """An empty shop on the module's own server."""
    return Restarted(
        server=own_server,
        shop=own_server.shop(shop_home.path),
        folder=generated,
        make_shop=make_shop,
        untroubled=untroubled,
    )


@pytest.mark.parametrize(
    "moment",
    [
        copying(b"transactions"),
        pytest.param(COMMIT, marks=pytest.mark.torture),
        pytest.param(Moment(words=b"UPDATE techmart_loader.outbox"), marks=pytest.mark.torture),
    ],
    ids=["copy", "commit", "outbox"],
)
async def test_a_run_survives_a_server_that_is_shut_down_at_once_and_started_again(
    moment: Moment, restarted: Restarted
) -> None:
    with Proxy(restarted.server.socket) as proxy:
        patient = behind(restarted.shop, proxy, retry_seconds=120, deadline=10)
        proxy.arm(moment, Fault.SLOW)
        async with no_task_left():
            running = asyncio.ensure_future(patient.run(sources_in(restarted.folder)))
            await proxy.struck()
            await restarted.server.shut_down_at_once()
            await restarted.server.start()
            proxy.server = restarted.server.socket
            result = await asyncio.wait_for(running, 120)
    assert result.error is None
    assert any("tried again" in note for note in result.notes)
    assert all(counts.adds_up for counts in result.feeds.values())
    await restarted.comes_to_the_same()


@pytest.mark.torture
async def test_an_impatient_run_ends_in_time_when_the_server_is_shut_down(
    restarted: Restarted,
) -> None:
    with Proxy(restarted.server.socket) as proxy:
        proxy.arm(copying(b"transactions"), Fault.SLOW)
        async with no_task_left():
            impatient = behind(restarted.shop, proxy, retry_seconds=0, deadline=10)
            running = asyncio.ensure_future(impatient.run(sources_in(restarted.folder)))
            await proxy.struck()
            with in_time(10):
                await restarted.server.shut_down_at_once()
                result = await asyncio.wait_for(running, 60)
    assert result.status is RunStatus.FAILED
    assert "PostgreSQL" in str(result.error)
    await restarted.server.start()
    await restarted.shop.load(restarted.folder)
    await restarted.comes_to_the_same()
