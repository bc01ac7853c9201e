"""INSERT, UPDATE, DELETE, MERGE and scripts.

https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax
"""

from decimal import Decimal

import pytest
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

from tests.standin.conftest import Shop

MERGE = """
MERGE t AS T USING (SELECT * FROM s) AS S ON T.id = S.id AND T.day IN (DATE '2024-01-01')
"""


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    """Two tables: `t` with ids 1 to 3 and `s` with ids 3 and 4."""
    shop.query(
        """CREATE TABLE t (id INT64 NOT NULL, day DATE, amount NUMERIC(10, 2), tags ARRAY<STRING>)
             PARTITION BY day;
           CREATE TABLE s (id INT64, day DATE, amount NUMERIC, tags ARRAY<STRING>);
           INSERT INTO t VALUES (1, DATE '2024-01-01', 1, ['a']), (2, DATE '2024-01-01', 2.5, []),
             (3, DATE '2024-01-01', NUMERIC '3', NULL);
           INSERT s (id, day, amount) VALUES (3, '2024-01-01', 30), (4, '2024-01-01', 40)"""
    )
    return shop


def done(shop: Shop, sql: str) -> bigquery.QueryJob:
    job = shop.job(sql)
    job.result(retry=None)
    return job


def amounts(shop: Shop) -> dict[object, object]:
    return dict(shop.rows("SELECT id, amount FROM t"))


def test_inserted_values_take_the_columns_types(stocked: Shop) -> None:
    assert stocked.rows("SELECT * EXCEPT (day) FROM t ORDER BY id") == [
        (1, Decimal(1), ["a"]),
        (2, Decimal("2.5"), []),
        (3, Decimal(3), []),
    ]
    job = done(stocked, "INSERT INTO t (id, amount) SELECT id + 10, amount / 3 FROM t")
    assert (job.num_dml_affected_rows, job.statement_type) == (3, "INSERT")
    assert amounts(stocked)[13] == Decimal("1.00")
    assert amounts(stocked)[12] == Decimal("0.83")


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t (id) VALUES ('x')",
        "INSERT INTO t (id) VALUES (NULL)",
        "INSERT INTO t (amount) VALUES (1)",
        "INSERT INTO t (id, amount) VALUES (1, 123456789.00)",
        "INSERT INTO t (id, id) VALUES (1, 1)",
        "INSERT INTO t (id, nope) VALUES (1, 1)",
        "INSERT INTO t (id) VALUES (1, 2)",
        "INSERT INTO t (id, amount) SELECT 1, 1.5E0 + id FROM s",
        "UPDATE t SET amount = 1",
        "DELETE FROM t",
    ],
)
def test_a_change_that_bigquery_refuses_changes_nothing(stocked: Shop, sql: str) -> None:
    before = amounts(stocked)
    with pytest.raises(BadRequest):
        done(stocked, sql)
    assert amounts(stocked) == before


def test_update_and_delete_count_their_rows(stocked: Shop) -> None:
    job = done(stocked, "UPDATE t SET amount = amount * 2, day = NULL WHERE id <= 2")
    assert (job.num_dml_affected_rows, job.dml_stats.updated_row_count) == (2, 2)
    job = done(stocked, "DELETE FROM t AS x WHERE x.id IN (SELECT id FROM s)")
    assert (job.num_dml_affected_rows, job.dml_stats.deleted_row_count) == (1, 1)
    assert amounts(stocked) == {1: Decimal(2), 2: Decimal(5)}
    assert done(stocked, "TRUNCATE TABLE t").num_dml_affected_rows == 2
    assert amounts(stocked) == {}


def test_update_from_takes_one_source_row_for_each_target_row(stocked: Shop) -> None:
    update = "UPDATE t SET amount = s.amount FROM s WHERE t.id = s.id"
    assert done(stocked, update).num_dml_affected_rows == 1
    assert amounts(stocked)[3] == Decimal(30)
    stocked.query("INSERT INTO s (id, amount) VALUES (3, 31)")
    with pytest.raises(BadRequest, match="at most one source row"):
        done(stocked, update)


def test_merge_updates_inserts_and_deletes(stocked: Shop) -> None:
    job = done(
        stocked,
        f"""{MERGE}
        WHEN MATCHED AND S.amount > T.amount THEN UPDATE SET amount = S.amount
        WHEN NOT MATCHED THEN INSERT (id, day, amount) VALUES (S.id, S.day, S.amount)
        WHEN NOT MATCHED BY SOURCE AND T.id = 1 THEN DELETE""",
    )
    stats = job.dml_stats
    assert (stats.inserted_row_count, stats.updated_row_count, stats.deleted_row_count) == (1, 1, 1)
    assert job.num_dml_affected_rows == 3
    assert amounts(stocked) == {2: Decimal("2.5"), 3: Decimal(30), 4: Decimal(40)}


def test_merge_takes_the_first_clause_that_applies(stocked: Shop) -> None:
    done(
        stocked,
        f"""{MERGE} WHEN MATCHED AND S.amount < 0 THEN DELETE
            WHEN MATCHED THEN UPDATE SET amount = 7""",
    )
    assert amounts(stocked)[3] == Decimal(7)


def test_insert_row_takes_the_sources_columns_in_order(stocked: Shop) -> None:
    job = done(stocked, f"{MERGE} WHEN NOT MATCHED THEN INSERT ROW")
    assert job.dml_stats.inserted_row_count == 1
    assert stocked.rows("SELECT id, amount, tags FROM t WHERE id = 4") == [(4, Decimal(40), [])]


def test_a_merge_that_matches_a_row_twice_is_refused(stocked: Shop) -> None:
    stocked.query("INSERT INTO s (id, amount) VALUES (3, 31)")
    with pytest.raises(BadRequest, match="must match at most one source row for each target row"):
        done(stocked, f"{MERGE} WHEN MATCHED THEN UPDATE SET amount = S.amount")
    assert amounts(stocked)[3] == Decimal(3)


def test_on_false_replaces_what_a_condition_names(stocked: Shop) -> None:
    # https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax#merge_examples
    done(
        stocked,
        """MERGE t USING s ON FALSE
           WHEN NOT MATCHED BY SOURCE AND day = DATE '2024-01-01' THEN DELETE
           WHEN NOT MATCHED THEN INSERT (id, amount) VALUES (id, amount)""",
    )
    assert amounts(stocked) == {3: Decimal(30), 4: Decimal(40)}


def test_merge_reads_views_arrays_and_expressions_with_with(stocked: Shop) -> None:
    rows = "[STRUCT(1 AS id, NUMERIC '9' AS amount), (5, NUMERIC '5')]"
    done(
        stocked,
        f"""MERGE t USING (WITH r AS (SELECT * FROM UNNEST({rows})) SELECT id, amount FROM r) AS S
            ON t.id = S.id
            WHEN MATCHED THEN UPDATE SET amount = S.amount, tags = ['z']
            WHEN NOT MATCHED THEN INSERT (id, amount) VALUES (S.id, ROUND(S.amount / 3, 2))""",
    )
    assert (amounts(stocked)[1], amounts(stocked)[5]) == (Decimal(9), Decimal("1.67"))


def test_a_script_keeps_what_it_did_before_a_statement_that_fails(stocked: Shop) -> None:
    with pytest.raises(BadRequest):
        done(stocked, "DELETE FROM t WHERE id = 1; SELECT 1 / 0; DELETE FROM t WHERE TRUE")
    assert set(amounts(stocked)) == {2, 3}


def test_a_transaction_is_all_or_nothing(stocked: Shop) -> None:
    with pytest.raises(BadRequest):
        done(
            stocked,
            "BEGIN TRANSACTION; DELETE FROM t WHERE id = 1; SELECT 1 / 0; COMMIT TRANSACTION",
        )
    done(stocked, "BEGIN TRANSACTION; DELETE FROM t WHERE id = 2; ROLLBACK TRANSACTION")
    done(stocked, "BEGIN TRANSACTION; DELETE FROM t WHERE id = 2")
    assert set(amounts(stocked)) == {1, 2, 3}
    job = done(stocked, "BEGIN TRANSACTION; DELETE FROM t WHERE id = 3; COMMIT TRANSACTION")
    assert (set(amounts(stocked)), job.statement_type) == ({1, 2}, "SCRIPT")


def test_a_required_partition_filter_is_required(stocked: Shop) -> None:
    # https://cloud.google.com/bigquery/docs/querying-partitioned-tables#require_a_partition_filter
    stocked.query("ALTER TABLE t SET OPTIONS (require_partition_filter = TRUE)")
    stocked.query(f"CREATE VIEW v AS SELECT id, day AS d FROM {stocked.dataset}.t WHERE id > 0")
    refused = "without a filter over column\\(s\\) 'day'"
    for sql in (
        "SELECT COUNT(*) FROM t",
        "SELECT COUNT(*) FROM t WHERE id = 1",
        "SELECT COUNT(*) FROM v",
        "DELETE FROM t WHERE id = 1",
        "MERGE t USING s ON t.id = s.id WHEN MATCHED THEN DELETE",
    ):
        with pytest.raises(BadRequest, match=refused):
            done(stocked, sql)
    assert stocked.value("SELECT COUNT(*) FROM t WHERE day >= '2024-01-01'") == 3
    assert stocked.value("SELECT COUNT(*) FROM v WHERE d = '2024-01-01'") == 3
    done(stocked, f"{MERGE} WHEN MATCHED THEN DELETE")
    done(stocked, "DELETE FROM t WHERE day = '2024-01-01' AND id = 1")
    assert stocked.value("SELECT COUNT(*) FROM t WHERE day IS NOT NULL") == 1
