"""One run at a time writes; a dead holder is replaced at once, a silent one after its time."""

import asyncio
from contextlib import suppress

import pytest

from techmart_fast.errors import ExitCode, LeaseHeldError, SinkError
from techmart_fast.postgres import PostgresSink
from techmart_fast.records import Cut, Feed
from tests.postgres.conftest import OpenSink
from tests.postgres.places import Connection, run_end, run_start, until
from tests.postgres.records import batch, rejection, source, user

SILENCE = "UPDATE techmart_loader.lease SET heartbeat_at = heartbeat_at - interval '1 hour'"


async def test_a_living_run_keeps_others_out(sink: PostgresSink, open_sink: OpenSink) -> None:
    first = run_start()
    await sink.start_run(first)
    async with open_sink() as second:
        with pytest.raises(LeaseHeldError, match=f"Run {first.run_id} .* since 20") as caught:
            await second.start_run(run_start())
        assert caught.value.exit_code is ExitCode.LEASE_HELD


async def test_a_run_whose_connection_died_is_replaced_at_once(
    open_sink: OpenSink, other: Connection
) -> None:
    gone = run_start()
    async with open_sink() as first:
        lost = await first.start_run(gone)
    async with open_sink() as second:
        lease = await second.start_run(run_start())
        assert lease.epoch == lost.epoch + 1
        status = {row.run_id: row.status for row in await second.runs()}
        assert status[gone.run_id] == "failed"
        assert status[lease.run_id] == "running"


async def test_the_row_of_a_replaced_run_tells_what_it_had_committed(open_sink: OpenSink) -> None:
    async with open_sink() as first:
        lost = await first.start_run(run_start())
        rejections = [rejection(7), rejection(8), rejection(9, code="not_a_number")]
        await first.write(0, batch(lost, Feed.USERS, [user("a")], rejections=rejections))
        corrected = user("a", at=9, email="new@example.com")
        await first.write(0, batch(lost, Feed.USERS, [user("b"), corrected]))
        assert await first.untold_runs() == []
        assert (await first.status()).lease_held
    async with open_sink() as second:
        standing = await second.status()
        assert (standing.lease_run_id, standing.lease_held) == (lost.run_id, False)
        await second.start_run(run_start())
        (untold,) = await second.untold_runs()
        assert (untold.row.run_id, untold.row.status) == (lost.run_id, "failed")
        counts = untold.row.feeds[Feed.USERS]
        assert (counts.read, counts.loaded, counts.corrected, counts.rejected) == (6, 3, 1, 3)
        assert counts.rejected_by_reason == {"missing_field": 2, "not_a_number": 1}
        assert untold.row.ended_at is not None
        await second.mark_told(untold.row)
        assert await second.untold_runs() == []


async def test_a_silent_run_is_replaced_and_learns_it(
    sink: PostgresSink, open_sink: OpenSink, other: Connection
) -> None:
    silent = await sink.start_run(run_start(lease_seconds=0.04))
    await other.execute(SILENCE)
    cut = Cut(block_bytes=1_000, lanes=1)
    async with open_sink() as second:
        lease = await second.start_run(run_start())
        assert lease.epoch == silent.epoch + 1
        with pytest.raises(LeaseHeldError, match="took the lease over"):
            await sink.keep_alive(silent)
        with pytest.raises(LeaseHeldError):
            await sink.store_group(silent, "users", [1])
        with pytest.raises(LeaseHeldError):
            await sink.register_files(silent, [source(Feed.USERS)], policy="run", cut=cut)
        await sink.finish_run(silent, run_end())
    async with open_sink() as third:
        await third.start_run(run_start())


async def test_a_jump_of_the_servers_clock_takes_the_lease_from_nobody_who_lives(
    sink: PostgresSink, open_sink: OpenSink, other: Connection
) -> None:
    lease = await sink.start_run(run_start(lease_seconds=2.0))
    beating = asyncio.ensure_future(sink.keep_alive(lease))
    for jump in (SILENCE, SILENCE.replace("-", "+")):
        await other.execute(jump)
        async with open_sink() as second:
            with pytest.raises(LeaseHeldError, match="is loading into this database"):
                await second.start_run(run_start())
    await sink.write(0, batch(lease, Feed.USERS, [user("a")]))
    beating.cancel()


async def test_a_silent_run_is_replaced_though_the_servers_clock_was_set_back(
    sink: PostgresSink, open_sink: OpenSink, other: Connection
) -> None:
    silent = await sink.start_run(run_start(lease_seconds=0.04))
    await other.execute(SILENCE.replace("-", "+"))
    async with open_sink() as second:
        assert (await second.start_run(run_start())).epoch == silent.epoch + 1


async def test_heartbeats_are_stamped(sink: PostgresSink, other: Connection) -> None:
    lease = await sink.start_run(run_start(lease_seconds=0.04))
    await other.execute(SILENCE)
    stamped = "SELECT heartbeat_at >= acquired_at FROM techmart_loader.lease"
    beating = asyncio.ensure_future(sink.keep_alive(lease))
    await until(other, stamped)
    beating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await beating


async def test_a_control_connection_that_broke_is_replaced_with_its_lease(
    sink: PostgresSink, open_sink: OpenSink, other: Connection
) -> None:
    await sink.start_run(run_start())
    holding = "FROM pg_locks WHERE locktype = 'advisory' AND classid = 1413827923"
    await other.execute(f"SELECT pg_terminate_backend(pid) {holding}")
    await until(other, f"SELECT count(*) = 0 {holding}")
    with suppress(SinkError):
        await sink.runs()
    await sink.runs()
    assert await other.fetchval(f"SELECT count(*) {holding}") == 1
    async with open_sink() as second:
        with pytest.raises(LeaseHeldError):
            await second.start_run(run_start())


async def test_a_batch_that_an_ended_run_left_open_does_not_keep_the_next_one_out(
    sink: PostgresSink, open_sink: OpenSink, other: Connection
) -> None:
    lease = await sink.start_run(run_start())
    await sink.finish_run(lease, run_end())
    # As a server has it that waits for the data of a COPY, while its client's network is gone.
    await other.execute(f"SET application_name = 'techmart_fast {lease.run_id}'")
    await other.execute("BEGIN")
    await other.execute("SELECT FROM techmart_loader.lease FOR KEY SHARE")
    async with open_sink() as second:
        assert (await second.start_run(run_start())).epoch == lease.epoch + 1


async def test_a_finished_run_gives_the_lease_back(sink: PostgresSink, open_sink: OpenSink) -> None:
    lease = await sink.start_run(run_start())
    await sink.finish_run(lease, run_end())
    async with open_sink() as second:
        await second.start_run(run_start())
    again = await sink.start_run(run_start())
    assert again.epoch == lease.epoch + 2


async def test_of_runs_that_start_together_one_wins(open_sink: OpenSink) -> None:
    async with open_sink() as one, open_sink() as two, open_sink() as three:
        results = await asyncio.gather(
            *(sink.start_run(run_start()) for sink in (one, two, three)), return_exceptions=True
        )
    assert sorted(type(result).__name__ for result in results) == [
        "Lease",
        "LeaseHeldError",
        "LeaseHeldError",
    ]
