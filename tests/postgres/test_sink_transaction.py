"""A batch is committed once, or not at all: reruns, lost answers, failures, deadlines, fencing."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import asyncpg
import pytest

from techmart_fast.errors import SinkError, SpoolError
from techmart_fast.postgres import BatchOutcome, BatchWrite, Lease, PostgresSink
from techmart_fast.postgres.model import RunStatus
from techmart_fast.postgres.session import Session
from techmart_fast.records import Feed
from tests.postgres.places import Connection, run_end, run_start
from tests.postgres.records import (
    SpoolRecorder,
    WaitingSpool,
    batch,
    product,
    rejection,
    sale,
    user,
)


async def users(other: Connection) -> int:
    count = await other.fetchval("SELECT count(*) FROM users")
    assert isinstance(count, int)
    return count


async def test_a_committed_batch_is_skipped_by_a_rerun(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    batch_id = uuid4()
    rejected = [rejection(7), rejection(8, code="not_a_number")]
    first = await sink.write(
        0, batch(lease, Feed.USERS, [user("a")], rejections=rejected, batch_id=batch_id)
    )
    spool = SpoolRecorder()
    again = await sink.write(
        0,
        batch(lease, Feed.USERS, [user("a")], rejections=rejected, batch_id=batch_id, spool=spool),
    )
    assert not first.skipped
    assert again.skipped
    counts = again.counts
    assert (counts.read, counts.rejected, counts.duplicate) == (3, 2, 1)
    assert counts.rejected_by_reason == {"missing_field": 1, "not_a_number": 1}
    assert spool.rows == []
    assert await other.fetchval("SELECT count(*) FROM techmart_loader.quarantine") == 2
    assert len(await sink.pending_entries()) == 1


async def test_what_an_unfinished_run_took_in_is_judged_once_by_the_run_that_finds_it(
    sink: PostgresSink, lease: Lease
) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("u")]))
    batch_id = uuid4()

    def sales(lease: Lease) -> BatchWrite:
        risky = sale("a", user_id="u", product_id=None, payment_method_risk="high")
        records = [risky, sale("b", user_id="nobody", product_id=None)]
        rejected = [rejection(7)]
        return batch(lease, Feed.TRANSACTIONS, records, rejections=rejected, batch_id=batch_id)

    first = await sink.write(0, sales(lease))
    assert (first.judged, first.flagged) == (first.counts, 1)

    async def again(status: RunStatus) -> BatchOutcome:
        """The next run finds the batch (twice), and ends."""
        following = await sink.start_run(run_start())
        found = await sink.write(0, sales(following))
        twice = await sink.write(0, sales(following))
        assert twice.judged is None
        await sink.finish_run(following, run_end(status))
        return found

    await sink.finish_run(lease, run_end("stopped"))
    unfinished: tuple[RunStatus, ...] = ("failed", "completed")
    for status in unfinished:
        found = await again(status)
        assert (found.counts.duplicate, found.judged, found.flagged) == (2, first.counts, 1)
    assert (await again("completed")).judged is None


async def test_a_failing_spool_leaves_nothing(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    write = batch(lease, Feed.USERS, [user("a")], spool=SpoolRecorder(fail=SpoolError("full")))
    with pytest.raises(SpoolError, match="full"):
        await sink.write(0, write)
    assert await users(other) == 0
    assert await other.fetchval("SELECT count(*) FROM techmart_loader.batches") == 0
    good = batch(lease, Feed.USERS, [user("a")], batch_id=write.identity.batch_id)
    assert (await sink.write(0, good)).counts.loaded == 1


async def test_a_cancelled_batch_leaves_nothing_and_the_lane_goes_on(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    spool = WaitingSpool()
    write = batch(lease, Feed.USERS, [user("a")])
    waiting = batch(lease, Feed.USERS, [user("a")], spool=spool)
    task = asyncio.ensure_future(sink.write(0, waiting))
    await spool.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await sink.write(0, write)).counts.loaded == 1
    assert await users(other) == 1


LossyCommit = Callable[[bool], None]


@pytest.fixture
def lose_commit(monkeypatch: pytest.MonkeyPatch) -> LossyCommit:
    """`lose_commit(reaches)`: the next COMMIT's answer is lost, after or before it took effect."""
    script = Session.script

    def lose(reaches: bool) -> None:
        async def lossy(session: Session, sql: str, *, doing: str) -> None:
            if sql != "COMMIT":
                return await script(session, sql, doing=doing)
            monkeypatch.setattr(Session, "script", script)
            if reaches:
                await script(session, sql, doing=doing)
            session.terminate()
            raise SinkError("lost", transient=True)

        monkeypatch.setattr(Session, "script", lossy)

    return lose


async def test_a_commit_whose_answer_was_lost_is_looked_up(
    sink: PostgresSink, lease: Lease, other: Connection, lose_commit: LossyCommit
) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("a")]))
    lose_commit(True)
    outcome = await sink.write(0, batch(lease, Feed.USERS, [user("b", at=1)]))
    assert (outcome.counts.loaded, outcome.skipped) == (1, False)
    assert await users(other) == 2


async def test_a_commit_that_did_not_arrive_may_be_repeated(
    sink: PostgresSink, lease: Lease, other: Connection, lose_commit: LossyCommit
) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("a")]))
    write = batch(lease, Feed.USERS, [user("b", at=1)])
    lose_commit(False)
    with pytest.raises(SinkError, match="not committed") as caught:
        await sink.write(0, write)
    assert caught.value.transient
    assert caught.value.batch == str(write.identity.batch_id)
    assert (await sink.write(0, write)).counts.loaded == 1
    assert await users(other) == 2


async def test_a_batch_that_lost_a_deadlock_is_repeated(
    sink: PostgresSink, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_in = Session.copy_in

    async def deadlocked(session: Session, table: str, *rest: object, **named: object) -> None:
        monkeypatch.setattr(Session, "copy_in", copy_in)
        raise SinkError("deadlock", transient=True) from asyncpg.DeadlockDetectedError("deadlock")

    monkeypatch.setattr(Session, "copy_in", deadlocked)
    spool = SpoolRecorder()
    outcome = await sink.write(0, batch(lease, Feed.USERS, [user("a")], spool=spool))
    assert (outcome.counts.loaded, len(spool.batches)) == (1, 2)


async def test_lanes_write_side_by_side(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1")]))
    async with asyncio.TaskGroup() as tasks:
        for lane in (0, 1):
            tasks.create_task(write_several(sink, lease, lane))
    assert await other.fetchval("SELECT count(*) FROM transactions") == 2 * 5 * 20


async def write_several(sink: PostgresSink, lease: Lease, lane: int) -> None:
    for number in range(5):
        rows = [sale(f"{lane} {number} {row}", at=row) for row in range(20)]
        await sink.write(lane, batch(lease, Feed.TRANSACTIONS, rows, lane=lane, lanes=2))


async def test_the_checkpoint_of_a_lane_advances_with_its_batches(
    sink: PostgresSink, lease: Lease
) -> None:
    write = batch(lease, Feed.USERS, [user("a")], lane=1, lanes=2)
    source = write.identity.source
    assert await sink.progress(lease, source) == []
    await sink.write(1, write)
    [progress] = await sink.progress(lease, source)
    assert (progress.lane, progress.lanes, progress.end_byte) == (1, 2, 1000)


async def test_what_a_batch_did_is_traced(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("a"), product("b", at=1)]))
    records = [product("a", at=2), product("b", at=3, name="New"), product("c", at=4)]
    await sink.write(0, batch(lease, Feed.PRODUCTS, records))
    rows = await other.fetch(
        "SELECT target_table, rows_inserted, rows_updated, rows_advanced"
        " FROM techmart_loader.lineage ORDER BY batch_no, target_table"
    )
    assert [tuple(row) for row in rows] == [
        ("categories", 1, 0, 0),
        ("products", 2, 0, 0),
        ("suppliers", 1, 0, 0),
        ("products", 1, 1, 1),
    ]
