"""What is told of a batch without the database, and the ways of rows into and out of it."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from techmart_fast.errors import RefusedRowError, SinkAccessError, SinkError
from techmart_fast.postgres import faults, statements
from techmart_fast.postgres.arrow_out import fetch_arrow, read_csv
from techmart_fast.postgres.columns import pieces
from techmart_fast.postgres.encode import copy_bytes
from techmart_fast.postgres.fold import shape, up_to
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.tables import table_of
from techmart_fast.records import CANDIDATES, Feed
from tests.postgres.records import product, sale

KEYS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
)


def candidates(*rows: dict[str, object], feed: Feed = Feed.TRANSACTIONS) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=CANDIDATES[feed])


@given(keys=KEYS, skipped=st.integers(0, 3))
def test_the_order_of_a_batch_is_all_rows_by_the_beginning_of_their_keys(
    keys: list[str], skipped: int
) -> None:
    rows = candidates(*(sale(key) for key in keys)).slice(skipped)
    order = shape(rows, table_of(Feed.TRANSACTIONS)).order
    assert sorted(order) == list(range(rows.num_rows))
    ordered = [keys[skipped:][row].encode() for row in order]
    common = len(_common_prefix(ordered))
    beginnings = [key[: common + 8].ljust(common + 8, b"\0") for key in ordered]
    assert beginnings == sorted(beginnings)


@given(keys=KEYS)
def test_repeated_keys_are_marked_and_no_others(keys: list[str]) -> None:
    rows = candidates(*(sale(key) for key in keys))
    repeated = shape(rows, table_of(Feed.TRANSACTIONS)).repeated
    assert repeated.tolist() == [keys.count(key) > 1 for key in keys]


@given(keys=KEYS, newest=st.text(st.characters(exclude_categories=["Cs"])))
def test_only_keys_up_to_the_newest_stored_one_can_be_stored(keys: list[str], newest: str) -> None:
    mask = up_to(pa.array(keys, type=pa.string()), newest)
    assert mask.tolist() == [key.encode() <= newest.encode() for key in keys]
    assert not up_to(pa.array(keys, type=pa.string()), None).any()


def test_parents_are_distinct_sorted_and_known_by_who_named_them_first() -> None:
    rows = candidates(
        product("a", at=5, category="z"),
        product("b", at=6, category="é"),
        product("c", at=7, category="z"),
        feed=Feed.PRODUCTS,
    )
    category, supplier = shape(rows, table_of(Feed.PRODUCTS)).parents
    assert (category.keys.to_pylist(), category.offsets) == (["z", "é"], [5, 6])
    assert (supplier.keys.to_pylist(), supplier.offsets) == (["s1"], [5])
    users, products = shape(
        candidates(sale("a", product_id=None)), table_of(Feed.TRANSACTIONS)
    ).parents
    assert (users.keys.to_pylist(), products.keys.to_pylist()) == (["u1"], [])


VALUES = st.fixed_dictionaries(
    {
        "text": st.none()
        | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        "money": st.none() | st.decimals("-9999999999.99", "9999999999.99", places=2),
        "moment": st.none()
        | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
        "day": st.none() | st.dates(date(1900, 1, 1)),
        "flag": st.none() | st.booleans(),
        "number": st.none() | st.integers(-(2**63), 2**63 - 1),
    }
)
SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("money", pa.decimal128(12, 2)),
        ("moment", pa.timestamp("us", tz="UTC")),
        ("day", pa.date32()),
        ("flag", pa.bool_()),
        ("number", pa.int64()),
    ]
)


async def test_rows_come_back_as_they_went_in(session: Session) -> None:
    columns = (
        'n bigint, "text" text, money numeric(12, 2), moment timestamptz, day date, flag boolean,'
        " number bigint"
    )
    await session.script(f"CREATE TEMPORARY TABLE there ({columns})", doing="test")
    rows = _examples(500)
    given_rows = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    numbered = given_rows.append_column("n", pa.array(np.arange(len(rows))))
    await session.copy_in(
        "there", numbered.schema.names, copy_bytes(numbered), schema="pg_temp", doing="test"
    )
    query = 'SELECT "text", money, moment, day, flag, number FROM there ORDER BY n'
    found = await fetch_arrow(session, query, SCHEMA, doing="test")
    assert found.to_pylist() == given_rows.to_pylist()


def test_an_empty_answer_has_its_columns() -> None:
    header = ",".join(f'"{name}"' for name in SCHEMA.names).encode()
    assert read_csv(header + b"\n", SCHEMA).schema == SCHEMA


def test_every_statement_is_described_and_complete() -> None:
    folder = Path(statements.__file__).parent / "sql"
    for file in folder.glob("*.sql"):
        text = file.read_text()
        assert text.startswith("-- "), file
        names = re.findall(r"^-- name: (\w+)\n-- ", text, re.MULTILINE)
        assert names == re.findall(r"^-- name: (\w+)$", text, re.MULTILINE), file
        assert len(names) == len(set(names)), file
    for feed in Feed:
        for name in ("create_staged", "judge_single", "judge_chained", "summarise", "correct"):
            assert "{" not in statements.statement("staging", name, **pieces(feed)).replace(
                "'{}'", ""
            )


@pytest.mark.parametrize(
    ("error", "kind", "transient", "says"),
    [
        (asyncpg.DiskFullError("x"), SinkError, False, "disk of the PostgreSQL server is full"),
        (asyncpg.ReadOnlySQLTransactionError("x"), SinkAccessError, False, "read only"),
        (asyncpg.AdminShutdownError("x"), SinkError, True, "was lost"),
        (asyncpg.DeadlockDetectedError("deadlock detected"), SinkError, True, "deadlock detected"),
        (asyncpg.UndefinedTableError("no users"), SinkError, False, "not the loader's"),
        (asyncpg.UniqueViolationError("x"), SinkError, True, "refused a row"),
        (asyncpg.CheckViolationError("x"), RefusedRowError, False, "refused a row"),
        (asyncpg.TooManyConnectionsError("too many"), SinkError, True, "too many"),
        (ConnectionResetError("x"), SinkError, True, "was lost"),
        (asyncpg.OutOfMemoryError("out of memory"), SinkError, True, "out of memory"),
    ],
)
def test_a_failure_of_the_server_becomes_one_line(
    error: BaseException, kind: type[SinkError], transient: bool, says: str
) -> None:
    told = faults.statement_error(error, "writing users")
    assert (type(told), told.transient) == (kind, transient)
    assert says in str(told)
    assert "\n" not in str(told)


@pytest.mark.parametrize(
    ("cause", "conflict"),
    [
        (asyncpg.DeadlockDetectedError("x"), True),
        (asyncpg.UniqueViolationError("x"), True),
        (asyncpg.CheckViolationError("x"), False),
        (asyncpg.AdminShutdownError("x"), False),
    ],
)
def test_only_conflicts_are_tried_again_at_once(cause: BaseException, conflict: bool) -> None:
    error = SinkError("x")
    error.__cause__ = cause
    assert faults.is_conflict(error) is conflict


def _common_prefix(keys: list[bytes]) -> bytes:
    if not keys:
        return b""
    first, last = min(keys), max(keys)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    return first[: min(len(first), len(last)) if length is None else length]


def _examples(count: int) -> list[dict[str, object]]:
    """Awkward rows: found by hypothesis once, kept as a list so that one COPY takes them all."""
    rows: list[dict[str, object]] = [
        {
            "text": text,
            "money": Decimal("0.01"),
            "moment": None,
            "day": None,
            "flag": None,
            "number": 0,
        }
        for text in ("", '"', "\\", "\\N", "\r\n", "a\nb", ",", " x ", "NULL", "é€😀", "\u2028")
    ]

    @given(row=VALUES)
    def collect(row: dict[str, object]) -> None:
        rows.append(row)

    collect()
    return rows[:count]
