"""The outbox: owed files are bound into groups, tried under stored job ids, and published once."""

from dataclasses import replace
from uuid import uuid4

import pytest

from techmart_fast.errors import LeaseHeldError, SinkError
from techmart_fast.postgres import Lease, PostgresSink
from techmart_fast.records import Feed
from tests.postgres.records import batch, product, user


@pytest.fixture
async def owed(sink: PostgresSink, lease: Lease) -> list[int]:
    """Entries: users, users, products."""
    await sink.write(0, batch(lease, Feed.USERS, [user("a")]))
    await sink.write(0, batch(lease, Feed.USERS, [user("b", at=1), user("c", at=2)]))
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p")]))
    return [entry.entry_id for entry in await sink.pending_entries()]


async def test_entries_wait_in_order_until_they_are_bound(
    sink: PostgresSink, lease: Lease, owed: list[int]
) -> None:
    entries = await sink.pending_entries("users")
    assert [(entry.table, entry.rows) for entry in entries] == [("users", 1), ("users", 2)]
    group = await sink.store_group(lease, "users", owed[:2])
    assert [entry.entry_id for entry in group.entries] == owed[:2]
    assert (group.table, group.attempt, group.job_id) == ("users", 0, None)
    assert [entry.table for entry in await sink.pending_entries()] == ["products"]
    assert await sink.open_groups() == [group]


async def test_an_attempt_is_found_again_by_the_next_run(
    sink: PostgresSink, lease: Lease, owed: list[int]
) -> None:
    group = await sink.store_group(lease, "users", owed[:2])
    await sink.store_attempt(lease, group.group_id, attempt=1, job_id="job 1")
    await sink.store_attempt(lease, group.group_id, attempt=2, job_id="job 2")
    [found] = await sink.open_groups()
    assert (found.attempt, found.job_id) == (2, "job 2")
    with pytest.raises(SinkError, match="Attempt 2"):
        await sink.store_attempt(lease, group.group_id, attempt=2, job_id="job 3")


async def test_a_published_group_is_done_and_stays_so(
    sink: PostgresSink, lease: Lease, owed: list[int]
) -> None:
    group = await sink.store_group(lease, "users", owed[:2])
    await sink.store_attempt(lease, group.group_id, attempt=1, job_id="job")
    assert (await sink.status()).outbox_pending_rows == 4
    for _ in range(2):
        await sink.mark_published(lease, [group.group_id])
    assert await sink.open_groups() == []
    status = await sink.status()
    assert (status.outbox_pending, status.outbox_pending_rows) == (1, 1)
    with pytest.raises(SinkError):
        await sink.store_attempt(lease, group.group_id, attempt=2, job_id="late")


async def test_an_entry_is_bound_once_and_only_for_its_table(
    sink: PostgresSink, lease: Lease, owed: list[int]
) -> None:
    await sink.store_group(lease, "users", owed[:1])
    for entries in (owed[:2], [owed[2]], [], [10**6]):
        with pytest.raises(SinkError, match="can't be grouped"):
            await sink.store_group(lease, "users", entries)
    assert len(await sink.open_groups()) == 1
    assert len(await sink.pending_entries("users")) == 1


async def test_files_are_owed_until_they_are_published(
    sink: PostgresSink, lease: Lease, owed: list[int]
) -> None:
    entries = await sink.pending_entries()
    group = await sink.store_group(lease, "users", owed[:2])
    waiting = await sink.owed_files(lease, [lease.run_id, uuid4()])
    assert waiting.runs == {lease.run_id}
    assert waiting.paths == {entry.path for entry in entries}
    await sink.mark_published(lease, [group.group_id])
    left = await sink.owed_files(lease, [])
    assert (left.runs, left.paths) == (frozenset(), {entries[2].path})
    with pytest.raises(LeaseHeldError):
        await sink.owed_files(replace(lease, epoch=lease.epoch - 1), [lease.run_id])
