"""Complete catalogues: a product that the newest one does not name is inactive until it returns."""

from techmart_fast.postgres import Lease, PostgresSink
from techmart_fast.records import Feed
from tests.postgres.places import Connection
from tests.postgres.records import SpoolRecorder, batch, product, rejection, user


async def active(other: Connection) -> dict[str, bool]:
    rows = await other.fetch("SELECT product_id, is_active FROM products")
    return {row[0]: row[1] for row in rows}


async def test_a_product_that_is_not_named_becomes_inactive_and_returns(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    spool = SpoolRecorder()
    both = [product("a", at=0), product("b", at=1, name='Lamp, "large"\r\nblue')]
    await sink.write(0, batch(lease, Feed.PRODUCTS, both, spool=spool))
    await sink.deactivate_products(lease, spool, since_ordinal=1)
    only_a = [product("a", ordinal=2)]
    await sink.write(0, batch(lease, Feed.PRODUCTS, only_a, ordinal=2, spool=spool))
    assert await sink.deactivate_products(lease, spool, since_ordinal=2) == 1
    assert await active(other) == {"a": True, "b": False}
    assert (await sink.status()).active_products == 1

    gone = spool.rows[-1]
    assert (gone["product_id"], gone["is_active"], gone["catalogue_ordinal"]) == ("b", False, 2)
    assert (gone["source_ordinal"], gone["source_offset"]) == (1, 1)
    assert gone["name"] == 'Lamp, "large"\r\nblue'

    back = [product("a", ordinal=3), product("b", at=1, ordinal=3, name=both[1]["name"])]
    outcome = await sink.write(0, batch(lease, Feed.PRODUCTS, back, ordinal=3, spool=spool))
    assert (outcome.counts.duplicate, outcome.accepted) == (2, 1)
    assert spool.rows[-1]["is_active"]
    assert await sink.deactivate_products(lease, spool, since_ordinal=3) == 0
    assert await active(other) == {"a": True, "b": True}
    updates = "SELECT count(*) FROM audit_logs WHERE operation = 'UPDATE' AND record_key = 'b'"
    assert await other.fetchval(updates) == 2


async def test_an_older_catalogue_changes_nothing(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    spool = SpoolRecorder()
    newer = [product("a", ordinal=5)]
    await sink.write(0, batch(lease, Feed.PRODUCTS, newer, ordinal=5, spool=spool))
    await sink.deactivate_products(lease, spool, since_ordinal=5)
    older = [product("b", ordinal=3)]
    await sink.write(0, batch(lease, Feed.PRODUCTS, older, ordinal=3, spool=spool))
    assert await sink.deactivate_products(lease, spool, since_ordinal=3) == 0
    assert await active(other) == {"a": True, "b": False}


async def test_a_product_whose_record_was_rejected_is_named(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    spool = SpoolRecorder()
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("a"), product("b", at=1)]))
    write = batch(
        lease,
        Feed.PRODUCTS,
        [product("a", ordinal=2)],
        rejections=[rejection(9, record_key="b")],
        ordinal=2,
    )
    await sink.write(0, write)
    assert await sink.deactivate_products(lease, spool, since_ordinal=2) == 0
    assert spool.batches == []


async def test_derived_columns_of_a_dimension_follow_a_new_contract(
    sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    spool = SpoolRecorder()
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("a")], spool=spool))
    dearer = [product("a", at=1, price_usd=product("x")["price"] * 2, price_tier="mid_range")]
    outcome = await sink.write(0, batch(lease, Feed.PRODUCTS, dearer, spool=spool))
    assert (outcome.counts.duplicate, outcome.accepted) == (1, 1)
    assert await other.fetchval("SELECT price_usd FROM products") == 40


async def test_only_users_of_another_tier_are_handed_out(sink: PostgresSink, lease: Lease) -> None:
    people = [user(tier, at=at, customer_tier=tier) for at, tier in enumerate(("standard", "vip"))]
    await sink.write(0, batch(lease, Feed.USERS, people))
    table = await sink.premium_users("standard")
    assert table.to_pylist() == [{"user_id": "vip", "customer_tier": "vip"}]
    assert (await sink.premium_users("vip")).num_rows == 1
    await sink.write(0, batch(lease, Feed.USERS, [user("vip", at=9, customer_tier="standard")]))
    assert (await sink.premium_users("standard")).num_rows == 0
