"""Errors: their reasons, HTTP statuses, and the exceptions that the client makes of them."""

import io
import json
from collections.abc import Callable

import pytest
from google.api_core.exceptions import (
    BadRequest,
    Conflict,
    Forbidden,
    GoogleAPICallError,
    InternalServerError,
    MethodNotImplemented,
    NotFound,
)
from google.cloud import bigquery

from tests.standin.conformance.asking import refused
from tests.standin.conftest import Shop
from tests.standin.serving import PROJECT, request

ERRORS = pytest.mark.page("https://cloud.google.com/bigquery/docs/error-messages")
JOBS = pytest.mark.page("https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobstatus")
DATASETS = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets/delete"
)
Call = Callable[[Shop], object]


def load(shop: Shop, data: bytes, table: str) -> bigquery.LoadJob:
    config = bigquery.LoadJobConfig(source_format="PARQUET")
    job = shop.client.load_table_from_file(io.BytesIO(data), table, job_config=config)
    return job.result(retry=None)


MISSING: dict[str, Call] = {
    "get a dataset": lambda shop: shop.client.get_dataset("nope", retry=None),
    "delete a dataset": lambda shop: shop.client.delete_dataset("nope", retry=None),
    "list a dataset": lambda shop: list(shop.client.list_tables("nope", retry=None)),
    "get a table": lambda shop: shop.client.get_table(shop.table("nope"), retry=None),
    "get a table of no dataset": lambda shop: shop.client.get_table("nope.t", retry=None),
    "delete a table": lambda shop: shop.client.delete_table(shop.table("nope"), retry=None),
    "update a table": lambda shop: shop.client.update_table(
        bigquery.Table(shop.table("nope")), ["description"], retry=None
    ),
    "list rows": lambda shop: list(
        shop.client.list_rows(
            shop.table("nope"), selected_fields=[bigquery.SchemaField("a", "STRING")], retry=None
        )
    ),
    "create a table in no dataset": lambda shop: shop.client.create_table(
        bigquery.Table(f"{PROJECT}.nope.t", [bigquery.SchemaField("a", "STRING")]), retry=None
    ),
    "get a job": lambda shop: shop.client.get_job("nope", retry=None),
    "cancel a job": lambda shop: shop.client.cancel_job("nope", retry=None),
    "query a table": lambda shop: shop.query("SELECT * FROM nope"),
    "query a table of no dataset": lambda shop: shop.query("SELECT * FROM nope.t"),
    "insert": lambda shop: shop.query("INSERT INTO nope (a) VALUES (1)"),
    "merge": lambda shop: shop.query("MERGE nope USING (SELECT 1) ON FALSE "
                                     "WHEN NOT MATCHED BY SOURCE THEN DELETE"),
    "create by SQL in no dataset": lambda shop: shop.query("CREATE TABLE nope.t (a INT64)"),
    "drop by SQL": lambda shop: shop.query("DROP TABLE nope"),
    "drop by SQL in no dataset": lambda shop: shop.query("DROP TABLE nope.t"),
}  # fmt: skip


@ERRORS
@pytest.mark.parametrize("call", MISSING.values(), ids=MISSING.keys())
def test_what_is_missing_is_not_found(shop: Shop, call: Call) -> None:
    with pytest.raises(NotFound) as caught:
        call(shop)
    assert caught.value.errors[0]["reason"] == "notFound"
    assert "nope" in caught.value.message


TWICE: dict[str, Call] = {
    "a dataset": lambda shop: shop.client.create_dataset(shop.dataset, retry=None),
    "a schema": lambda shop: shop.query(f"CREATE SCHEMA {shop.dataset}"),
    "a table": lambda shop: shop.client.create_table(
        bigquery.Table(shop.table("t"), [bigquery.SchemaField("a", "STRING")]), retry=None
    ),
    "a table by SQL": lambda shop: shop.query("CREATE TABLE t (a INT64)"),
    "a view by SQL": lambda shop: shop.query("CREATE VIEW t AS SELECT 1 AS a"),
}


@ERRORS
@pytest.mark.parametrize("call", TWICE.values(), ids=TWICE.keys())
def test_what_exists_is_a_duplicate(shop: Shop, call: Call) -> None:
    shop.query("CREATE TABLE t (a INT64)")
    with pytest.raises(Conflict) as caught:
        call(shop)
    assert caught.value.errors[0]["reason"] == "duplicate"


@ERRORS
@pytest.mark.parametrize(
    "sql",
    [
        "SELEC 1",
        "SELECT",
        "SELECT 1 FROM",
        "SELECT (1",
        "SELECT nope",
        "SELECT 1 / 0",
        "SELECT CAST('x' AS INT64)",
        "SELECT 1 + 'x'",
        "SELECT DATE '2024-02-30'",
        "SELECT [1][OFFSET(1)]",
        "SELECT a FROM t WHERE COUNT(*) > 1",
        "SELECT a FROM t UNION ALL SELECT a, b FROM t",
        "SELECT a FROM t WHERE a",
        "SELECT a FROM t GROUP BY a HAVING SUM(b)",
        "DELETE FROM t WHERE a",
        "SELECT (SELECT a FROM UNNEST([1, 2]) AS a)",
        "SELECT x.a FROM t",
        "SELECT a FROM t, t AS u",
        "SELECT @p",
    ],
)
def test_a_wrong_query_is_an_invalid_one(shop: Shop, sql: str) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS a, 2 AS b")
    with pytest.raises(BadRequest) as caught:
        shop.query(sql)
    (error,) = caught.value.errors
    assert (error["reason"], error["location"]) == ("invalidQuery", "query")


@JOBS
def test_a_failed_job_keeps_its_error(shop: Shop) -> None:
    job = shop.job("SELECT 1 / 0")
    assert isinstance(job.exception(), BadRequest)
    found = shop.client.get_job(job.job_id)
    assert (found.state, found.error_result["reason"]) == ("DONE", "invalidQuery")
    assert "division by zero" in found.error_result["message"]
    assert found.errors[0]["reason"] == "invalidQuery"
    with refused("invalidQuery"):
        found.result(retry=None)


@ERRORS
@pytest.mark.parametrize("data", [b"", b"not Parquet", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_file_that_is_no_parquet_is_invalid(shop: Shop, data: bytes) -> None:
    with refused("invalid"):
        load(shop, data, shop.table("t"))
    assert list(shop.client.list_tables(shop.dataset)) == []


@ERRORS
def test_a_load_into_no_dataset_is_not_found(shop: Shop) -> None:
    with refused("notFound", 404):
        load(shop, b"PAR1", f"{PROJECT}.nope.t")


@ERRORS
def test_a_query_is_required(shop: Shop) -> None:
    with refused("required"):
        shop.query("")


@DATASETS
def test_a_dataset_with_tables_is_in_use(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a INT64)")
    with refused("resourceInUse"):
        shop.client.delete_dataset(shop.dataset, retry=None)
    shop.client.delete_dataset(shop.dataset, delete_contents=True, not_found_ok=True)
    shop.client.delete_dataset(shop.dataset, not_found_ok=True)


@ERRORS
@pytest.mark.parametrize(
    "schema",
    [
        [bigquery.SchemaField("a", "NOSUCHTYPE")],
        [bigquery.SchemaField("a", "STRING", "NOSUCHMODE")],
        [bigquery.SchemaField("a", "STRING"), bigquery.SchemaField("A", "STRING")],
    ],
)
def test_a_wrong_schema_is_invalid(shop: Shop, schema: list[bigquery.SchemaField]) -> None:
    with refused("invalid"):
        shop.client.create_table(bigquery.Table(shop.table("t"), schema), retry=None)


@ERRORS
@pytest.mark.parametrize("name", ["with space!", "a.b", "x" * 1025])
def test_a_wrong_name_of_a_dataset_is_invalid(shop: Shop, name: str) -> None:
    with refused("invalid"):
        shop.client.create_dataset(bigquery.DatasetReference(PROJECT, name), retry=None)


@ERRORS
def test_what_differs_from_the_table_by_type_is_invalid(shop: Shop) -> None:
    table = shop.client.create_table(
        bigquery.Table(shop.table("t"), [bigquery.SchemaField("a", "STRING")])
    )
    table.schema = [bigquery.SchemaField("a", "DATE")]
    with refused("invalid"):
        shop.client.update_table(table, ["schema"], retry=None)


@ERRORS
@pytest.mark.parametrize("sql", ["SELECT NO_SUCH_FUNCTION(1)", "SELECT a FROM t GROUP BY b"])
def test_what_may_be_wrong_or_unsupported_is_refused(shop: Shop, sql: str) -> None:
    """BigQuery says `invalidQuery`; the stand-in can't always tell that from its own limits."""
    shop.query("CREATE TABLE t AS SELECT 1 AS a, 2 AS b")
    with pytest.raises((BadRequest, MethodNotImplemented)):
        shop.query(sql)


@ERRORS
@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("accessDenied", Forbidden),
        ("quotaExceeded", Forbidden),
        ("responseTooLarge", Forbidden),
        ("resourcesExceeded", BadRequest),
        ("invalid", BadRequest),
        ("notFound", NotFound),
        ("duplicate", Conflict),
        ("backendError", InternalServerError),
        ("internalError", InternalServerError),
    ],
)
def test_a_failed_job_raises_the_exception_of_its_reason(
    shop: Shop, standin_address: str, reason: str, kind: type[GoogleAPICallError]
) -> None:
    job_id = f"{shop.dataset}_{reason}"
    faults = json.dumps([{"job": f"^{job_id}$", "reason": reason}]).encode()
    request(standin_address, "/standin/faults", faults, Content_Type="application/json")
    job = shop.job("SELECT 1", job_id=job_id)
    error = job.exception()
    assert type(error) is kind
    assert shop.client.get_job(job_id).error_result["reason"] == reason
