"""INSERT, UPDATE, DELETE, TRUNCATE: rows, counts, refusals."""

import pytest

from tests.standin.conformance.asking import done, refused
from tests.standin.conftest import Shop

DML = "https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax"
INSERT = pytest.mark.page(f"{DML}#insert_statement")
DELETE = pytest.mark.page(f"{DML}#delete_statement")
UPDATE = pytest.mark.page(f"{DML}#update_statement")
TRUNCATE = pytest.mark.page(f"{DML}#truncate_table_statement")


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    """`t` with ids 1, 2, 3 and `s` with ids 2, 3."""
    shop.query("""CREATE TABLE t (id INT64 NOT NULL, n INT64, tags ARRAY<STRING>);
        INSERT INTO t (id, n, tags) VALUES (1, 10, ['a']), (2, 20, []), (3, NULL, NULL);
        CREATE TABLE s AS SELECT id, id * 100 AS n FROM UNNEST([2, 3]) AS id""")
    return shop


def left(shop: Shop) -> dict[object, object]:
    return dict(shop.rows("SELECT id, n FROM t"))


@INSERT
@pytest.mark.parametrize(
    ("statement", "added"),
    [
        ("INSERT INTO t (id, n) VALUES (4, 40), (5, 50)", {4: 40, 5: 50}),
        ("INSERT t (n, id) VALUES (40, 4)", {4: 40}),
        ("INSERT INTO t VALUES (4, 40, ['x'])", {4: 40}),
        ("INSERT INTO t (id) VALUES (4)", {4: None}),
        ("INSERT INTO t (id, n) VALUES (4, (SELECT MAX(n) FROM s))", {4: 300}),
        ("INSERT INTO t (id, n) SELECT id + 10, n FROM s", {12: 200, 13: 300}),
        ("INSERT INTO t (id, n) WITH w AS (SELECT 4 AS a) SELECT a, a FROM w", {4: 4}),
        ("INSERT INTO t (id) SELECT * FROM UNNEST([4, 5]) AS x", {4: None, 5: None}),
        ("INSERT INTO t (id, n) SELECT id, n FROM s WHERE FALSE", {}),
    ],
)
def test_inserted_rows_are_counted(
    stocked: Shop, statement: str, added: dict[object, object]
) -> None:
    job = done(stocked, statement)
    assert left(stocked) == {1: 10, 2: 20, 3: None} | added
    assert (job.num_dml_affected_rows, job.dml_stats.inserted_row_count) == (len(added),) * 2
    assert job.statement_type == "INSERT"


@INSERT
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t (n) VALUES (1)",
        "INSERT INTO t (id) VALUES (NULL)",
        "INSERT INTO t (id, n) VALUES (4)",
        "INSERT INTO t (id, id) VALUES (4, 4)",
        "INSERT INTO t (nope) VALUES (4)",
        "INSERT INTO t (id, n) VALUES (4, '40')",
        "INSERT INTO t (id, n) VALUES (4, 4.5)",
        "INSERT INTO t (id, tags) VALUES (4, ['a', NULL])",
        "INSERT INTO t (id, n) VALUES (4, 1), (5, DIV(1, 0))",
    ],
)
def test_a_wrong_row_inserts_none(stocked: Shop, statement: str) -> None:
    with refused("invalidQuery"):
        stocked.query(statement)
    assert set(left(stocked)) == {1, 2, 3}


@UPDATE
@pytest.mark.parametrize(
    ("statement", "rows", "count"),
    [
        ("UPDATE t SET n = n + 1 WHERE TRUE", {1: 11, 2: 21, 3: None}, 3),
        ("UPDATE t SET n = 0 WHERE n > 10", {1: 10, 2: 0, 3: None}, 1),
        ("UPDATE t SET id = n, n = id WHERE id = 1", {10: 1, 2: 20, 3: None}, 1),
        ("UPDATE t SET n = NULL WHERE id = 9", {1: 10, 2: 20, 3: None}, 0),
        ("UPDATE t AS x SET x.n = 5 WHERE x.id = 1", {1: 5, 2: 20, 3: None}, 1),
        ("UPDATE t SET n = s.n FROM s WHERE t.id = s.id", {1: 10, 2: 200, 3: 300}, 2),
        ("UPDATE t SET n = (SELECT SUM(n) FROM s) WHERE n IS NULL", {1: 10, 2: 20, 3: 500}, 1),
    ],
)
def test_updated_rows_are_counted(
    stocked: Shop, statement: str, rows: dict[object, object], count: int
) -> None:
    job = done(stocked, statement)
    assert left(stocked) == rows
    assert (job.num_dml_affected_rows, job.dml_stats.updated_row_count) == (count, count)


@UPDATE
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE t SET n = 1",
        "UPDATE t SET nope = 1 WHERE TRUE",
        "UPDATE t SET n = 1, n = 2 WHERE TRUE",
        "UPDATE t SET id = NULL WHERE TRUE",
        "UPDATE t SET n = 'x' WHERE TRUE",
        "UPDATE t SET n = s.n FROM (SELECT 2 AS id, n FROM s) AS s WHERE t.id = s.id",
    ],
)
def test_a_wrong_update_changes_nothing(stocked: Shop, statement: str) -> None:
    with refused("invalidQuery"):
        stocked.query(statement)
    assert left(stocked) == {1: 10, 2: 20, 3: None}


@DELETE
@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("TRUE", set()),
        ("n > 10", {1, 3}),
        ("NOT n > 10", {2, 3}),
        ("t.id IN (SELECT id FROM s)", {1}),
        ("NOT EXISTS (SELECT 1 FROM s WHERE s.id = t.id)", {2, 3}),
        ("FALSE", {1, 2, 3}),
    ],
)
def test_deleted_rows_are_counted(stocked: Shop, condition: str, kept: set[int]) -> None:
    job = done(stocked, f"DELETE FROM t WHERE {condition}")
    assert set(left(stocked)) == kept
    count = 3 - len(kept)
    assert (job.num_dml_affected_rows, job.dml_stats.deleted_row_count) == (count, count)
    assert job.statement_type == "DELETE"


@DELETE
def test_delete_needs_a_condition(stocked: Shop) -> None:
    with refused("invalidQuery", match="WHERE"):
        stocked.query("DELETE FROM t")
    assert done(stocked, "DELETE t WHERE id = 1").num_dml_affected_rows == 1


@TRUNCATE
def test_truncate_leaves_the_table_as_it_was_made(shop: Shop) -> None:
    shop.query("""CREATE TABLE t (day DATE NOT NULL) PARTITION BY day
        OPTIONS (description = 'kept', require_partition_filter = TRUE);
        INSERT INTO t (day) VALUES ('2024-01-31'), ('2024-02-01')""")
    job = done(shop, "TRUNCATE TABLE t")
    assert job.statement_type == "TRUNCATE_TABLE"
    assert job.dml_stats.deleted_row_count == 2
    table = shop.client.get_table(shop.table("t"))
    assert (table.num_rows, table.description) == (0, "kept")
    assert (table.time_partitioning.field, table.schema[0].mode) == ("day", "REQUIRED")


@TRUNCATE
@pytest.mark.parametrize("statement", ["TRUNCATE TABLE {}", "DELETE FROM {} WHERE TRUE",
                                       "INSERT INTO {} (a) VALUES (1)"])  # fmt: skip
def test_views_and_missing_tables_can_not_be_changed(shop: Shop, statement: str) -> None:
    shop.query("CREATE VIEW v AS SELECT 1 AS a")
    with refused("invalidQuery"):
        shop.query(statement.format("v"))
    with refused("notFound", 404):
        shop.query(statement.format("nope"))
