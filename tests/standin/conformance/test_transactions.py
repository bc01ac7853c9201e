"""BEGIN, COMMIT, ROLLBACK in scripts."""

import pytest

from tests.standin.conformance.asking import done, refused
from tests.standin.conftest import Shop

TRANSACTIONS = pytest.mark.page("https://cloud.google.com/bigquery/docs/transactions")
LANGUAGE = "https://cloud.google.com/bigquery/docs/reference/standard-sql/procedural-language"
BEGIN = pytest.mark.page(f"{LANGUAGE}#begin_transaction")
COMMIT = pytest.mark.page(f"{LANGUAGE}#commit_transaction")
ROLLBACK = pytest.mark.page(f"{LANGUAGE}#rollback_transaction")


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    """A table `t` with ids 1, 2."""
    shop.query("CREATE TABLE t AS SELECT id FROM UNNEST([1, 2]) AS id")
    return shop


def left(shop: Shop) -> list[object]:
    return [one for (one,) in shop.rows("SELECT id FROM t ORDER BY id")]


@BEGIN
@pytest.mark.parametrize("word", ["", " TRANSACTION"])
def test_a_committed_transaction_is_kept(stocked: Shop, word: str) -> None:
    job = done(stocked, f"BEGIN{word}; INSERT INTO t (id) VALUES (3); "
                        f"DELETE FROM t WHERE id = 1; COMMIT{word};")  # fmt: skip
    assert (left(stocked), job.statement_type) == ([2, 3], "SCRIPT")


@ROLLBACK
@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO t (id) VALUES (3)",
        "UPDATE t SET id = 0 WHERE TRUE",
        "DELETE FROM t WHERE TRUE",
        "TRUNCATE TABLE t",
        "MERGE t USING (SELECT 1) ON FALSE WHEN NOT MATCHED BY SOURCE THEN DELETE",
    ],
)
def test_a_rollback_undoes_every_change(stocked: Shop, change: str) -> None:
    stocked.query(f"BEGIN TRANSACTION; {change}; ROLLBACK TRANSACTION")
    assert left(stocked) == [1, 2]


@ROLLBACK
def test_a_rollback_goes_back_to_its_beginning(stocked: Shop) -> None:
    stocked.query("""INSERT INTO t (id) VALUES (3);
        BEGIN TRANSACTION; INSERT INTO t (id) VALUES (4); ROLLBACK TRANSACTION;
        INSERT INTO t (id) VALUES (5)""")
    assert left(stocked) == [1, 2, 3, 5]


@TRANSACTIONS
def test_a_transaction_sees_its_own_changes(stocked: Shop) -> None:
    seen = stocked.rows("""BEGIN TRANSACTION; INSERT INTO t (id) VALUES (3);
        DELETE FROM t WHERE id = 1; SELECT id FROM t ORDER BY id""")
    assert seen == [(2,), (3,)]
    assert left(stocked) == [1, 2]


@TRANSACTIONS
def test_a_failure_rolls_the_whole_transaction_back(stocked: Shop) -> None:
    stocked.query("CREATE TABLE u (id INT64)")
    with refused("invalidQuery"):
        stocked.query("""BEGIN TRANSACTION; DELETE FROM t WHERE TRUE; INSERT INTO u (id) VALUES (1);
            SELECT 1 / 0; COMMIT TRANSACTION""")
    assert (left(stocked), stocked.rows("SELECT * FROM u")) == ([1, 2], [])


@BEGIN
def test_a_transaction_that_is_not_committed_is_rolled_back(stocked: Shop) -> None:
    stocked.query("BEGIN TRANSACTION; DELETE FROM t WHERE TRUE")
    assert left(stocked) == [1, 2]


@TRANSACTIONS
def test_several_tables_change_together(stocked: Shop) -> None:
    stocked.query("CREATE TABLE u (id INT64)")
    stocked.query("""BEGIN TRANSACTION; INSERT INTO u (id) SELECT id FROM t WHERE id = 1;
        DELETE FROM t WHERE id IN (SELECT id FROM u); COMMIT TRANSACTION""")
    assert (left(stocked), stocked.rows("SELECT * FROM u")) == ([2], [(1,)])


@BEGIN
def test_transactions_do_not_nest(stocked: Shop) -> None:
    with refused("invalidQuery"):
        stocked.query("BEGIN TRANSACTION; DELETE FROM t WHERE TRUE; BEGIN TRANSACTION; COMMIT")
    assert left(stocked) == [1, 2]


@BEGIN
def test_one_transaction_may_follow_another(stocked: Shop) -> None:
    stocked.query("""BEGIN TRANSACTION; INSERT INTO t (id) VALUES (3); COMMIT TRANSACTION;
        BEGIN TRANSACTION; INSERT INTO t (id) VALUES (4); ROLLBACK TRANSACTION""")
    assert left(stocked) == [1, 2, 3]


@COMMIT
@pytest.mark.parametrize("end", ["COMMIT TRANSACTION", "ROLLBACK TRANSACTION"])
def test_an_end_needs_a_beginning(stocked: Shop, end: str) -> None:
    with refused("invalidQuery"):
        stocked.query(end)
    with refused("invalidQuery"):
        stocked.query(f"BEGIN TRANSACTION; COMMIT TRANSACTION; {end}")


@TRANSACTIONS
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE u (a INT64)",
        "DROP TABLE t",
        "ALTER TABLE t ADD COLUMN b INT64",
        "CREATE VIEW v AS SELECT 1 AS a",
    ],
)
def test_permanent_tables_are_not_defined_in_a_transaction(stocked: Shop, statement: str) -> None:
    with refused("invalidQuery"):
        stocked.query(f"BEGIN TRANSACTION; {statement}; COMMIT TRANSACTION")
    schema = stocked.client.get_table(stocked.table("t")).schema
    assert [one.name for one in schema] == ["id"]
    assert [one.table_id for one in stocked.client.list_tables(stocked.dataset)] == ["t"]
