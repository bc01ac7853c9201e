"""Jobs: ids, states, lists, dry runs, limits, parameters, pages."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from google.cloud import bigquery

from tests.standin.conformance.asking import done, refused
from tests.standin.conftest import Shop

JOBS = pytest.mark.page("https://cloud.google.com/bigquery/docs/running-jobs")
LISTING = pytest.mark.page("https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/list")
CANCEL = pytest.mark.page("https://cloud.google.com/bigquery/docs/managing-jobs#cancel_jobs")
DRY = pytest.mark.page("https://cloud.google.com/bigquery/docs/running-queries#dry-run")
COSTS = pytest.mark.page("https://cloud.google.com/bigquery/docs/best-practices-costs")
LABELS = pytest.mark.page("https://cloud.google.com/bigquery/docs/adding-labels#job-label")
PARAMETERS = pytest.mark.page("https://cloud.google.com/bigquery/docs/parameterized-queries")
PAGES = pytest.mark.page("https://cloud.google.com/bigquery/docs/paging-results")
Scalar, Array = bigquery.ScalarQueryParameter, bigquery.ArrayQueryParameter
Struct = bigquery.StructQueryParameter
MIB = 1 << 20


@JOBS
@pytest.mark.parametrize("first", ["SELECT 1", "SELECT 1 / 0", "SELECT nope"])
def test_a_job_id_is_used_once_also_by_a_failed_job(shop: Shop, first: str) -> None:
    job_id = f"{shop.dataset}_once"
    job = shop.job(first, job_id=job_id)
    assert job.exception() is None or job.error_result["reason"] == "invalidQuery"
    with refused("duplicate", 409):
        shop.job("SELECT 2", job_id=job_id)


@JOBS
def test_a_failed_load_uses_up_its_id(shop: Shop) -> None:
    shop.query("CREATE TABLE t (id STRING)")
    job_id = f"{shop.dataset}_load"
    with refused("invalid"):
        shop.load(pa.table({"id": [1]}), "t", job_id=job_id)
    with refused("duplicate", 409):
        shop.load(pa.table({"id": ["x"]}), "t", job_id=job_id)


@JOBS
@pytest.mark.parametrize("job_id", ["with space", "dot.ted", "ä", "x" * 1025])
def test_a_job_id_has_letters_digits_dashes_and_underscores(shop: Shop, job_id: str) -> None:
    with refused("invalid"):
        shop.job("SELECT 1", job_id=job_id)


@LABELS
def test_labels_stay_with_the_job(shop: Shop) -> None:
    job = done(shop, "SELECT 1", labels={"run": "7", "app": "x"})
    assert shop.client.get_job(job.job_id).labels == {"run": "7", "app": "x"}
    loaded = shop.load(pa.table({"id": [1]}), "t", labels={"run": "8"})
    assert shop.client.get_job(loaded.job_id).labels == {"run": "8"}


@LISTING
def test_jobs_are_listed_newest_first_by_state_and_time(shop: Shop) -> None:
    jobs = [done(shop, f"SELECT {number}").job_id for number in range(3)]
    listed = [one.job_id for one in shop.client.list_jobs(state_filter="done", max_results=3)]
    assert listed == jobs[::-1]
    ahead = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    assert list(shop.client.list_jobs(min_creation_time=ahead)) == []


@LISTING
def test_the_state_filter_applies_before_the_limit(shop: Shop) -> None:
    done(shop, "SELECT 1")
    assert list(shop.client.list_jobs(state_filter="pending", max_results=1)) == []
    assert len(list(shop.client.list_jobs(state_filter="done", max_results=1))) == 1


@LISTING
def test_jobs_are_listed_page_by_page(shop: Shop) -> None:
    jobs = [done(shop, f"SELECT {number}").job_id for number in range(5)]
    listed = shop.client.list_jobs(page_size=2, max_results=5)
    assert [one.job_id for one in listed] == jobs[::-1]


@LISTING
def test_a_plain_query_has_no_child_jobs(shop: Shop) -> None:
    job = done(shop, "SELECT 1")
    assert list(shop.client.list_jobs(parent_job=job.job_id)) == []
    script = done(shop, "SELECT 1; SELECT 2")
    with refused("notImplemented", 501):
        list(shop.client.list_jobs(parent_job=script.job_id, retry=None))


SLOW = """SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 200000)) AS a,
  UNNEST(GENERATE_ARRAY(1, 200000)) AS b WHERE MOD(a * b, 7) = 3"""


@CANCEL
def test_a_cancelled_job_ends_with_stopped(shop: Shop) -> None:
    job = shop.job(SLOW)
    assert job.cancel()
    assert job.exception() is not None
    found = shop.client.get_job(job.job_id)
    assert (found.state, found.error_result["reason"]) == ("DONE", "stopped")


@CANCEL
def test_cancelling_what_is_done_changes_nothing(shop: Shop) -> None:
    job = done(shop, "SELECT 1 AS x")
    assert job.cancel()
    found = shop.client.get_job(job.job_id)
    assert (found.state, found.error_result) == ("DONE", None)


@DRY
def test_a_dry_run_tells_bytes_and_schema(shop: Shop) -> None:
    shop.load(pa.table({"id": pa.array(range(100), pa.int64()), "s": ["abcd"] * 100}), "t")
    job = shop.job("SELECT id AS key, s FROM t", dry_run=True)
    # INT64 has 8 bytes, STRING 2 and those of its UTF-8.
    assert (job.total_bytes_processed, job.state) == (100 * (8 + 2 + 4), "DONE")
    assert [(one.name, one.field_type) for one in job.schema] == [
        ("key", "INTEGER"), ("s", "STRING")
    ]  # fmt: skip
    assert shop.job("SELECT id FROM t", dry_run=True).total_bytes_processed == 800


@DRY
@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM t WHERE TRUE",
        "DROP TABLE t",
        "INSERT INTO t (id) VALUES (2)",
        "CREATE OR REPLACE TABLE t AS SELECT 2 AS id",
        "ALTER TABLE t ADD COLUMN b STRING",
        "TRUNCATE TABLE t",
        "MERGE t USING (SELECT 1 AS id) s ON t.id = s.id WHEN MATCHED THEN DELETE",
        "CREATE TABLE u (a INT64)",
    ],
)
def test_a_dry_run_does_nothing(shop: Shop, sql: str) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS id")
    shop.job(sql, dry_run=True)
    assert shop.rows("SELECT * FROM t") == [(1,)]
    assert [one.table_id for one in shop.client.list_tables(shop.dataset)] == ["t"]


@DRY
def test_a_dry_run_refuses_what_the_query_would(shop: Shop) -> None:
    with refused("invalidQuery"):
        shop.job("SELECT nope", dry_run=True)
    with refused("notFound", 404):
        shop.job("SELECT * FROM missing", dry_run=True)


@COSTS
def test_a_query_beyond_its_limit_of_bytes_fails_without_a_charge(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS id")
    job = shop.job("DELETE FROM t WHERE id = 1", maximum_bytes_billed=10 * MIB - 1)
    assert job.exception() is not None
    assert shop.client.get_job(job.job_id).error_result["reason"] == "bytesBilledLimitExceeded"
    assert not job.total_bytes_billed
    # Ten MiB are the least that a table of a query costs.
    assert done(shop, "SELECT id FROM t", maximum_bytes_billed=10 * MIB).total_bytes_billed == (
        10 * MIB
    )


@PARAMETERS
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("STRING", "'; DROP TABLE t; --"),
        ("INT64", -(2**63)),
        ("FLOAT64", 0.1),
        ("NUMERIC", Decimal("-0.000000001")),
        ("BIGNUMERIC", Decimal("0.000000000000000001")),
        ("BOOL", False),
        ("BYTES", b"\x00\xff"),
        ("DATE", dt.date(1, 1, 1)),
        ("DATETIME", dt.datetime(2024, 1, 31, 1, 2, 3, 4)),
        ("TIMESTAMP", dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC)),
    ],
)
def test_a_parameter_of_every_type(shop: Shop, kind: str, value: object) -> None:
    assert shop.rows("SELECT @p, @none", Scalar("p", kind, value), Scalar("none", kind, None)) == [
        (value, None)
    ]
    assert shop.value("SELECT @p", Array("p", kind, [value, value])) == [value, value]
    assert shop.value("SELECT @p", Struct("p", Scalar("a", kind, value))) == {"a": value}
    assert shop.value("SELECT ?", Scalar(None, kind, value)) == value


@PARAMETERS
def test_nested_parameters(shop: Shop) -> None:
    inner = Struct("b", Scalar("c", "STRING", "x"), Array("d", "INT64", [1, 2]))
    given = Struct("p", Scalar("a", "INT64", 1), inner)
    assert shop.value("SELECT @p", given) == {"a": 1, "b": {"c": "x", "d": [1, 2]}}
    rows = Array("p", "STRUCT", [Struct(None, Scalar("a", "INT64", n)) for n in (1, 2)])
    assert shop.rows("SELECT a FROM UNNEST(@p) ORDER BY a", rows) == [(1,), (2,)]


@PARAMETERS
def test_names_of_parameters_ignore_case_and_must_be_given(shop: Shop) -> None:
    assert shop.value("SELECT @ABC", Scalar("abc", "INT64", 1)) == 1
    with refused("invalidQuery", match="not found"):
        shop.value("SELECT @other", Scalar("abc", "INT64", 1))


@PAGES
def test_a_result_is_read_page_by_page(shop: Shop) -> None:
    job = shop.job("SELECT x FROM UNNEST(GENERATE_ARRAY(1, 25)) AS x ORDER BY x")
    result = job.result(page_size=10)
    pages = [[row.x for row in page] for page in result.pages]
    assert [len(page) for page in pages] == [10, 10, 5]
    assert [x for page in pages for x in page] == list(range(1, 26))
    assert result.total_rows == 25


@PAGES
def test_rows_of_a_table_are_listed_page_by_page(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT x, 'y' AS y FROM UNNEST(GENERATE_ARRAY(1, 7)) AS x")
    listed = shop.client.list_rows(shop.table("t"), page_size=3)
    assert sorted(row.x for row in listed) == list(range(1, 8))
    chosen = shop.client.list_rows(
        shop.table("t"),
        start_index=5,
        selected_fields=[bigquery.SchemaField("y", "STRING")],
    )
    assert [row.values() for row in chosen] == [("y",), ("y",)]
    assert len(list(shop.client.list_rows(shop.table("t"), max_results=2))) == 2


@PAGES
def test_lists_of_tables_and_datasets_have_pages(shop: Shop) -> None:
    for number in range(5):
        shop.query(f"CREATE TABLE t{number} (a INT64)")
    listed = shop.client.list_tables(shop.dataset, page_size=2)
    assert [one.table_id for one in listed] == [f"t{number}" for number in range(5)]
    shop.client.create_dataset(f"{shop.dataset}_more")
    every = [one.dataset_id for one in shop.client.list_datasets(page_size=1)]
    assert {shop.dataset, f"{shop.dataset}_more"} <= set(every)
    assert len(every) == len(set(every))
