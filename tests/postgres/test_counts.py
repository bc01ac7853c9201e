"""What every record of a batch counts as, and what becomes of its row."""

from collections.abc import Mapping, Sequence

import pytest

from techmart_fast.postgres import Lease, PostgresSink
from techmart_fast.records import Feed
from tests.postgres.records import batch, sale, user, product, SpoolRecorder

async def test_smoke(sink: PostgresSink, lease: Lease) -> None:
    assert sink.referential_integrity == "set-based"
    o = await sink.write(0, batch(lease, Feed.USERS, [user("u1"), user("u2", at=5)]))
    print(o)
    s = SpoolRecorder()
    o = await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1")], spool=s))
    print(o, s.rows)
    s = SpoolRecorder()
    o = await sink.write(0, batch(lease, Feed.TRANSACTIONS, [sale("a",1,at=1), sale("a",2,at=2), sale("a",1,at=3), sale("b",at=4), sale("b",at=5), sale("c",at=6,user_id="nobody")], spool=s))
    print(o, s.rows)
    o = await sink.write(0, batch(lease, Feed.TRANSACTIONS, [sale("a",1,at=1), sale("b",3,at=7), sale("c",at=8,user_id="nobody")], spool=s))
    print(o, s.rows)
    o = await sink.write(0, batch(lease, Feed.USERS, [user("nobody", at=9)]))
    s=SpoolRecorder()
    print([r async for r in sink.release_held(lease, s)], s.rows)
    print(await sink.status(), await sink.pending_entries(), await sink.runs(), await sink.daily_totals())
    print(await sink.deactivate_products(lease, s, since_ordinal=2), s.rows[-1])
    print(await sink.premium_users("vip"))
    assert 0
