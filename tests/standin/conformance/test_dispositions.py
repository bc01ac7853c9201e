"""Write and create dispositions, schemas that differ, columns that are missing or too many."""

import datetime as dt

import pyarrow as pa
import pytest
from google.cloud import bigquery

from tests.standin.conformance.asking import done, refused
from tests.standin.conftest import Shop

LOAD = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobconfigurationload"
)
QUERY = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobconfigurationquery"
)
SCHEMAS = pytest.mark.page("https://cloud.google.com/bigquery/docs/managing-table-schemas")
PARTITIONS = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/managing-partitioned-table-data"
)
DAY, NEXT = dt.date(2024, 1, 31), dt.date(2024, 2, 1)


def ids(*numbers: int) -> pa.Table:
    return pa.table({"id": pa.array(numbers, pa.int64())})


def sold(*rows: tuple[dt.date, int]) -> pa.Table:
    kinds = pa.schema([("day", pa.date32()), ("n", pa.int64())])
    return pa.Table.from_pylist([{"day": day, "n": n} for day, n in rows], kinds)


@LOAD
@pytest.mark.parametrize(
    ("disposition", "left"),
    [
        ("WRITE_APPEND", [(1,), (2,)]),
        ("WRITE_TRUNCATE", [(2,)]),
        ("WRITE_TRUNCATE_DATA", [(2,)]),
    ],
)
def test_what_a_load_leaves_of_the_rows(
    shop: Shop, disposition: str, left: list[tuple[int]]
) -> None:
    shop.load(ids(1), "t")
    shop.load(ids(2), "t", write_disposition=disposition)
    assert shop.rows("SELECT id FROM t ORDER BY id") == left


@LOAD
def test_write_empty_takes_an_empty_table_only(shop: Shop) -> None:
    shop.query("CREATE TABLE t (id INT64)")
    shop.load(ids(1), "t", write_disposition="WRITE_EMPTY")
    with refused("duplicate", 409):
        shop.load(ids(2), "t", write_disposition="WRITE_EMPTY")
    assert shop.rows("SELECT id FROM t") == [(1,)]


@LOAD
def test_truncate_takes_the_files_schema_and_truncate_data_keeps_the_tables(shop: Shop) -> None:
    shop.query("CREATE TABLE t (id INT64 OPTIONS (description = 'kept'), note STRING)")
    shop.load(ids(1), "t", write_disposition="WRITE_TRUNCATE_DATA")
    kept = shop.client.get_table(shop.table("t")).schema
    assert [(one.name, one.description) for one in kept] == [("id", "kept"), ("note", None)]
    shop.load(ids(2), "t", write_disposition="WRITE_TRUNCATE")
    assert [one.name for one in shop.client.get_table(shop.table("t")).schema] == ["id"]


@LOAD
def test_a_failed_truncate_keeps_the_old_rows(shop: Shop) -> None:
    shop.query("CREATE TABLE t (id INT64 NOT NULL)")
    shop.load(ids(1), "t")
    for disposition in ("WRITE_TRUNCATE_DATA", "WRITE_APPEND"):
        with refused("invalid"):
            rows = pa.table({"id": pa.array([2, None], pa.int64())})
            shop.load(rows, "t", write_disposition=disposition)
    assert shop.rows("SELECT id FROM t") == [(1,)]


@LOAD
def test_create_never_makes_no_table(shop: Shop) -> None:
    with refused("notFound", 404):
        shop.load(ids(1), "t", create_disposition="CREATE_NEVER")
    assert list(shop.client.list_tables(shop.dataset)) == []
    shop.query("CREATE TABLE t (id INT64)")
    assert shop.load(ids(1), "t", create_disposition="CREATE_NEVER").output_rows == 1


@LOAD
def test_a_new_table_takes_layout_and_properties_of_the_job(shop: Shop) -> None:
    shop.load(
        sold((DAY, 1)),
        "t",
        time_partitioning=bigquery.TimePartitioning(field="day"),
        clustering_fields=["n"],
        destination_table_description="Sales",
    )
    table = shop.client.get_table(shop.table("t"))
    assert (table.time_partitioning.field, table.clustering_fields) == ("day", ["n"])
    assert table.description == "Sales"


@QUERY
@pytest.mark.parametrize(
    ("disposition", "left"), [("WRITE_APPEND", [(1,), (2,)]), ("WRITE_TRUNCATE", [(2,)])]
)
def test_a_query_writes_into_its_destination(
    shop: Shop, disposition: str, left: list[tuple[int]]
) -> None:
    target = shop.table("t")
    done(shop, "SELECT 1 AS id", destination=target)
    done(shop, "SELECT 2 AS id", destination=target, write_disposition=disposition)
    assert shop.rows("SELECT id FROM t ORDER BY id") == left


@QUERY
def test_a_querys_destination_is_empty_unless_said_otherwise(shop: Shop) -> None:
    done(shop, "SELECT 1 AS id", destination=shop.table("t"))
    with refused("duplicate", 409):
        done(shop, "SELECT 2 AS id", destination=shop.table("t"))
    with refused("notFound", 404):
        done(shop, "SELECT 1 AS id", destination=shop.table("u"), create_disposition="CREATE_NEVER")


@SCHEMAS
def test_missing_nullable_columns_become_null(shop: Shop) -> None:
    shop.query("CREATE TABLE t (id INT64, note STRING, tags ARRAY<STRING>, s STRUCT<a INT64>)")
    shop.load(ids(1), "t")
    assert shop.rows("SELECT * FROM t") == [(1, None, [], None)]


@SCHEMAS
def test_a_missing_required_column_is_refused(shop: Shop) -> None:
    shop.query("CREATE TABLE t (id INT64, note STRING NOT NULL)")
    with refused("invalid", match="note"):
        shop.load(ids(1), "t")
    assert shop.client.get_table(shop.table("t")).num_rows == 0


@SCHEMAS
def test_extra_columns_need_field_addition(shop: Shop) -> None:
    rows = pa.table({"id": [2], "extra": ["x"]})
    shop.load(ids(1), "t")
    with refused("invalid", match="extra"):
        shop.load(rows, "t")
    shop.load(rows, "t", schema_update_options=["ALLOW_FIELD_ADDITION"])
    assert shop.rows("SELECT id, extra FROM t ORDER BY id") == [(1, None), (2, "x")]
    added = shop.client.get_table(shop.table("t")).schema[1]
    assert (added.name, added.mode) == ("extra", "NULLABLE")


@SCHEMAS
@pytest.mark.parametrize("option", ["ALLOW_FIELD_RELAXATION"])
def test_relaxation_is_not_passed_over_in_silence(shop: Shop, option: str) -> None:
    shop.query("CREATE TABLE t (id INT64 NOT NULL)")
    with refused("notImplemented", 501, match=option):
        shop.load(ids(1), "t", schema_update_options=[option])


@SCHEMAS
def test_a_column_keeps_its_type(shop: Shop) -> None:
    shop.query("CREATE TABLE t (id STRING)")
    with refused("invalid", match="id"):
        shop.load(ids(1), "t")
    table = shop.client.get_table(shop.table("t"))
    table.schema = [bigquery.SchemaField("id", "INT64")]
    with refused("invalid"):
        shop.client.update_table(table, ["schema"])


@SCHEMAS
def test_a_required_column_may_be_relaxed_but_none_dropped(shop: Shop) -> None:
    shop.query("CREATE TABLE t (id INT64 NOT NULL, note STRING)")
    table = shop.client.get_table(shop.table("t"))
    table.schema = [bigquery.SchemaField("id", "INT64"), table.schema[1]]
    table = shop.client.update_table(table, ["schema"])
    shop.query("INSERT INTO t (note) VALUES ('x')")
    table.schema = table.schema[:1]
    table._properties.pop("etag")
    with refused("invalid"):
        shop.client.update_table(table, ["schema"])
    assert shop.rows("SELECT * FROM t") == [(None, "x")]


@PARTITIONS
@pytest.mark.parametrize("disposition", ["WRITE_TRUNCATE", "WRITE_TRUNCATE_DATA"])
def test_a_decorated_truncate_replaces_that_day_alone(shop: Shop, disposition: str) -> None:
    shop.query("CREATE TABLE t (day DATE, n INT64) PARTITION BY day")
    shop.load(sold((DAY, 1), (DAY, 2), (NEXT, 3)), "t")
    shop.load(sold((DAY, 9)), "t$20240131", write_disposition=disposition)
    assert shop.rows("SELECT day, n FROM t ORDER BY n") == [(NEXT, 3), (DAY, 9)]


@PARTITIONS
@pytest.mark.parametrize("disposition", ["WRITE_TRUNCATE", "WRITE_APPEND"])
@pytest.mark.parametrize("stray", [NEXT, None])
def test_a_row_of_another_day_is_refused_and_nothing_changes(
    shop: Shop, disposition: str, stray: dt.date
) -> None:
    shop.query("CREATE TABLE t (day DATE, n INT64) PARTITION BY day")
    shop.load(sold((DAY, 1)), "t")
    with refused("invalid"):
        rows = sold((DAY, 2), (stray, 3))
        shop.load(rows, "t$20240131", write_disposition=disposition)
    assert shop.rows("SELECT day, n FROM t") == [(DAY, 1)]


@PARTITIONS
def test_a_decorated_append_adds_to_its_day(shop: Shop) -> None:
    shop.query("CREATE TABLE t (day DATE, n INT64) PARTITION BY day")
    shop.load(sold((DAY, 1)), "t$20240131")
    shop.load(sold((DAY, 2)), "t$20240131", write_disposition="WRITE_APPEND")
    with refused("duplicate", 409):
        shop.load(sold((DAY, 3)), "t$20240131", write_disposition="WRITE_EMPTY")
    assert shop.rows("SELECT n FROM t ORDER BY n") == [(1,), (2,)]


@PARTITIONS
@pytest.mark.parametrize("name", ["t$202401", "t$20241301", "t$day", "plain$20240131"])
def test_a_decorator_must_fit_the_tables_partitioning(shop: Shop, name: str) -> None:
    shop.query("CREATE TABLE plain (day DATE, n INT64)")
    shop.query("CREATE TABLE t (day DATE, n INT64) PARTITION BY day")
    with refused("invalid"):
        shop.load(sold((DAY, 1)), name)


@PARTITIONS
def test_months_and_timestamps_have_partitions_too(shop: Shop) -> None:
    shop.query("CREATE TABLE m (day DATE, n INT64) PARTITION BY DATE_TRUNC(day, MONTH)")
    shop.load(sold((DAY, 1), (NEXT, 2)), "m")
    shop.load(sold((DAY, 3)), "m$202401", write_disposition="WRITE_TRUNCATE")
    assert shop.rows("SELECT n FROM m ORDER BY n") == [(2,), (3,)]
    shop.query("CREATE TABLE s (at TIMESTAMP) PARTITION BY DATE(at)")
    at = dt.datetime(2024, 1, 31, 23, 59, 59, 999999, tzinfo=dt.UTC)
    shop.load(pa.table({"at": pa.array([at])}), "s$20240131", write_disposition="WRITE_TRUNCATE")
    assert shop.rows("SELECT at FROM s") == [(at,)]


@PARTITIONS
def test_a_partition_can_be_deleted_and_listed(shop: Shop) -> None:
    shop.query("CREATE TABLE t (day DATE, n INT64) PARTITION BY day")
    shop.load(sold((DAY, 1), (NEXT, 2)), "t")
    listed = shop.client.list_rows(
        shop.table("t$20240131"), selected_fields=[bigquery.SchemaField("n", "INT64")]
    )
    assert [row.values() for row in listed] == [(1,)]
    shop.client.delete_table(shop.table("t$20240131"))
    assert shop.rows("SELECT n FROM t") == [(2,)]
