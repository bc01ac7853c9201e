"""A batch through a network in trouble: written or a typed error, in time, and never twice."""

import asyncio
from contextlib import suppress

import pytest

from techmart_fast.errors import CommitUnknownError, SinkError
from tests.network.proxy import (
    BEGIN,
    CLAIM,
    COMMIT,
    CONNECT,
    HEARTBEAT,
    LEASE,
    PREPARE,
    SILENCES,
    Fault,
    Moment,
    Proxy,
    copying,
)
from tests.network.watching import (
    DEADLINE_SECONDS,
    backends,
    cases,
    failure,
    in_time,
    loading,
    no_backend_left,
    no_task_left,
    through,
)
from tests.postgres.conftest import OpenSink
from tests.postgres.places import Connection, run_start, until

ROWS, STAGING = b"users", b"staged_users"
OF_A_WRITE: dict[str, tuple[Moment, bool]] = {
    "connect": (CONNECT, False),
    "prepare": (PREPARE, False),
    "begin": (BEGIN, False),
    "claim": (CLAIM, False),
    "staging": (copying(STAGING), True),
    "amid staging": (copying(STAGING, 2), True),
    "rows": (copying(ROWS), False),
    "amid rows": (copying(ROWS, 2), False),
    "commit": (COMMIT, False),
}
"""Moments of a write; whether its rows have to be known."""

PASSING = {Fault.SLOW, Fault.TRICKLE}
OFTEN = {
    ("connect", Fault.HALF_OPEN),
    ("amid staging", Fault.RESET),
    ("amid rows", Fault.DEAF),
    ("amid rows", Fault.SLOW),
    ("commit", Fault.SWALLOW),
    ("commit", Fault.RESET_UNSEEN),
}
"""Tried every time; the others by `make torture`."""
OFTEN_PATIENT = {("amid rows", Fault.DEAF), ("commit", Fault.SWALLOW)}


@pytest.mark.parametrize(("name", "fault"), cases(OF_A_WRITE, Fault, often=OFTEN))
async def test_a_write_ends_in_time_and_may_be_made_again(
    name: str, fault: Fault, open_sink: OpenSink, proxy: Proxy, other: Connection
) -> None:
    moment, staged = OF_A_WRITE[name]
    # A write is many statements, and each has its deadline: what is only slow takes its time.
    limit = 60.0 if fault in PASSING else DEADLINE_SECONDS
    deadline = 20.0 if fault is Fault.SLOW else DEADLINE_SECONDS
    async with loading(open_sink, proxy, staged=staged, deadline_seconds=deadline) as load:
        before = await backends(other)
        with proxy.armed(moment, fault), in_time(limit):
            error = await failure(load.sink.write(0, load.write))
        struck = await backends(other) - before
        if name == "commit" and fault in {Fault.SWALLOW, Fault.RESET_AFTER}:
            assert error is None, "it was committed, and found out"
        elif fault not in PASSING:
            assert error is not None
        if error is not None:
            assert error.transient
            assert fault is not Fault.SLOW
        await load.loaded(other)
        if error is not None and name not in {"connect", "prepare"}:
            await no_backend_left(other, struck)


@pytest.mark.parametrize(("name", "fault"), cases(OF_A_WRITE, Fault, often=OFTEN_PATIENT))
async def test_a_patient_sink_gets_over(
    name: str, fault: Fault, open_sink: OpenSink, proxy: Proxy, other: Connection
) -> None:
    moment, staged = OF_A_WRITE[name]
    async with loading(open_sink, proxy, staged=staged, retry_seconds=30) as load:
        with proxy.armed(moment, fault):
            async with asyncio.timeout(60):
                outcome = await load.sink.write(0, load.write)
        assert (outcome.skipped, outcome.counts.adds_up) == (False, True)
        taken_in = outcome.counts.duplicate if staged else outcome.counts.loaded
        assert taken_in == outcome.counts.read == load.write.read
        await load.loaded(other)


RARELY = [pytest.param(fault, marks=pytest.mark.torture) for fault in SILENCES[:-1]]


@pytest.mark.parametrize("fault", [*RARELY, SILENCES[-1]])
async def test_a_commit_whose_fate_nobody_tells_is_not_repeated(
    fault: Fault, open_sink: OpenSink, proxy: Proxy, other: Connection
) -> None:
    async with loading(open_sink, proxy, retry_seconds=2.5) as load:
        proxy.arm(COMMIT, fault)
        writing = asyncio.ensure_future(failure(load.sink.write(0, load.write)))
        await proxy.struck()
        began = proxy.messages
        # All that comes after it is silence, too: nobody can be asked.
        proxy.arm(CONNECT, Fault.HALF_OPEN, times=1000)
        error = await asyncio.wait_for(writing, 20)
        assert isinstance(error, CommitUnknownError)
        assert error.transient
        assert error.batch == str(load.write.identity.batch_id)
        assert proxy.messages < began
        proxy.disarm()
        await load.loaded(other)


@pytest.mark.parametrize("fault", [*RARELY, SILENCES[-1]])
async def test_a_cancelled_write_does_not_wait_for_a_silent_server(
    fault: Fault, open_sink: OpenSink, proxy: Proxy, other: Connection
) -> None:
    async with loading(open_sink, proxy, deadline_seconds=10, retry_seconds=60) as load:
        proxy.arm(copying(ROWS, 2), fault)
        writing = asyncio.ensure_future(load.sink.write(0, load.write))
        await proxy.struck()
        proxy.arm(CONNECT, fault, times=1000)
        with in_time(0):
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
        assert writing.cancelled()
        proxy.disarm()
        await load.loaded(other)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.RESET_AFTER,
        *(pytest.param(one, marks=pytest.mark.torture) for one in Fault if one is not Fault.SLOW),
    ],
)
@pytest.mark.parametrize("moment", [LEASE, COMMIT], ids=["look", "commit"])
async def test_a_lease_is_taken_or_refused_in_time(
    moment: Moment, fault: Fault, open_sink: OpenSink, proxy: Proxy, other: Connection
) -> None:
    seconds = {
        "command_timeout_seconds": DEADLINE_SECONDS,
        "connect_timeout_seconds": DEADLINE_SECONDS,
    }
    start = run_start()
    async with no_task_left(), open_sink(**seconds, **through(proxy)) as sink:
        with proxy.armed(moment, fault), in_time(DEADLINE_SECONDS):
            error = await failure(sink.start_run(start))
        assert error is None or error.transient
        # Whether or not it was taken then, the same run gets it.
        lease = await sink.start_run(start)
        await sink.confirm(lease)
        assert await other.fetchval("SELECT status FROM techmart_loader.runs") == "running"
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1413827923"
        assert await other.fetchval(held) == 1


@pytest.mark.parametrize("fault", [Fault.SWALLOW, Fault.RESET_UNSEEN, Fault.RESET])
async def test_a_heartbeat_that_is_lost_does_not_cost_the_lease(
    fault: Fault, open_sink: OpenSink, proxy: Proxy, other: Connection
) -> None:
    seconds = {
        "command_timeout_seconds": DEADLINE_SECONDS,
        "connect_timeout_seconds": DEADLINE_SECONDS,
    }
    async with no_task_left(), open_sink(**seconds, **through(proxy)) as sink:
        lease = await sink.start_run(run_start(lease_seconds=0.4))
        first = await backends(other)
        beating = asyncio.ensure_future(sink.keep_alive(lease))
        with proxy.armed(HEARTBEAT, fault):
            await proxy.struck()
            # The server still holds the old connection, and the lock that shows that the run lives.
            await no_backend_left(other, first)
        at = await other.fetchval("SELECT heartbeat_at FROM techmart_loader.lease")
        await until(other, "SELECT heartbeat_at > $1 FROM techmart_loader.lease", at)
        assert not beating.done()
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
        await sink.confirm(lease)


async def test_a_server_that_cannot_be_reached_when_a_command_begins_is_told_at_once(
    open_sink: OpenSink, proxy: Proxy
) -> None:
    proxy.arm(CONNECT, Fault.RESET, times=1000)
    async with no_task_left():
        with in_time(DEADLINE_SECONDS), pytest.raises(SinkError, match="Can't reach") as caught:
            async with open_sink(retry_seconds=60, **through(proxy)):
                pass
    assert caught.value.transient
    assert proxy.connections == 1
