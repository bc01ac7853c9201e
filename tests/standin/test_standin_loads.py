"""Load jobs of Parquet files.

https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet and
https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobconfigurationload
"""

import datetime as dt
import io
from decimal import Decimal

import pyarrow as pa
import pytest
from google.api_core.exceptions import BadRequest, Conflict, MethodNotImplemented, NotFound
from google.cloud import bigquery

from tests.standin.conftest import Shop, parquet

Field = bigquery.SchemaField
DAY = dt.date(2024, 1, 31)
INSTANT = dt.datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=dt.UTC)
MUCH = Decimal("12345678901234567890123456789.123456789")
ROWS = pa.table(
    {
        "text": ["a", None],
        "whole": pa.array([1, None], pa.int64()),
        "real": pa.array([1.5, None], pa.float64()),
        "money": pa.array([MUCH, None], pa.decimal128(38, 9)),
        "wide": pa.array([Decimal("0.0000000001"), None], pa.decimal128(28, 10)),
        "flag": [True, None],
        "day": pa.array([DAY, None], pa.date32()),
        "instant": pa.array([INSTANT, None], pa.timestamp("us", tz="UTC")),
        "raw": pa.array([b"\x00\xff", None], pa.binary()),
        "tags": pa.array([["x", "y"], None], pa.list_(pa.string())),
        "items": pa.array(
            [[{"sku": "s", "price": Decimal("1.10")}], []],
            pa.list_(pa.struct([("sku", pa.string()), ("price", pa.decimal128(10, 2))])),
        ),
        "place": pa.array(
            [{"city": "Oslo", "zip": 1}, None],
            pa.struct([("city", pa.string()), ("zip", pa.int64())]),
        ),
    }
)  # fmt: skip


def ids(*numbers: int) -> pa.Table:
    return pa.table({"id": pa.array(numbers, pa.int64())})


def days(*dates: dt.date) -> pa.Table:
    return pa.table({"day": pa.array(dates, pa.date32())})


def test_every_type_comes_back_as_it_was_loaded(shop: Shop) -> None:
    job = shop.load(ROWS, "t")
    assert (job.output_rows, job.input_files, job.state) == (2, 1, "DONE")
    kinds = {
        one.name: (one.field_type, one.mode)
        for one in shop.client.get_table(shop.table("t")).schema
    }
    assert kinds["money"] == ("NUMERIC", "NULLABLE")
    assert kinds["wide"] == ("BIGNUMERIC", "NULLABLE")
    assert kinds["tags"] == ("STRING", "REPEATED")
    assert kinds["items"] == ("RECORD", "REPEATED")
    first, second = shop.client.list_rows(shop.table("t"))
    assert first.values() == (
        "a", 1, 1.5, MUCH, Decimal("0.0000000001"),
        True, DAY, INSTANT, b"\x00\xff", ["x", "y"], [{"sku": "s", "price": Decimal("1.1")}],
        {"city": "Oslo", "zip": 1},
    )  # fmt: skip
    # A null array is an empty one, as BigQuery stores no null arrays.
    assert second.values() == (None,) * 9 + ([], [], None)


def test_rows_are_appended_to_what_is_there(shop: Shop) -> None:
    shop.load(ids(1, 2), "t")
    shop.load(ids(3), "t", write_disposition="WRITE_APPEND")
    shop.query("INSERT INTO t (id) VALUES (4)")
    shop.load(ids(5), "t")
    assert shop.rows("SELECT id FROM t ORDER BY id") == [(1,), (2,), (3,), (4,), (5,)]
    assert shop.client.get_table(shop.table("t")).num_rows == 5


def test_truncate_replaces_rows_and_schema_but_truncate_data_keeps_the_schema(shop: Shop) -> None:
    shop.query("CREATE TABLE t (id INT64 OPTIONS (description = 'kept'), note STRING)")
    shop.load(ids(1), "t", write_disposition="WRITE_TRUNCATE_DATA")
    assert [one.name for one in shop.client.get_table(shop.table("t")).schema] == ["id", "note"]
    shop.load(ids(2), "t", write_disposition="WRITE_TRUNCATE")
    assert [one.name for one in shop.client.get_table(shop.table("t")).schema] == ["id"]
    assert shop.rows("SELECT * FROM t") == [(2,)]


def test_write_empty_refuses_a_table_with_rows(shop: Shop) -> None:
    shop.load(ids(1), "t", write_disposition="WRITE_EMPTY")
    with pytest.raises(Conflict, match="Already Exists"):
        shop.load(ids(2), "t", write_disposition="WRITE_EMPTY")
    assert shop.rows("SELECT * FROM t") == [(1,)]


def test_create_never_needs_the_table(shop: Shop) -> None:
    with pytest.raises(NotFound):
        shop.load(ids(1), "t", create_disposition="CREATE_NEVER")


def test_a_load_into_a_missing_dataset_is_not_found(shop: Shop) -> None:
    with pytest.raises(NotFound, match="Not found: Dataset"):
        Shop(shop.client, "nowhere").load(ids(1), "t")


def test_a_partition_is_replaced_alone(shop: Shop) -> None:
    shop.query("CREATE TABLE t (day DATE) PARTITION BY day")
    other = dt.date(2024, 2, 1)
    shop.load(days(DAY, DAY, other), "t")
    shop.load(days(DAY), "t$20240131", write_disposition="WRITE_TRUNCATE")
    assert shop.rows("SELECT day, COUNT(*) FROM t GROUP BY day ORDER BY day") == [
        (DAY, 1),
        (other, 1),
    ]


def test_rows_of_another_day_do_not_fit_a_partition(shop: Shop) -> None:
    shop.query("CREATE TABLE t (day DATE) PARTITION BY day")
    shop.load(days(DAY), "t")
    with pytest.raises(BadRequest, match="Some rows belong to different partitions"):
        shop.load(days(DAY, dt.date(2024, 2, 1)), "t$20240131", write_disposition="WRITE_TRUNCATE")
    assert shop.rows("SELECT day FROM t") == [(DAY,)]


@pytest.mark.parametrize("decorator", ["$2024", "$20241301", "$x"])
def test_a_decorator_must_name_a_partition_of_the_table(shop: Shop, decorator: str) -> None:
    shop.query("CREATE TABLE t (day DATE) PARTITION BY day")
    with pytest.raises(BadRequest):
        shop.load(days(DAY), f"t{decorator}")


def test_missing_columns_become_null_and_extra_ones_are_refused(shop: Shop) -> None:
    shop.query("CREATE TABLE t (id INT64, note STRING, tags ARRAY<STRING>)")
    shop.load(ids(1), "t")
    assert shop.rows("SELECT * FROM t") == [(1, None, [])]
    with pytest.raises(BadRequest, match=r"Cannot add fields \(field: extra\)"):
        shop.load(pa.table({"id": [1], "extra": ["x"]}), "t")
    shop.load(
        pa.table({"id": [2], "extra": ["x"]}),
        "t",
        schema_update_options=["ALLOW_FIELD_ADDITION"],
    )
    assert shop.rows("SELECT id, extra FROM t ORDER BY id") == [(1, None), (2, "x")]


def test_another_type_of_a_column_is_refused(shop: Shop) -> None:
    shop.query("CREATE TABLE t (id STRING)")
    with pytest.raises(BadRequest, match="has changed type from STRING to INT64"):
        shop.load(ids(1), "t")


@pytest.mark.parametrize(
    "rows", [ids(1), pa.table({"id": [None]}, schema=pa.schema([("id", pa.int64())]))]
)
def test_an_explicit_schema_is_the_tables(shop: Shop, rows: pa.Table) -> None:
    shop.load(rows, "t", schema=[Field("id", "NUMERIC", precision=10), Field("note", "STRING")])
    assert shop.client.get_table(shop.table("t")).schema == [
        Field("id", "NUMERIC", precision=10),
        Field("note", "STRING"),
    ]


def test_a_required_column_must_be_there_and_filled(shop: Shop) -> None:
    shop.query("CREATE TABLE t (id INT64 NOT NULL, note STRING)")
    with pytest.raises(BadRequest):
        shop.load(pa.table({"id": pa.array([None], pa.int64())}), "t")
    with pytest.raises(BadRequest, match="required field id is missing"):
        shop.load(pa.table({"note": ["x"]}), "t")
    assert shop.rows("SELECT * FROM t") == []


def test_numbers_are_rounded_to_the_scale_of_the_column_or_refused(shop: Shop) -> None:
    shop.query("CREATE TABLE t (amount NUMERIC(5, 2))")
    shop.load(pa.table({"amount": pa.array([Decimal("1.005")], pa.decimal128(10, 3))}), "t")
    assert shop.rows("SELECT amount FROM t") == [(Decimal("1.01"),)]
    with pytest.raises(BadRequest):
        shop.load(pa.table({"amount": pa.array([Decimal("1000.00")], pa.decimal128(10, 2))}), "t")


def test_a_failed_load_leaves_nothing_and_its_id_is_used_up(shop: Shop) -> None:
    shop.query("CREATE TABLE t (id STRING)")
    job_id = f"{shop.dataset}_load"
    with pytest.raises(BadRequest):
        shop.load(ids(1), "t", job_id=job_id)
    with pytest.raises(Conflict, match="Already Exists: Job"):
        shop.load(pa.table({"id": ["x"]}), "t", job_id=job_id)
    found = shop.client.get_job(job_id)
    assert (found.state, found.error_result["reason"]) == ("DONE", "invalid")
    assert shop.rows("SELECT * FROM t") == []


def test_something_that_is_not_parquet_is_invalid(shop: Shop) -> None:
    config = bigquery.LoadJobConfig(source_format="PARQUET")
    job = shop.client.load_table_from_file(
        io.BytesIO(b"not parquet"), shop.table("t"), size=11, job_config=config
    )
    with pytest.raises(BadRequest, match="not in Parquet format"):
        job.result(retry=None)


@pytest.mark.parametrize("source_format", ["CSV", "NEWLINE_DELIMITED_JSON", "AVRO"])
def test_other_formats_are_refused_clearly(shop: Shop, source_format: str) -> None:
    config = bigquery.LoadJobConfig(source_format=source_format)
    job = shop.client.load_table_from_file(
        io.BytesIO(b"1\n"), shop.table("t"), size=2, job_config=config
    )
    with pytest.raises(MethodNotImplemented, match=f"source format {source_format}"):
        job.result(retry=None)


def test_lists_need_list_inference(shop: Shop) -> None:
    file = parquet(pa.table({"tags": [["x"]]}))
    config = bigquery.LoadJobConfig(source_format="PARQUET")
    job = shop.client.load_table_from_file(file, shop.table("t"), job_config=config)
    with pytest.raises(MethodNotImplemented, match="enableListInference"):
        job.result(retry=None)


def test_a_partition_can_be_listed_and_deleted(shop: Shop) -> None:
    other = dt.date(2024, 2, 1)
    shop.query("CREATE TABLE t (day DATE) PARTITION BY day")
    shop.load(days(DAY, other), "t")
    shop.client.delete_table(shop.table("t$20240131"))
    assert shop.rows("SELECT day FROM t") == [(other,)]
