"""Rejected records: kept with their bytes, once, and resolved when their position is accepted."""

from pathlib import Path

from techmart_fast.postgres import Lease, PostgresSink, QuarantineFilter
from techmart_fast.records import Feed, SpooledFile
from tests.postgres.records import SpoolRecorder, batch, rejection, sale, user

ANY = QuarantineFilter()


async def test_a_rejected_record_is_shown_with_its_bytes(sink: PostgresSink, lease: Lease) -> None:
    bad = rejection(7, code="nul_character", raw=b"\x00\xff{", record_key="tx\0n", field=None)
    outcome = await sink.write(0, batch(lease, Feed.TRANSACTIONS, [], rejections=[bad]))
    assert (outcome.counts.read, outcome.counts.rejected) == (1, 1)
    assert outcome.counts.rejected_by_reason == {"nul_character": 1}
    [listed] = await sink.quarantine_list(ANY)
    shown = await sink.quarantine_show(listed.quarantine_id)
    assert shown is not None
    assert (listed.raw, shown.raw) == (b"", b"\x00\xff{")
    assert (shown.feed, shown.code, shown.field) == (Feed.TRANSACTIONS, "nul_character", None)
    assert (shown.source_name, shown.source_line, shown.source_offset) == ("feed.json", 8, 7)
    assert shown.record_key == "tx\\x00n"
    assert await sink.quarantine_show(10**6) is None


async def test_the_list_is_filtered_ordered_and_bounded(sink: PostgresSink, lease: Lease) -> None:
    bad = [rejection(9), rejection(3, code="wrong_type"), rejection(5)]
    await sink.write(0, batch(lease, Feed.TRANSACTIONS, [], rejections=bad))
    await sink.write(0, batch(lease, Feed.USERS, [], rejections=[rejection(1)]))

    async def offsets(filters: QuarantineFilter, limit: int = 100) -> list[int]:
        return [row.source_offset for row in await sink.quarantine_list(filters, limit)]

    assert await offsets(ANY) == [3, 5, 9, 1]
    assert await offsets(ANY, limit=2) == [3, 5]
    assert await offsets(QuarantineFilter(feed=Feed.USERS)) == [1]
    assert await offsets(QuarantineFilter(code="wrong_type")) == [3]
    assert await offsets(QuarantineFilter(source="feed.json")) == [3, 5, 9, 1]
    assert await offsets(QuarantineFilter(source="other.json")) == []
    assert await offsets(QuarantineFilter(run_id=lease.run_id)) == [3, 5, 9, 1]


async def test_reading_again_under_another_contract_updates_and_resolves(
    sink: PostgresSink, lease: Lease
) -> None:
    await sink.write(
        0, batch(lease, Feed.USERS, [user("a", at=1)], rejections=[rejection(3), rejection(5)])
    )
    again = batch(
        lease,
        Feed.USERS,
        [user("a", at=1), user("b", at=3)],
        rejections=[rejection(5, code="wrong_type")],
    )
    outcome = await sink.write(0, again)
    assert (outcome.counts.loaded, outcome.counts.duplicate) == (1, 1)
    [still] = await sink.quarantine_list(ANY)
    assert (still.source_offset, still.code) == (5, "wrong_type")
    every = await sink.quarantine_list(QuarantineFilter(include_resolved=True))
    assert [(row.source_offset, row.resolved_at is not None) for row in every] == [
        (3, True),
        (5, False),
    ]
    await sink.write(0, batch(lease, Feed.USERS, [], rejections=[rejection(3)]))
    assert len(await sink.quarantine_list(ANY)) == 2
    assert (await sink.status()).quarantined == 2


async def test_only_the_same_file_resolves(sink: PostgresSink, lease: Lease) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [], rejections=[rejection(3)]))
    await sink.write(0, batch(lease, Feed.USERS, [user("a", at=3, ordinal=2)], ordinal=2))
    await sink.write(0, batch(lease, Feed.TRANSACTIONS, [sale("a", at=3, user_id="?")]))
    assert len(await sink.quarantine_list(ANY)) == 1


async def test_spooled_rejections_are_owed_to_the_warehouse(
    sink: PostgresSink, lease: Lease
) -> None:
    day = user("x")["registration_date"]
    file = SpooledFile(
        table="rejected_transactions",
        path=Path("/spool/rejected.parquet"),
        sha256="ab",
        rows=1,
        size_bytes=10,
        dates=(day,),
    )
    spool = SpoolRecorder()
    write = batch(
        lease, Feed.TRANSACTIONS, [], rejections=[rejection(3)], rejected_file=file, spool=spool
    )
    await sink.write(0, write)
    [entry] = await sink.pending_entries()
    assert (entry.table, entry.path, entry.rows) == ("rejected_transactions", str(file.path), 1)
    assert entry.dates == (day,)
    assert spool.batches == []
