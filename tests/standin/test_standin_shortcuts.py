"""Statements that are run in a shorter way come to what the longer way comes to."""

import hashlib
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from techmart_fast.standin.sql import analyse, merge
from tests.standin.conftest import Shop

DAY = "DATE '2024-01-01'"
ON = f"T.id = S.id AND T.day IN ({DAY})"
INSERT = "INSERT (id, day, amount) VALUES (S.id, S.day, S.amount)"
SOURCE = "(SELECT * FROM s)"

Row = tuple[int | None, str | None]
rows_of_source = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(1, 4)),
        st.one_of(st.none(), st.sampled_from(["1", "2.5", "-3.25", "0.125", "99.995"])),
    ),
    max_size=8,
)
a_few = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    """A partitioned table `t` without rows on the day that is merged, and one on another day."""
    shop.query(
        f"""CREATE TABLE t (id INT64, day DATE, amount NUMERIC(10, 2), tags ARRAY<STRING>)
              PARTITION BY day OPTIONS (require_partition_filter = TRUE);
            CREATE TABLE s (id INT64, day DATE, amount NUMERIC);
            CREATE TABLE k (id INT64 NOT NULL, rank INT64, amount NUMERIC);
            INSERT t VALUES (1, DATE '2024-02-02', 7, ['other day']);
            INSERT s VALUES (1, {DAY}, 1), (2, {DAY}, 2.345), (2, {DAY}, 3), (NULL, {DAY}, 4)"""
    )
    return shop


def filled(shop: Shop, name: str, rows: list[Row]) -> None:
    """Make these the rows of `s` or `k`."""
    shop.query(f"TRUNCATE TABLE {name}")
    second = DAY if name == "s" else "NULL"
    values = [
        f"({'NULL' if key is None else key}, {second}, {'NULL' if x is None else x})"
        for key, x in rows
    ]
    if values:
        shop.query(f"INSERT {name} VALUES {', '.join(values)}")


def merged(shop: Shop, sql: str) -> tuple[object, ...]:
    """Everything that a MERGE leaves and tells; it is taken back."""
    shop.query("DELETE FROM t WHERE day < '2024-02-01'")
    job = shop.job(sql)
    job.result()
    rows = shop.rows("SELECT id, day, amount, tags FROM t WHERE day > '2000-01-01'")
    statistics = job._properties["statistics"]["query"]
    told = {key: statistics[key] for key in ("dmlStats", "numDmlAffectedRows", "statementType")}
    costs = (job.total_bytes_processed, job.total_bytes_billed)
    return sorted(map(repr, rows)), told, costs


@pytest.fixture
def both_ways(stocked: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[Any, Any]]:
    """Run a MERGE as an INSERT, and by DuckDB's own MERGE."""
    taken: list[str] = []
    short = merge._all_inserted

    def counted(*arguments: Any) -> Any:
        taken.append("short")
        return short(*arguments)

    def run(sql: str) -> tuple[Any, Any]:
        taken.clear()
        with monkeypatch.context() as patch:
            patch.setattr(merge, "_all_inserted", counted)
            first = merged(stocked, sql)
            assert taken == ["short"]
            patch.setattr(merge, "can_match", lambda *_: True)
            second = merged(stocked, sql)
            assert taken == ["short"]
        return first, second

    return run


@pytest.mark.parametrize(
    "whens",
    [
        f"WHEN NOT MATCHED THEN {INSERT}",
        f"WHEN NOT MATCHED BY TARGET AND S.amount > 2 THEN {INSERT}",
        f"WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN {INSERT}",
        f"WHEN MATCHED THEN UPDATE SET amount = S.amount WHEN NOT MATCHED THEN {INSERT}",
        (
            "WHEN MATCHED AND T.amount > NUMERIC '1.5' THEN DELETE WHEN MATCHED THEN UPDATE SET "
            f"amount = NUMERIC '1.5' WHEN NOT MATCHED AND S.id IS NOT NULL THEN {INSERT}"
        ),
        "WHEN NOT MATCHED THEN INSERT (day, tags) VALUES (S.day, [CAST(S.id AS STRING), 'x'])",
        f"WHEN NOT MATCHED THEN INSERT (id, day) VALUES ((SELECT SUM(id) FROM s), {DAY})",
    ],
)
def test_a_merge_that_nothing_matches_does_what_it_always_does(
    stocked: Shop, both_ways: Callable[[str], tuple[Any, Any]], whens: str
) -> None:
    if "CAST(S.id" in whens:
        stocked.query("DELETE FROM s WHERE id IS NULL")
    short, long = both_ways(f"MERGE t AS T USING {SOURCE} AS S ON {ON} {whens}")
    assert short == long
    assert len(short[0]) > 1


@given(rows=rows_of_source)
@a_few
def test_whatever_its_source_holds(
    stocked: Shop, both_ways: Callable[[str], tuple[Any, Any]], rows: list[Row]
) -> None:
    filled(stocked, "s", rows)
    short, long = both_ways(
        f"MERGE t AS T USING {SOURCE} AS S ON {ON} WHEN MATCHED AND S.amount > 1 THEN DELETE "
        f"WHEN MATCHED THEN UPDATE SET amount = S.amount WHEN NOT MATCHED THEN {INSERT}"
    )
    assert short == long


def test_a_row_of_the_partition_is_matched(stocked: Shop) -> None:
    stocked.query("DELETE FROM s WHERE id IS NULL OR amount = 3")
    sql = (
        f"MERGE t AS T USING {SOURCE} AS S ON {ON} "
        f"WHEN MATCHED THEN UPDATE SET amount = S.amount + 1 WHEN NOT MATCHED THEN {INSERT}"
    )
    for updated, inserted in ((0, 2), (2, 0)):
        job = stocked.job(sql)
        job.result()
        assert job.dml_stats is not None
        assert (job.dml_stats.updated_row_count, job.dml_stats.inserted_row_count) == (
            updated,
            inserted,
        )
    found = stocked.rows(f"SELECT id, amount FROM t WHERE day = {DAY} ORDER BY id")
    assert found == [(1, Decimal(2)), (2, Decimal("3.35"))]


def test_what_an_earlier_statement_of_the_script_inserted_is_matched(stocked: Shop) -> None:
    stocked.query(
        f"""BEGIN TRANSACTION;
            MERGE t AS T USING {SOURCE} AS S ON {ON} WHEN NOT MATCHED THEN {INSERT};
            MERGE t AS T USING (SELECT id FROM t WHERE day = {DAY}) AS S
              ON T.id = S.id AND T.day = DATE '2024-01-02'
              WHEN NOT MATCHED THEN INSERT (id, day) VALUES (S.id + 10, DATE '2024-01-02');
            MERGE t AS T USING (SELECT DISTINCT id FROM s WHERE id = 2) AS S ON {ON}
              WHEN MATCHED THEN DELETE
              WHEN NOT MATCHED THEN INSERT (id, day) VALUES (99, DATE '2024-01-01');
            COMMIT TRANSACTION"""
    )
    found = stocked.rows("SELECT id FROM t WHERE day < '2024-02-01' ORDER BY day, id")
    assert found == [(None,), (1,), (None,), (11,), (12,), (12,)]


@pytest.mark.parametrize(
    "rest",
    [
        # Where the filter is missing, and where a condition or a value is none.
        f"ON T.id = S.id WHEN NOT MATCHED THEN {INSERT}",
        f"ON {ON} WHEN NOT MATCHED AND S.id THEN {INSERT}",
        f"ON {ON} WHEN MATCHED AND T.id THEN DELETE WHEN NOT MATCHED THEN {INSERT}",
        f"ON {ON} WHEN NOT MATCHED THEN INSERT (id) VALUES (T.id)",
        f"ON {ON} WHEN NOT MATCHED THEN INSERT (amount) VALUES (S.amount * 100000000)",
        f"ON {ON} WHEN NOT MATCHED THEN INSERT (id) VALUES (DIV(1, S.id - 1))",
    ],
)
def test_what_is_refused_is_refused_where_nothing_matches_too(stocked: Shop, rest: str) -> None:
    with pytest.raises(BadRequest):
        stocked.query(f"MERGE t AS T USING {SOURCE} AS S {rest}")
    assert stocked.value("SELECT COUNT(*) FROM t WHERE day > '2000-01-01'") == 1


FOLDED = """
SELECT * FROM (
  SELECT {columns} FROM k WHERE {where}
  QUALIFY ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY amount DESC, rank) = 1
) ORDER BY 1, 2
"""


@given(rows=rows_of_source)
@a_few
def test_one_row_for_each_key_is_the_first_one(
    stocked: Shop, monkeypatch: pytest.MonkeyPatch, rows: list[Row]
) -> None:
    filled(stocked, "k", [(key or 0, amount) for key, amount in rows])
    sql = FOLDED.format(columns="id, amount", where="TRUE", key="id")
    short = stocked.rows(sql)
    with monkeypatch.context() as patch:
        patch.setattr(analyse, "folded", lambda tree, _tables: tree)
        assert stocked.rows(sql) == short
    best: dict[int, Decimal | None] = {}
    for key, amount in rows:
        known, value = best.get(key or 0), None if amount is None else Decimal(amount)
        best[key or 0] = known if value is None else value if known is None else max(known, value)
    assert short == sorted(best.items())


@pytest.mark.parametrize(
    ("where", "key", "count"),
    [("TRUE", "id", 2), ("TRUE", "rank", 4), ("amount > 1", "id", 2), ("TRUE", "id + rank", 3)],
)
def test_keys_that_may_be_null_and_filters_take_the_long_way(
    stocked: Shop, where: str, key: str, count: int
) -> None:
    """Null is a key like others, for which one row stays."""
    stocked.query(
        "INSERT k VALUES (1, NULL, 1), (1, 1, 2), (1, 1, 3), (2, NULL, 4), (2, 2, 5), (1, 3, NULL)"
    )
    assert len(stocked.rows(FOLDED.format(columns="id, rank", where=where, key=key))) == count


@pytest.mark.parametrize("value", ["", "a", "ä€", "USR_00000001", None])
def test_the_first_byte_of_a_hash_is_a_number(shop: Shop, value: str | None) -> None:
    given_value = "CAST(NULL AS STRING)" if value is None else f"'{value}'"
    found = shop.rows(
        f"""SELECT CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(v)), 1, 2)) AS INT64),
                   CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(v)), 1, 4)) AS INT64),
                   CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(v)), 2, 2)) AS INT64)
            FROM (SELECT {given_value} AS v)"""
    )
    if value is None:
        assert found == [(None, None, None)]
        return
    digits = hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()
    assert found == [tuple(int(one, 16) for one in (digits[:2], digits[:4], digits[1:3]))]


@given(
    steps=st.one_of(
        st.integers(-(10**6), 10**6).map(lambda cents: cents * 10**7),
        st.integers(-(10**10), 10**10),
        st.integers(-(10**19), 10**19),
    )
)
@a_few
def test_a_column_of_two_decimals_rounds_half_away_from_zero(stocked: Shop, steps: int) -> None:
    value = Decimal(f"{steps}E-9")
    stocked.query("TRUNCATE TABLE k")
    stocked.query(f"INSERT k VALUES (1, NULL, NUMERIC '{value:f}')")
    insert = f"INSERT t (id, day, amount) SELECT id, {DAY}, amount FROM k"
    stocked.query(f"DELETE FROM t WHERE day = {DAY}")
    rounded = value.quantize(Decimal("0.01"), ROUND_HALF_UP)
    if abs(rounded) >= 10**8:
        with pytest.raises(BadRequest):
            stocked.query(insert)
    else:
        stocked.query(insert)
        assert stocked.value(f"SELECT amount FROM t WHERE day = {DAY}") == rounded


@pytest.mark.parametrize("value", ["0", "12345678.5", "-2.5", "99999999999999999999999999999.4"])
def test_what_is_rounded_to_whole_numbers_is_multiplied_exactly(shop: Shop, value: str) -> None:
    found = shop.value(f"SELECT ROUND(x) * NUMERIC '0.01' FROM (SELECT NUMERIC '{value}' AS x)")
    assert found == Decimal(value).to_integral_value(ROUND_HALF_UP).scaleb(-2, Context(prec=40))
