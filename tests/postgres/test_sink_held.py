"""Held transactions: set aside without their parents, released when they arrive."""

import pytest

from techmart_fast.errors import SpoolError
from techmart_fast.postgres import Lease, PostgresSink, Release, plan
from techmart_fast.records import Feed
from tests.postgres.places import Connection
from tests.postgres.records import SpoolRecorder, batch, on_day, product, sale, user


@pytest.fixture(params=[False, True], ids=["set-based", "triggers"])
def plain_role(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def released(
    sink: PostgresSink, lease: Lease, spool: SpoolRecorder, max_rows: int = 100
) -> list[Release]:
    return [done async for done in sink.release_held(lease, spool, max_rows=max_rows)]


@pytest.mark.every_server
async def test_a_release_brings_what_can_be_told_and_leaves_the_rest(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    held = [
        sale("early", 1, at=1, payment_method_risk="high", **on_day(3)),
        sale("early", 2, at=2, **on_day(4)),
        sale("orphan", 1, at=3, user_id="nobody"),
        sale("no product", 1, at=4, product_id=None, payment_method_risk="high"),
    ]
    written = await sink.write(0, batch(lease, Feed.TRANSACTIONS, held))
    assert (written.counts.held, written.accepted) == (4, 0)

    await sink.write(0, batch(lease, Feed.USERS, [user("u1", customer_tier="vip")]))
    spool = SpoolRecorder()
    [first] = await released(sink, lease, spool)
    assert (first.released, first.accepted, first.flagged) == (1, 1, 1)

    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1")]))
    [second] = await released(sink, lease, spool)
    assert (second.released, second.accepted, second.superseded) == (2, 1, 0)
    assert [day.day for day in second.dates] == [4]
    assert await released(sink, lease, spool) == []

    assert [row["transaction_id"] for row in spool.rows] == ["no product", "early"]
    assert {row["processing_priority"] for row in spool.rows} == {"high"}
    assert spool.rows[1]["transaction_hour"] == 12
    rows = await other.fetch(
        "SELECT transaction_id, amount, processing_priority FROM transactions ORDER BY 1"
    )
    assert [(row[0], int(row[1]), row[2]) for row in rows] == [
        ("early", 2, "high"),
        ("no product", 1, "high"),
    ]
    assert (await sink.status()).held == 1
    entries = await sink.pending_entries("transactions")
    assert [entry.rows for entry in entries] == [1, 1]


async def test_releases_are_bounded_and_go_through_all(sink: PostgresSink, lease: Lease) -> None:
    held = [sale(f"t{number // 3}", number + 1, at=number) for number in range(12)]
    await sink.write(0, batch(lease, Feed.TRANSACTIONS, held))
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1")]))
    done = await released(sink, lease, SpoolRecorder(), max_rows=5)
    assert sum(release.released for release in done) == 12
    assert len(done) == 3
    status = await sink.status()
    assert (status.held, status.transactions) == (0, 4)


async def test_a_released_row_does_not_win_over_a_newer_one(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1")]))
    versions = [
        sale("a", 1, at=1, user_id="later"),
        sale("a", 3, at=3, user_id="later"),
        sale("a", 2, at=2),
    ]
    written = await sink.write(0, batch(lease, Feed.TRANSACTIONS, versions))
    assert (written.counts.held, written.counts.loaded, written.superseded) == (2, 1, 1)
    await sink.write(0, batch(lease, Feed.TRANSACTIONS, [sale("a", 4, at=4)]))

    await sink.write(0, batch(lease, Feed.USERS, [user("later", at=9)]))
    assert await released(sink, lease, SpoolRecorder()) == []
    assert await other.fetchval("SELECT amount FROM transactions") == 4


async def test_a_release_corrects_a_stored_row_and_names_its_old_date(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1")]))
    versions = [
        sale("a", 1, at=1, processing_priority="medium", **on_day(3)),
        sale("a", 2, at=2, user_id="later", **on_day(8)),
    ]
    await sink.write(0, batch(lease, Feed.TRANSACTIONS, versions))
    await sink.write(0, batch(lease, Feed.USERS, [user("later", at=9, customer_tier="vip")]))
    spool = SpoolRecorder()
    [done] = await released(sink, lease, spool)
    assert [day.day for day in done.dates] == [3, 8]
    assert spool.rows[0]["processing_priority"] == "medium"
    audited = await other.fetchval(
        "SELECT new_values ->> 'user_id' FROM audit_logs WHERE operation = 'UPDATE'"
    )
    assert audited == "later"


async def test_a_held_record_read_again_after_its_parent_came_needs_no_release(
    sink: PostgresSink, lease: Lease
) -> None:
    record = sale("a", at=1, product_id=None)
    await sink.write(0, batch(lease, Feed.TRANSACTIONS, [record]))
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    again = await sink.write(0, batch(lease, Feed.TRANSACTIONS, [record]))
    assert (again.counts.duplicate, again.accepted, again.superseded) == (1, 1, 1)
    assert await released(sink, lease, SpoolRecorder()) == []
    assert (await sink.status()).transactions == 1


async def test_a_release_that_fails_releases_nothing(sink: PostgresSink, lease: Lease) -> None:
    await sink.write(0, batch(lease, Feed.TRANSACTIONS, [sale("a", at=1, product_id=None)]))
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    with pytest.raises(SpoolError, match="no space"):
        await released(sink, lease, SpoolRecorder(fail=SpoolError("no space")))
    assert (await sink.status()).held == 1
    assert len(await released(sink, lease, SpoolRecorder())) == 1


async def test_held_versions_are_found_however_many_there_are(
    sink: PostgresSink, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [sale(f"t{number}", at=number) for number in range(5)]
    await sink.write(0, batch(lease, Feed.TRANSACTIONS, held))
    for listed in (5, 6):
        monkeypatch.setattr(plan, "_HELD_LISTED", listed)
        again = await sink.write(0, batch(lease, Feed.TRANSACTIONS, [sale("new", at=9), *held[1:]]))
        assert again.counts.duplicate == len(held) - 1 + (listed > 5)
