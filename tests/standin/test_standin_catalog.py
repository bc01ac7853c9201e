"""Datasets, tables, views: the REST resources and the DDL that makes them.

https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets, …/tables and
https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language
"""

import datetime as dt

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound, PreconditionFailed
from google.cloud import bigquery

from tests.standin.conftest import Shop
from tests.standin.serving import PROJECT

Field = bigquery.SchemaField


def test_a_dataset_is_made_read_changed_and_deleted(shop: Shop) -> None:
    made = bigquery.Dataset(f"{PROJECT}.{shop.dataset}_other")
    made.location, made.labels, made.description = "EU", {"app": "test"}, "first"
    shop.client.create_dataset(made)
    found = shop.client.get_dataset(made.reference)
    assert (found.location, found.labels, found.description) == ("EU", {"app": "test"}, "first")
    found.description, found.labels = None, {"app": None, "team": "sales"}
    changed = shop.client.update_dataset(found, ["description", "labels"])
    assert (changed.description, changed.labels) == (None, {"team": "sales"})
    assert made.dataset_id in [one.dataset_id for one in shop.client.list_datasets()]
    shop.client.delete_dataset(made.reference)
    with pytest.raises(NotFound):
        shop.client.get_dataset(made.reference)


def test_a_dataset_with_tables_is_deleted_only_with_its_contents(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a INT64)")
    with pytest.raises(BadRequest, match="still in use"):
        shop.client.delete_dataset(shop.dataset)
    shop.client.delete_dataset(shop.dataset, delete_contents=True)
    with pytest.raises(NotFound):
        shop.client.get_table(shop.table("t"))


def test_a_second_dataset_of_the_same_name_is_a_duplicate(shop: Shop) -> None:
    with pytest.raises(Conflict, match="Already Exists: Dataset"):
        shop.client.create_dataset(shop.dataset)
    assert shop.client.create_dataset(shop.dataset, exists_ok=True).dataset_id == shop.dataset


def test_a_table_keeps_schema_partitioning_clustering_and_descriptions(shop: Shop) -> None:
    table = bigquery.Table(
        shop.table("facts"),
        schema=[
            Field("id", "STRING", "REQUIRED", description="Identity"),
            Field("day", "DATE"),
            Field("amount", "NUMERIC", precision=12, scale=2),
            Field(
                "items",
                "RECORD",
                "REPEATED",
                fields=[Field("sku", "STRING"), Field("n", "INTEGER")],
            ),
        ],
    )
    table.time_partitioning = bigquery.TimePartitioning(field="day", expiration_ms=86_400_000)
    table.require_partition_filter, table.clustering_fields = True, ["id"]
    table.description, table.labels = "Facts", {"app": "test"}
    shop.client.create_table(table)
    found = shop.client.get_table(table.reference)
    assert found.schema == table.schema
    assert (found.time_partitioning.field, found.time_partitioning.type_) == ("day", "DAY")
    assert found.time_partitioning.expiration_ms == 86_400_000
    assert (found.require_partition_filter, found.clustering_fields) == (True, ["id"])
    assert (found.description, found.labels) == ("Facts", {"app": "test"})
    assert (found.table_type, found.num_rows, found.location) == ("TABLE", 0, "US")


def test_ddl_keeps_partitioning_clustering_and_options_from_the_syntax_tree(shop: Shop) -> None:
    job = shop.job(
        """CREATE TABLE facts (
             id STRING NOT NULL OPTIONS (description = "Identity"),
             day DATE, amount NUMERIC(12, 2),
             items ARRAY<STRUCT<sku STRING, price NUMERIC(10, 2)>>)
           PARTITION BY day CLUSTER BY id, amount
           OPTIONS (description = "Facts", labels = [("app", "test")],
                    partition_expiration_days = 2, require_partition_filter = TRUE)"""
    )
    job.result()
    assert (job.statement_type, job.ddl_operation_performed) == ("CREATE_TABLE", "CREATE")
    found = shop.client.get_table(shop.table("facts"))
    assert found.schema == [
        Field("id", "STRING", "REQUIRED", description="Identity"),
        Field("day", "DATE"),
        Field("amount", "NUMERIC", precision=12, scale=2),
        Field(
            "items",
            "RECORD",
            "REPEATED",
            fields=[Field("sku", "STRING"), Field("price", "NUMERIC", precision=10, scale=2)],
        ),
    ]
    assert found.time_partitioning.expiration_ms == 2 * 86_400_000
    assert (found.clustering_fields, found.labels) == (["id", "amount"], {"app": "test"})
    assert (found.description, found.require_partition_filter) == ("Facts", True)


def test_if_not_exists_skips_and_or_replace_replaces(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS a")
    skipped = shop.job("CREATE TABLE IF NOT EXISTS t (b STRING)")
    skipped.result()
    assert skipped.ddl_operation_performed == "SKIP"
    with pytest.raises(Conflict, match="Already Exists: Table"):
        shop.query("CREATE TABLE t (b STRING)")
    replaced = shop.job("CREATE OR REPLACE TABLE t AS SELECT a, a + 1 AS b FROM t")
    replaced.result()
    assert replaced.ddl_operation_performed == "REPLACE"
    assert shop.rows("SELECT a, b FROM t") == [(1, 2)]


def test_partitioning_by_month_of_a_date_is_kept(shop: Shop) -> None:
    shop.query("CREATE TABLE t (d DATE) PARTITION BY DATE_TRUNC(d, MONTH)")
    assert shop.client.get_table(shop.table("t")).time_partitioning.type_ == "MONTH"


@pytest.mark.parametrize(
    "definition",
    [
        "t (a INT64) PARTITION BY a",
        "t (a INT64) CLUSTER BY b",
        "t (a STRING) PARTITION BY DATE(a)",
        "t (a INT64, A STRING)",
    ],
)
def test_an_impossible_layout_is_refused(shop: Shop, definition: str) -> None:
    with pytest.raises(BadRequest):
        shop.query(f"CREATE TABLE {definition}")


def test_a_new_nullable_column_appears_in_old_rows_as_null(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS a")
    shop.query("ALTER TABLE t ADD COLUMN b STRING OPTIONS (description = 'new'), ADD COLUMN c DATE")
    table = shop.client.get_table(shop.table("t"))
    table.schema = [*table.schema, Field("d", "NUMERIC"), Field("e", "INT64", "REPEATED")]
    shop.client.update_table(table, ["schema"])
    assert shop.rows("SELECT * FROM t") == [(1, None, None, None, [])]
    table = shop.client.get_table(table.reference)
    assert table.schema[1].description == "new"
    table.schema = [*table.schema, Field("f", "INT64", "REQUIRED")]
    with pytest.raises(BadRequest, match="required fields"):
        shop.client.update_table(table, ["schema"])


def test_a_patch_of_a_table_that_has_changed_meanwhile_is_refused(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a INT64)")
    stale = shop.client.get_table(shop.table("t"))
    shop.query("ALTER TABLE t SET OPTIONS (description = 'newer')")
    stale.description = "older"
    with pytest.raises(PreconditionFailed):
        shop.client.update_table(stale, ["description"])


def test_views_read_tables_and_other_views(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS a UNION ALL SELECT 2")
    shop.query(f"CREATE VIEW doubled AS SELECT a, 2 * a AS b FROM {shop.dataset}.t")
    view = bigquery.Table(shop.table("largest"))
    view.view_query = f"SELECT MAX(b) AS most FROM `{PROJECT}.{shop.dataset}.doubled`"
    shop.client.create_table(view)
    assert shop.rows("SELECT most, (SELECT COUNT(*) FROM doubled) FROM largest") == [(4, 2)]
    found = shop.client.get_table(shop.table("doubled"))
    assert found.view_query == f"SELECT a, 2 * a AS b FROM {shop.dataset}.t"
    assert (found.table_type, [one.name for one in found.schema]) == ("VIEW", ["a", "b"])
    assert {one.table_id: one.table_type for one in shop.client.list_tables(shop.dataset)} == {
        "doubled": "VIEW",
        "largest": "VIEW",
        "t": "TABLE",
    }


def test_a_view_does_not_know_the_default_dataset(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a INT64)")
    with pytest.raises(BadRequest, match="must be qualified with a dataset"):
        shop.query("CREATE VIEW v AS SELECT a FROM t")


def test_dropping_asks_for_the_right_kind_and_if_exists_forgives(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a INT64)")
    with pytest.raises(BadRequest):
        shop.query("DROP VIEW t")
    shop.query("DROP TABLE t")
    shop.query("DROP TABLE IF EXISTS t")
    with pytest.raises(NotFound):
        shop.query("DROP TABLE t")


def test_a_table_is_gone_when_its_time_has_come(shop: Shop) -> None:
    shop.query("CREATE TABLE gone (a INT64)")
    table = shop.client.get_table(shop.table("gone"))
    table.expires = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    shop.client.update_table(table, ["expires"])
    with pytest.raises(NotFound):
        shop.client.get_table(table.reference)
    assert list(shop.client.list_tables(shop.dataset)) == []
    shop.query("CREATE TABLE gone (b STRING)")
    assert shop.client.get_table(table.reference).schema[0].name == "b"


def test_an_expiration_may_be_an_expression(shop: Shop) -> None:
    before = dt.datetime.now(dt.UTC)
    shop.query(
        "CREATE TABLE t (a INT64) OPTIONS (expiration_timestamp = "
        "TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 48 HOUR))"
    )
    expires = shop.client.get_table(shop.table("t")).expires
    assert expires is not None
    assert dt.timedelta(hours=47) < expires - before < dt.timedelta(hours=49)


def test_schemas_are_made_and_dropped_by_sql(shop: Shop) -> None:
    name = f"{shop.dataset}_sql"
    shop.query(f"CREATE SCHEMA IF NOT EXISTS {name} OPTIONS (location = 'US')")
    shop.query(f"CREATE TABLE {name}.t AS SELECT 1 AS a")
    with pytest.raises(BadRequest, match="still in use"):
        shop.query(f"DROP SCHEMA {name}")
    shop.query(f"DROP SCHEMA {name} CASCADE")
    with pytest.raises(NotFound):
        shop.client.get_dataset(name)
