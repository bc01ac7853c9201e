"""MERGE: its clauses, what it counts, what it refuses."""

import pytest

from tests.standin.conformance.asking import done, refused
from tests.standin.conftest import Shop

DML = "https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax"
MERGE = pytest.mark.page(f"{DML}#merge_statement")
EXAMPLES = pytest.mark.page(f"{DML}#merge_examples")
STATISTICS = pytest.mark.page("https://cloud.google.com/bigquery/docs/reference/rest/v2/DmlStats")
PRUNING = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/using-dml-with-partitioned-tables#using_a_merge_statement"
)
Rows = dict[object, object]
ON = "MERGE t USING s ON t.id = s.id"


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    """`t` with ids 1, 2, 3 and `s` with ids 3, 4; `n` tells where a row is from."""
    shop.query("""CREATE TABLE t (id INT64, n INT64);
        INSERT INTO t (id, n) VALUES (1, 10), (2, 20), (3, 30);
        CREATE TABLE s (id INT64, n INT64); INSERT INTO s (id, n) VALUES (3, 300), (4, 400)""")
    return shop


def left(shop: Shop) -> Rows:
    return dict(shop.rows("SELECT id, n FROM t"))


@MERGE
@pytest.mark.parametrize(
    ("clauses", "rows", "counts"),
    [
        ("WHEN MATCHED THEN UPDATE SET n = s.n", {1: 10, 2: 20, 3: 300}, (0, 1, 0)),
        ("WHEN MATCHED THEN UPDATE SET n = t.n + s.n", {1: 10, 2: 20, 3: 330}, (0, 1, 0)),
        ("WHEN MATCHED THEN DELETE", {1: 10, 2: 20}, (0, 0, 1)),
        ("WHEN MATCHED AND s.n > 300 THEN DELETE", {1: 10, 2: 20, 3: 30}, (0, 0, 0)),
        ("WHEN NOT MATCHED THEN INSERT (id, n) VALUES (s.id, s.n)",
         {1: 10, 2: 20, 3: 30, 4: 400}, (1, 0, 0)),
        ("WHEN NOT MATCHED BY TARGET THEN INSERT (n, id) VALUES (n + 1, id)",
         {1: 10, 2: 20, 3: 30, 4: 401}, (1, 0, 0)),
        ("WHEN NOT MATCHED THEN INSERT (id) VALUES (id)",
         {1: 10, 2: 20, 3: 30, 4: None}, (1, 0, 0)),
        ("WHEN NOT MATCHED THEN INSERT ROW", {1: 10, 2: 20, 3: 30, 4: 400}, (1, 0, 0)),
        ("WHEN NOT MATCHED THEN INSERT VALUES (s.id, 7)",
         {1: 10, 2: 20, 3: 30, 4: 7}, (1, 0, 0)),
        ("WHEN NOT MATCHED AND s.n < 0 THEN INSERT ROW", {1: 10, 2: 20, 3: 30}, (0, 0, 0)),
        ("WHEN NOT MATCHED BY SOURCE THEN DELETE", {3: 30}, (0, 0, 2)),
        ("WHEN NOT MATCHED BY SOURCE THEN UPDATE SET n = -t.n",
         {1: -10, 2: -20, 3: 30}, (0, 2, 0)),
        ("WHEN NOT MATCHED BY SOURCE AND t.n > 10 THEN DELETE", {1: 10, 3: 30}, (0, 0, 1)),
    ],
)  # fmt: skip
def test_a_clause(stocked: Shop, clauses: str, rows: Rows, counts: tuple[int, int, int]) -> None:
    job = done(stocked, f"{ON} {clauses}")
    assert left(stocked) == rows
    stats = job.dml_stats
    found = (stats.inserted_row_count, stats.updated_row_count, stats.deleted_row_count)
    assert (found, job.num_dml_affected_rows) == (counts, sum(counts))


@STATISTICS
def test_rows_are_counted_by_kind(stocked: Shop) -> None:
    job = done(
        stocked,
        f"""{ON} WHEN MATCHED THEN UPDATE SET n = s.n
            WHEN NOT MATCHED BY SOURCE AND t.id = 1 THEN DELETE
            WHEN NOT MATCHED BY SOURCE THEN UPDATE SET n = 0
            WHEN NOT MATCHED THEN INSERT ROW""",
    )
    stats = stocked.client.get_job(job.job_id).dml_stats
    assert (stats.inserted_row_count, stats.updated_row_count, stats.deleted_row_count) == (1, 2, 1)
    assert (job.num_dml_affected_rows, job.statement_type) == (4, "MERGE")
    assert left(stocked) == {2: 0, 3: 300, 4: 400}


@MERGE
def test_the_first_clause_that_applies_is_taken(stocked: Shop) -> None:
    stocked.query(f"""{ON} WHEN MATCHED AND s.n > 999 THEN DELETE
        WHEN MATCHED AND s.n = 300 THEN UPDATE SET n = 1
        WHEN MATCHED THEN UPDATE SET n = 2""")
    assert left(stocked)[3] == 1


@MERGE
@pytest.mark.parametrize("then", ["UPDATE SET n = s.n", "DELETE"])
def test_a_row_that_is_changed_matches_once(stocked: Shop, then: str) -> None:
    stocked.query("INSERT INTO s (id, n) VALUES (3, 301)")
    before = left(stocked)
    with refused("invalidQuery", match="at most one source row for each target row"):
        stocked.query(f"{ON} WHEN MATCHED THEN {then} WHEN NOT MATCHED THEN INSERT ROW")
    assert left(stocked) == before


@MERGE
def test_a_second_match_that_changes_nothing_is_allowed(stocked: Shop) -> None:
    stocked.query("INSERT INTO s (id, n) VALUES (3, 301)")
    stocked.query(f"{ON} WHEN MATCHED AND s.n = 301 THEN UPDATE SET n = s.n")
    assert left(stocked)[3] == 301


@MERGE
def test_every_unmatched_source_row_is_inserted(stocked: Shop) -> None:
    stocked.query("INSERT INTO s (id, n) VALUES (4, 401), (NULL, 1), (NULL, 2)")
    job = done(stocked, f"{ON} WHEN NOT MATCHED THEN INSERT ROW")
    assert job.num_dml_affected_rows == 4
    assert stocked.rows("SELECT n FROM t WHERE id = 4 OR id IS NULL ORDER BY n") == [
        (1,), (2,), (400,), (401,)
    ]  # fmt: skip


@EXAMPLES
def test_a_constant_false_replaces_rows(stocked: Shop) -> None:
    job = done(
        stocked,
        """MERGE t USING s ON FALSE
           WHEN NOT MATCHED BY SOURCE AND t.id >= 2 THEN DELETE
           WHEN NOT MATCHED THEN INSERT ROW""",
    )
    assert left(stocked) == {1: 10, 3: 300, 4: 400}
    assert (job.dml_stats.inserted_row_count, job.dml_stats.deleted_row_count) == (2, 2)


@EXAMPLES
def test_a_merge_of_a_query_with_aliases(stocked: Shop) -> None:
    stocked.query(f"""MERGE INTO `{stocked.dataset}.t` AS T
        USING (SELECT id, SUM(n) AS total FROM s GROUP BY id) AS S ON T.id = S.id
        WHEN MATCHED THEN UPDATE SET T.n = S.total
        WHEN NOT MATCHED THEN INSERT (id, n) VALUES (S.id, S.total)""")
    assert left(stocked) == {1: 10, 2: 20, 3: 300, 4: 400}


@EXAMPLES
def test_a_condition_may_ask_other_tables(stocked: Shop) -> None:
    stocked.query(f"""{ON} WHEN NOT MATCHED BY SOURCE
        AND t.n < (SELECT MAX(n) FROM s) - 285 THEN DELETE""")
    assert left(stocked) == {3: 30}


@MERGE
def test_a_table_may_be_merged_with_itself(stocked: Shop) -> None:
    stocked.query("""MERGE t USING (SELECT id + 1 AS id, n FROM t) AS s ON t.id = s.id
        WHEN MATCHED THEN UPDATE SET n = s.n WHEN NOT MATCHED THEN INSERT ROW""")
    assert left(stocked) == {1: 10, 2: 10, 3: 20, 4: 30}


@PRUNING
def test_a_literal_date_in_the_condition_keeps_other_days(shop: Shop) -> None:
    shop.query("""CREATE TABLE t (id INT64, day DATE, n INT64) PARTITION BY day
          OPTIONS (require_partition_filter = TRUE);
        INSERT INTO t (id, day, n) VALUES (1, '2024-01-31', 1), (1, '2024-02-01', 2)""")
    merge = """MERGE t USING (SELECT 1 AS id, 9 AS n) AS s ON t.id = s.id {}
        WHEN MATCHED THEN UPDATE SET n = s.n"""
    with refused("invalidQuery", match="partition elimination"):
        shop.query(merge.format(""))
    job = done(shop, merge.format("AND t.day = DATE '2024-01-31'"))
    assert job.num_dml_affected_rows == 1
    assert shop.rows("SELECT n FROM t WHERE day > '2024-01-01' ORDER BY day") == [(9,), (2,)]


@MERGE
@pytest.mark.parametrize("source", ["s", "s AS other", "(SELECT * FROM s) x"])
def test_where_nothing_matches_all_rows_are_replaced(stocked: Shop, source: str) -> None:
    job = done(
        stocked,
        f"""MERGE t USING {source} ON FALSE
        WHEN NOT MATCHED BY SOURCE AND t.id < 3 THEN DELETE
        WHEN NOT MATCHED THEN INSERT (id, n) VALUES (id + 10, n)""",
    )
    assert left(stocked) == {3: 30, 13: 300, 14: 400}
    stats = job.dml_stats
    assert (stats.inserted_row_count, stats.deleted_row_count) == (2, 2)


@PRUNING
def test_partitions_are_replaced_at_once_by_a_merge_in_which_nothing_matches(shop: Shop) -> None:
    shop.query("""CREATE TABLE t (id INT64, day DATE) PARTITION BY day
          OPTIONS (require_partition_filter = TRUE);
        INSERT INTO t (id, day) VALUES (1, '2024-01-31'), (2, '2024-01-31'), (3, '2024-02-01')""")
    replace = """MERGE t USING (SELECT 1 AS id, DATE '2024-01-31' AS day) AS s ON FALSE
        WHEN NOT MATCHED BY SOURCE {} THEN DELETE
        WHEN NOT MATCHED BY TARGET THEN INSERT (id, day) VALUES (s.id, s.day)"""
    # As other projects found, only a filter on the column itself will do:
    # https://github.com/dbt-labs/dbt-adapters/issues/2121
    for unfit in ("", "AND t.id < 9"):
        with refused("invalidQuery", match="partition elimination"):
            shop.query(replace.format(unfit))
    whole = shop.job(replace.format("AND t.day >= DATE '2024-01-01'"), dry_run=True)
    job = done(shop, replace.format("AND t.day IN (DATE '2024-01-31')"))
    assert job.total_bytes_processed < whole.total_bytes_processed
    stats = job.dml_stats
    assert (stats.inserted_row_count, stats.deleted_row_count) == (1, 2)
    assert sorted(shop.rows("SELECT id FROM t WHERE day > '2024-01-01'")) == [(1,), (3,)]


@MERGE
@pytest.mark.parametrize(
    "clauses",
    [
        "",
        "WHEN MATCHED THEN INSERT ROW",
        "WHEN NOT MATCHED THEN DELETE",
        "WHEN NOT MATCHED THEN INSERT (id) VALUES (1, 2)",
        "WHEN NOT MATCHED THEN INSERT (id, id) VALUES (1, 2)",
        "WHEN NOT MATCHED THEN INSERT (nope) VALUES (1)",
        "WHEN NOT MATCHED THEN INSERT (id, n) VALUES (t.id, 1)",
        "WHEN NOT MATCHED BY SOURCE THEN UPDATE SET n = s.n",
        "WHEN MATCHED THEN UPDATE SET n = 'x'",
        "WHEN MATCHED THEN UPDATE SET n = 1, n = 2",
        "WHEN MATCHED AND s.n THEN DELETE",
    ],
)
def test_a_wrong_clause_changes_nothing(stocked: Shop, clauses: str) -> None:
    before = left(stocked)
    with refused("invalidQuery"):
        stocked.query(f"{ON} {clauses}")
    assert left(stocked) == before


@MERGE
def test_an_error_in_one_row_undoes_all(stocked: Shop) -> None:
    before = left(stocked)
    with refused("invalidQuery"):
        stocked.query(f"{ON} WHEN MATCHED THEN DELETE WHEN NOT MATCHED "
                      "THEN INSERT (id, n) VALUES (id, DIV(n, n - 400))")  # fmt: skip
    assert left(stocked) == before
