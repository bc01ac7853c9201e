"""Query jobs and their results over REST.

https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/getQueryResults
"""

import datetime as dt
from decimal import Decimal

import pytest
from google.api_core.exceptions import BadRequest, MethodNotImplemented, NotFound
from google.cloud import bigquery

from tests.standin.conftest import Shop
from tests.standin.serving import PROJECT, request

Scalar, Array = bigquery.ScalarQueryParameter, bigquery.ArrayQueryParameter
DAY = dt.date(2024, 1, 31)


def test_every_type_is_encoded_as_the_client_reads_it(shop: Shop) -> None:
    ((*values,),) = shop.rows(
        """SELECT 'a"\\n\\u00e9', 9223372036854775807, 0.1, CAST('NaN' AS FLOAT64),
             NUMERIC '-99999999999999999999999999999.999999999', TRUE, DATE '2024-01-31',
             TIMESTAMP '1969-12-31 23:59:59.999999+00', b'abc',
             [1, 2], [STRUCT("x" AS a, [3] AS b)],
             STRUCT(1 AS a, STRUCT(NULL AS c) AS b), NULL, ARRAY<STRING>[]"""
    )
    assert str(values.pop(3)) == "nan"
    assert values == [
        'a"\né', 9223372036854775807, 0.1, Decimal("-99999999999999999999999999999.999999999"),
        True, DAY, dt.datetime(1969, 12, 31, 23, 59, 59, 999999, dt.UTC), b"abc", [1, 2],
        [{"a": "x", "b": [3]}], {"a": 1, "b": {"c": None}}, None, [],
    ]  # fmt: skip


def test_timestamps_are_seconds_unless_asked_for_in_microseconds(
    shop: Shop, standin_address: str
) -> None:
    job = shop.job("SELECT TIMESTAMP '2024-01-01 00:00:00.123456+00'")
    job.result()
    path = f"/bigquery/v2/projects/{PROJECT}/queries/{job.job_id}"

    def value(options: str) -> str:
        return str(request(standin_address, path + options).json()["rows"][0]["f"][0]["v"])

    assert value("") == "1704067200.123456"
    assert value("?formatOptions.useInt64Timestamp=true") == "1704067200123456"


def test_unnamed_columns_are_numbered_and_spelling_is_kept(shop: Shop) -> None:
    shop.query("CREATE TABLE t (UserId INT64, n NUMERIC)")
    result = shop.query("SELECT 1, UserId, n AS Sum, 1 + 1, STRUCT(n AS Inner) AS S FROM t")
    assert [one.name for one in result.schema] == ["f0_", "UserId", "Sum", "f1_", "S"]
    assert result.schema[4].fields[0].name == "Inner"
    assert [one.name for one in shop.query("SELECT * FROM t").schema] == ["UserId", "n"]


def test_parameters_are_bound_and_never_become_sql(shop: Shop) -> None:
    nasty = "'; DROP TABLE t; -- \\"
    found = shop.rows(
        "SELECT @s, @n, @d, @t, @b, @f, @i, @none, @d IN UNNEST(@days), ARRAY_LENGTH(@empty), @S",
        Scalar("s", "STRING", nasty),
        Scalar("n", "NUMERIC", Decimal("1.5")),
        Scalar("d", "DATE", DAY),
        Scalar("t", "TIMESTAMP", dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
        Scalar("b", "BOOL", True),
        Scalar("f", "FLOAT64", 0.5),
        Scalar("i", "INT64", 7),
        Scalar("none", "STRING", None),
        Array("days", "DATE", [DAY]),
        Array("empty", "STRING", []),
    )
    assert found == [
        (nasty, Decimal("1.5"), DAY, dt.datetime(2024, 1, 1, tzinfo=dt.UTC), True, 0.5, 7, None,
         True, 0, nasty)
    ]  # fmt: skip


def test_an_array_of_structs_is_a_parameter_and_a_source_of_rows(shop: Shop) -> None:
    rows = Array(
        "rows",
        "STRUCT",
        [
            bigquery.StructQueryParameter(
                None, Scalar("id", "INT64", 1), Scalar("s", "STRING", "a")
            ),
            bigquery.StructQueryParameter(
                None, Scalar("id", "INT64", 2), Scalar("s", "STRING", None)
            ),
        ],
    )
    assert shop.rows("SELECT r.id, r.s FROM UNNEST(@rows) AS r ORDER BY r.id", rows) == [
        (1, "a"),
        (2, None),
    ]


def test_positional_parameters_are_taken_in_order(shop: Shop) -> None:
    assert shop.rows("SELECT ?, ?", Scalar(None, "INT64", 1), Scalar(None, "STRING", "x")) == [
        (1, "x")
    ]


def test_a_parameter_that_is_not_given_is_an_error(shop: Shop) -> None:
    with pytest.raises(BadRequest, match="Query parameter 'p' not found"):
        shop.query("SELECT @p")


def test_results_come_in_pages_of_the_size_that_is_asked_for(shop: Shop) -> None:
    job = shop.job("SELECT x FROM UNNEST(GENERATE_ARRAY(1, 25)) AS x ORDER BY x")
    result = job.result(page_size=10)
    assert [page.num_items for page in result.pages] == [10, 10, 5]
    assert result.total_rows == 25
    # A client's job keeps the page that it has read first.
    again = [shop.client.get_job(job.job_id) for _ in range(2)]
    assert [row.x for row in again[0].result(start_index=20)] == [21, 22, 23, 24, 25]
    assert [row.x for row in again[1].result(max_results=3)] == [1, 2, 3]


def test_a_page_holds_ten_megabytes_at_most(shop: Shop) -> None:
    job = shop.job("SELECT REPEAT('x', 1000000) AS s FROM UNNEST(GENERATE_ARRAY(1, 25))")
    pages = [page.num_items for page in job.result().pages]
    assert sum(pages) == 25
    assert max(pages) <= 10


def test_rows_of_a_table_come_in_pages_and_by_column(shop: Shop) -> None:
    shop.query(
        "CREATE TABLE t AS SELECT x AS id, 'n' AS note FROM UNNEST(GENERATE_ARRAY(1, 7)) AS x"
    )
    table = shop.client.get_table(shop.table("t"))
    rows = shop.client.list_rows(table, page_size=3, selected_fields=table.schema[:1])
    assert sorted(row.values() for row in rows) == [(number,) for number in range(1, 8)]
    arrow = shop.client.list_rows(table).to_arrow(create_bqstorage_client=False)
    assert arrow.num_rows == 7


def test_a_result_can_be_read_as_arrow(shop: Shop) -> None:
    arrow = shop.query("SELECT 1 AS a, NUMERIC '1.5' AS n, [STRUCT('x' AS s)] AS z").to_arrow(
        create_bqstorage_client=False
    )
    assert arrow.to_pylist() == [{"a": 1, "n": Decimal("1.5"), "z": [{"s": "x"}]}]


def test_query_and_wait_answers_with_the_first_page(shop: Shop) -> None:
    rows = shop.client.query_and_wait("SELECT x FROM UNNEST([1, 2]) AS x ORDER BY x")
    assert [row.x for row in rows] == [1, 2]
    with pytest.raises(BadRequest, match="Unrecognized name: nope"):
        shop.client.query_and_wait("SELECT nope", job_retry=None, retry=None)


def test_a_result_is_written_into_a_destination(shop: Shop) -> None:
    shop.rows("SELECT 1 AS a", destination=shop.table("t"))
    shop.rows("SELECT 2 AS a", destination=shop.table("t"), write_disposition="WRITE_APPEND")
    assert shop.rows("SELECT a FROM t ORDER BY a") == [(1,), (2,)]
    shop.rows("SELECT a * 2 AS a FROM t", destination=shop.table("t"),
              write_disposition="WRITE_TRUNCATE")  # fmt: skip
    assert shop.rows("SELECT a FROM t ORDER BY a") == [(2,), (4,)]


def test_nulls_come_first_ascending_and_last_descending(shop: Shop) -> None:
    # https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#order_by_clause
    source = "FROM UNNEST([2, NULL, 1]) AS x ORDER BY x"
    assert shop.rows(f"SELECT x {source}") == [(None,), (1,), (2,)]
    assert shop.rows(f"SELECT x {source} DESC") == [(2,), (1,), (None,)]
    assert shop.rows(f"SELECT x {source} NULLS LAST") == [(1,), (2,), (None,)]


def test_what_the_reference_does_not_have_is_as_documented(shop: Shop) -> None:
    # https://cloud.google.com/bigquery/docs/reference/standard-sql/approximate_aggregate_functions
    # https://cloud.google.com/bigquery/docs/reference/standard-sql/aggregate_functions#max_by
    rows = "FROM UNNEST([STRUCT('a' AS k, 1 AS n), ('b', 3), ('b', 2)])"
    assert shop.rows(f"SELECT APPROX_COUNT_DISTINCT(k), MAX_BY(k, n) {rows}") == [(2, "b")]
    assert shop.value(
        "SELECT CURRENT_DATE() BETWEEN DATE(TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 1 DAY)) "
        "AND CURRENT_DATE('UTC')"
    )


def test_names_of_tables_may_be_quoted_whole_or_in_parts(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS a")
    for name in (
        "t",
        f"{shop.dataset}.t",
        f"`{PROJECT}.{shop.dataset}.t`",
        f"{PROJECT}.{shop.dataset}.t",
        f"`{PROJECT}`.{shop.dataset}.`t`",
    ):
        assert shop.rows(f"SELECT a FROM {name}") == [(1,)]


def test_a_common_table_expression_hides_a_table_of_its_name(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS a")
    assert shop.rows("WITH t AS (SELECT a + 1 AS a FROM t) SELECT a FROM t") == [(2,)]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", "Syntax error"),
        ("SELECT nope FROM UNNEST([1]) AS x", "Unrecognized name: nope"),
        ("SELECT 1 / 0", "division by zero"),
        ("SELECT 9223372036854775807 + 1", "Overflow"),
        ("SELECT 1 + 'a'", "No matching signature"),
        ("SELECT [1, NULL]", "Array cannot have a null element"),
        ("SELECT 1 AS a, 2 AS A", "Duplicate column names in the result"),
        ("SELECT * FROM t", "must be qualified with a dataset"),
        ("", "Unexpected end"),
    ],
)
def test_a_wrong_statement_is_an_invalid_query(shop: Shop, sql: str, message: str) -> None:
    job = shop.client.query(f"/* x */ {sql}", job_retry=None)
    with pytest.raises(BadRequest, match=message):
        job.result(retry=None)
    assert shop.client.get_job(job.job_id).error_result["reason"] == "invalidQuery"


def test_a_missing_table_or_dataset_is_not_found(shop: Shop) -> None:
    with pytest.raises(NotFound, match=f"Not found: Table {PROJECT}:{shop.dataset}.nope"):
        shop.query("SELECT 1 FROM nope")
    with pytest.raises(NotFound, match="Not found: Dataset"):
        shop.query("SELECT 1 FROM nowhere.nope")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT FARM_FINGERPRINT('a')",
        "SELECT RANGE(DATE '2024-01-01', NULL)",
        "SELECT * FROM t PIVOT (SUM(a) FOR b IN ('x'))",
        "SELECT * FROM t TABLESAMPLE SYSTEM (10 PERCENT)",
        "SELECT * FROM t FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP()",
        "SELECT * FROM INFORMATION_SCHEMA.TABLES",
        "SELECT AS VALUE 1",
        "SELECT FORMAT('%d', 1)",
        "SELECT FORMAT_DATE('%Q', DATE '2024-01-01')",
        "SELECT SAFE.SUBSTR('a', 1)",
        "SELECT ST_GEOGPOINT(1, 2)",
        "CREATE MATERIALIZED VIEW v AS SELECT 1 AS a",
        "CREATE FUNCTION f(x INT64) AS (x)",
        "DECLARE x INT64",
        "EXPORT DATA OPTIONS (uri = 'gs://b/*') AS SELECT 1",
        "ALTER TABLE t DROP COLUMN a",
        "GRANT `roles/bigquery.dataViewer` ON TABLE t TO 'user:a@example.com'",
    ],
)
def test_what_is_not_supported_is_refused_clearly(shop: Shop, sql: str) -> None:
    shop.query("CREATE TABLE t (a INT64, b STRING)")
    job = shop.job(sql)
    with pytest.raises(MethodNotImplemented, match="stand-in"):
        job.result(retry=None)
    job.reload()
    assert shop.client.get_job(job.job_id).error_result["reason"] == "notImplemented"


def test_a_query_runs_where_its_data_are(shop: Shop) -> None:
    europe = bigquery.Dataset(f"{PROJECT}.{shop.dataset}_eu")
    europe.location = "EU"
    shop.client.create_dataset(europe)
    shop.client.query(f"CREATE TABLE {europe.dataset_id}.t AS SELECT 1 AS a").result()
    with pytest.raises(NotFound, match="was not found in location US"):
        shop.query(f"SELECT a FROM {europe.dataset_id}.t")
    job = shop.client.query(f"SELECT a FROM {europe.dataset_id}.t", location="EU", job_retry=None)
    assert [row.a for row in job.result()] == [1]
    with pytest.raises(NotFound, match="was not found in location"):
        shop.client.query(
            f"SELECT a FROM {europe.dataset_id}.t", location="US", job_retry=None
        ).result(retry=None)
