"""What every record of a batch counts as, and what becomes of its row; for both kinds of role."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from decimal import Decimal

import pytest

from techmart_fast.errors import RefusedRowError
from techmart_fast.postgres import Lease, PostgresSink
from techmart_fast.records import Feed
from tests.postgres.places import Connection
from tests.postgres.records import (
    SpoolRecorder,
    batch,
    on_day,
    product,
    record,
    sale,
    user,
)

Row = Mapping[str, object]


@pytest.fixture(params=[False, True], ids=["set-based", "triggers"])
def plain_role(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def shop(sink: PostgresSink, lease: Lease) -> Lease:
    """User u1, product p1."""
    await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    await sink.write(0, batch(lease, Feed.PRODUCTS, [product("p1")]))
    return lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Batches, what each counts (loaded, corrected, duplicate, held, accepted), and the end state.

    The end state is amount and offset by transaction.
    """

    batches: Sequence[Sequence[Row]]
    counts: Sequence[tuple[int, int, int, int, int]]
    end: Mapping[str, tuple[int, int]]


CASES = {
    "new records are loaded": Case(
        batches=[[sale("a", 1, at=1), sale("b", 2, at=2)]],
        counts=[(2, 0, 0, 0, 2)],
        end={"a": (1, 1), "b": (2, 2)},
    ),
    "a correction and its undoing in one batch are three loaded, one row": Case(
        batches=[[sale("a", 1, at=1), sale("a", 2, at=2), sale("a", 1, at=3)]],
        counts=[(3, 2, 0, 0, 1)],
        end={"a": (1, 3)},
    ),
    "the same twice in one batch is loaded and duplicate, and the position is the newer": Case(
        batches=[[sale("a", 1, at=1), sale("a", 1, at=2)]],
        counts=[(1, 0, 1, 0, 1)],
        end={"a": (1, 2)},
    ),
    "the same again in a newer record is a duplicate that advances the position": Case(
        batches=[[sale("a", 1, at=1)], [sale("a", 1, at=5)]],
        counts=[(1, 0, 0, 0, 1), (0, 0, 1, 0, 0)],
        end={"a": (1, 5)},
    ),
    "a position advanced by a duplicate wins against what lies between": Case(
        batches=[[sale("a", 1, at=1)], [sale("a", 1, at=5)], [sale("a", 2, at=3)]],
        counts=[(1, 0, 0, 0, 1), (0, 0, 1, 0, 0), (0, 0, 1, 0, 0)],
        end={"a": (1, 5)},
    ),
    "a correction in a later batch is loaded": Case(
        batches=[[sale("a", 1, at=1)], [sale("a", 2, at=5)]],
        counts=[(1, 0, 0, 0, 1), (1, 1, 0, 0, 1)],
        end={"a": (2, 5)},
    ),
    "an older record with other content changes nothing": Case(
        batches=[[sale("a", 1, at=5)], [sale("a", 2, at=1)]],
        counts=[(1, 0, 0, 0, 1), (0, 0, 1, 0, 0)],
        end={"a": (1, 5)},
    ),
    "the same position read again is a duplicate": Case(
        batches=[[sale("a", 1, at=5)], [sale("a", 1, at=5)]],
        counts=[(1, 0, 0, 0, 1), (0, 0, 1, 0, 0)],
        end={"a": (1, 5)},
    ),
    "older, equal and newer records of one id in one batch": Case(
        batches=[
            [sale("a", 1, at=5)],
            [sale("a", 9, at=1), sale("a", 1, at=6), sale("a", 2, at=7)],
        ],
        counts=[(1, 0, 0, 0, 1), (1, 1, 2, 0, 1)],
        end={"a": (2, 7)},
    ),
    "a change and its undoing on a stored row are two loaded, and only the position moves": Case(
        batches=[[sale("a", 1, at=1)], [sale("a", 2, at=5), sale("a", 1, at=6)]],
        counts=[(1, 0, 0, 0, 1), (2, 2, 0, 0, 0)],
        end={"a": (1, 6)},
    ),
    "records without a parent are held": Case(
        batches=[
            [sale("a", at=1, user_id="?"), sale("b", at=2, product_id="?"), sale("c", 3, at=3)]
        ],
        counts=[(1, 0, 0, 2, 1)],
        end={"c": (3, 3)},
    ),
    "a held record read again is a duplicate": Case(
        batches=[[sale("a", at=1, user_id="?")], [sale("a", at=1, user_id="?")]],
        counts=[(0, 0, 0, 1, 0), (0, 0, 1, 0, 0)],
        end={},
    ),
    "a held record read again is a duplicate, even if another contract reads it differently": Case(
        batches=[[sale("a", 1, at=1, user_id="?")], [sale("a", 2, at=1, user_id="?")]],
        counts=[(0, 0, 0, 1, 0), (0, 0, 1, 0, 0)],
        end={},
    ),
    "a held record repeated by a newer one is a duplicate": Case(
        batches=[[sale("a", at=1, user_id="?"), sale("a", at=2, user_id="?")]],
        counts=[(0, 0, 1, 1, 0)],
        end={},
    ),
    "a newer record with parents is loaded past a held one": Case(
        batches=[[sale("a", 1, at=1, user_id="?")], [sale("a", 2, at=2)]],
        counts=[(0, 0, 0, 1, 0), (1, 1, 0, 0, 1)],
        end={"a": (2, 2)},
    ),
    "a held record belongs to the chain of a stored one": Case(
        batches=[
            [sale("a", 1, at=1)],
            [sale("a", 1, at=2, user_id="?")],
            [sale("a", 1, at=3)],
        ],
        counts=[(1, 0, 0, 0, 1), (0, 0, 0, 1, 0), (1, 1, 0, 0, 0)],
        end={"a": (1, 3)},
    ),
    "an older record with parents is loaded beside a newer held one": Case(
        batches=[[sale("a", 1, at=5, user_id="?")], [sale("a", 2, at=1)]],
        counts=[(0, 0, 0, 1, 0), (1, 0, 0, 0, 1)],
        end={"a": (2, 1)},
    ),
    "a record without a product, where the contract allows it, has all its parents": Case(
        batches=[[sale("a", 1, at=1, product_id=None)]],
        counts=[(1, 0, 0, 0, 1)],
        end={"a": (1, 1)},
    ),
    "a later file wins over an earlier one at any offset": Case(
        batches=[[sale("a", 1, at=900)], [sale("a", 2, at=1, ordinal=2)]],
        counts=[(1, 0, 0, 0, 1), (1, 1, 0, 0, 1)],
        end={"a": (2, 1)},
    ),
    "an empty batch is a batch": Case(batches=[[]], counts=[(0, 0, 0, 0, 0)], end={}),
}


@pytest.mark.every_server
async def test_a_transaction_counts_as_the_table_says(
    sink: PostgresSink, shop: Lease, other: Connection, subtests: pytest.Subtests
) -> None:
    for number, (name, case) in enumerate(CASES.items()):
        with subtests.test(name):
            await play(case, f"case {number} ", sink, shop, other)


async def play(
    case: Case, prefix: str, sink: PostgresSink, lease: Lease, other: Connection
) -> None:
    """The case's batches with ids of its own, so that all cases share one database."""
    for records, expected in zip(case.batches, case.counts, strict=True):
        own = [{**row, "transaction_id": f"{prefix}{row['transaction_id']}"} for row in records]
        spool = SpoolRecorder()
        outcome = await sink.write(0, batch(lease, Feed.TRANSACTIONS, own, spool=spool))
        counts = outcome.counts
        got = (counts.loaded, counts.corrected, counts.duplicate, counts.held, outcome.accepted)
        assert got == expected
        assert counts.adds_up
        assert len(spool.rows) == outcome.accepted
    rows = await other.fetch(
        "SELECT transaction_id, amount, source_offset FROM transactions"
        " WHERE starts_with(transaction_id, $1)",
        prefix,
    )
    assert {row[0].removeprefix(prefix): (int(row[1]), row[2]) for row in rows} == case.end


CHANGES: Sequence[tuple[Feed, Mapping[str, object]]] = (
    (Feed.USERS, {"email": "new@example.com"}),
    (Feed.USERS, {"age_group": None}),
    (Feed.PRODUCTS, {"price": Decimal("21.00")}),
    (Feed.PRODUCTS, {"category": "garden", "supplier_id": "s2"}),
)


async def test_users_and_products_count_like_transactions(
    sink: PostgresSink, lease: Lease, subtests: pytest.Subtests
) -> None:
    for number, (feed, change) in enumerate(CHANGES):

        def version(at: int, feed: Feed = feed, key: str = f"x{number}", **fields: object) -> Row:
            return record(feed, key, at=at, **fields)

        with subtests.test(feed.value, **change):
            versions = [version(1), version(2, **change), version(3)]
            first = await sink.write(0, batch(lease, feed, versions))
            again = await sink.write(0, batch(lease, feed, [version(4), version(0, **change)]))
            corrected = await sink.write(0, batch(lease, feed, [version(5, **change)]))
            assert (first.counts.loaded, first.counts.corrected, first.accepted) == (3, 2, 1)
            assert (again.counts.loaded, again.counts.duplicate, again.accepted) == (0, 2, 0)
            assert (corrected.counts.loaded, corrected.counts.corrected) == (1, 1)
            assert corrected.accepted == 1


async def test_which_way_is_in_use_is_told(sink: PostgresSink, plain_role: bool) -> None:
    assert sink.referential_integrity == ("triggers" if plain_role else "set-based")


async def test_only_the_set_based_way_skips_the_triggers_of_each_row(
    sink: PostgresSink, lease: Lease, other: Connection, plain_role: bool
) -> None:
    await other.execute(
        """
        CREATE OR REPLACE FUNCTION fired() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'fired'; END $$;
        CREATE TRIGGER fired AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION fired();
        """
    )
    try:
        with pytest.raises(RefusedRowError, match="trigger") if plain_role else nullcontext():
            await sink.write(0, batch(lease, Feed.USERS, [user("u1")]))
    finally:
        await other.execute("DROP TRIGGER fired ON users")


async def test_only_loaded_records_count_as_flagged(sink: PostgresSink, shop: Lease) -> None:
    risky = {"payment_method_risk": "high"}
    records = [
        sale("a", 1, at=1, **risky),
        sale("a", 1, at=2, **risky),
        sale("a", 2, at=3, **risky),
        sale("b", 1, at=4, **risky),
        sale("c", 1, at=5, user_id="?", **risky),
        sale("d", 1, at=6),
    ]
    outcome = await sink.write(0, batch(shop, Feed.TRANSACTIONS, records))
    assert (outcome.counts.loaded, outcome.flagged) == (4, 3)


async def test_the_priority_is_kept_through_corrections(
    sink: PostgresSink, shop: Lease, other: Connection
) -> None:
    spool = SpoolRecorder()
    first = [
        sale("a", 1, at=1, processing_priority="high"),
        sale("b", 1, at=2, processing_priority="medium"),
        sale("b", 2, at=3, processing_priority="standard"),
    ]
    second = [
        sale("c", 1, at=4, processing_priority="medium"),
        sale("a", 2, at=5, processing_priority="standard"),
        sale("b", 3, at=6, processing_priority="high"),
    ]
    await sink.write(0, batch(shop, Feed.TRANSACTIONS, first, spool=spool))
    await sink.write(0, batch(shop, Feed.TRANSACTIONS, second, spool=spool))

    rows = await other.fetch("SELECT transaction_id, processing_priority FROM transactions")
    kept = {"a": "high", "b": "medium", "c": "medium"}
    assert {row[0]: row[1] for row in rows} == kept
    spooled = {row["transaction_id"]: row["processing_priority"] for row in spool.rows}
    assert spooled == kept


async def test_old_and_new_dates_of_a_moved_row_are_named(sink: PostgresSink, shop: Lease) -> None:
    await sink.write(0, batch(shop, Feed.TRANSACTIONS, [sale("a", at=1, **on_day(3))]))
    outcome = await sink.write(
        0,
        batch(
            shop, Feed.TRANSACTIONS, [sale("a", at=2, **on_day(7)), sale("b", at=3, **on_day(5))]
        ),
    )
    entry = (await sink.pending_entries("transactions"))[-1]
    assert [day.day for day in outcome.dates] == [3, 5, 7]
    assert entry.dates == outcome.dates


async def test_a_batch_that_accepts_nothing_owes_nothing(sink: PostgresSink, shop: Lease) -> None:
    before = len(await sink.pending_entries())
    await sink.write(0, batch(shop, Feed.TRANSACTIONS, [sale("a", at=1, user_id="?")]))
    assert len(await sink.pending_entries()) == before
