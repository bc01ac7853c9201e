"""Statements that define tables and datasets, read back through the client."""

import datetime as dt

import pytest
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

from tests.standin.conformance.asking import done, refused
from tests.standin.conftest import Shop

DDL = "https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language"
CREATE = pytest.mark.page(f"{DDL}#create_table_statement")
OPTIONS = pytest.mark.page(f"{DDL}#alter_table_set_options_statement")
COLUMNS = pytest.mark.page(f"{DDL}#alter_table_add_column_statement")
DROP = pytest.mark.page(f"{DDL}#drop_table_statement")
SCHEMA = pytest.mark.page(f"{DDL}#create_schema_statement")
DROP_SCHEMA = pytest.mark.page(f"{DDL}#drop_schema_statement")
STATISTICS = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobstatistics2"
)
PARTITIONS = pytest.mark.page("https://cloud.google.com/bigquery/docs/partitioned-tables")
CLUSTERS = pytest.mark.page("https://cloud.google.com/bigquery/docs/clustered-tables#limitations")
LENGTHS = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types"
    "#parameterized_data_types"
)
DAY_MS = 24 * 3600 * 1000
SALES = "CREATE TABLE t (id INT64, day DATE) PARTITION BY day"


def found(shop: Shop, name: str = "t") -> bigquery.Table:
    return shop.client.get_table(shop.table(name))


@CREATE
def test_a_column_list_becomes_the_schema(shop: Shop) -> None:
    shop.query("""CREATE TABLE t (
        id INT64 NOT NULL OPTIONS (description = 'Key'), price NUMERIC(10, 2), tags ARRAY<STRING>,
        place STRUCT<city STRING NOT NULL, point STRUCT<x FLOAT64, y FLOAT64>>)""")
    field = bigquery.SchemaField
    assert found(shop).schema == [
        field("id", "INTEGER", "REQUIRED", description="Key"),
        field("price", "NUMERIC", precision=10, scale=2),
        field("tags", "STRING", "REPEATED"),
        field("place", "RECORD", fields=[
            field("city", "STRING", "REQUIRED"),
            field("point", "RECORD", fields=[field("x", "FLOAT"), field("y", "FLOAT")]),
        ]),
    ]  # fmt: skip


@CREATE
def test_a_table_exists_once(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a INT64)")
    with refused("duplicate", 409):
        shop.query("CREATE TABLE t (b STRING)")
    done(shop, "CREATE TABLE IF NOT EXISTS t (b STRING)")
    assert [one.name for one in found(shop).schema] == ["a"]


@CREATE
def test_or_replace_leaves_nothing_of_the_old_table(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a INT64) OPTIONS (description = 'old', labels = [('a', 'b')])")
    shop.query("INSERT INTO t (a) VALUES (1)")
    shop.query("CREATE OR REPLACE TABLE t (b STRING)")
    table = found(shop)
    assert ([one.name for one in table.schema], table.num_rows) == (["b"], 0)
    assert (table.description, table.labels) == (None, {})


@CREATE
def test_or_replace_may_read_the_table_itself(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS a")
    shop.query("CREATE OR REPLACE TABLE t AS SELECT a + 1 AS a, 'x' AS b FROM t")
    assert shop.rows("SELECT * FROM t") == [(2, "x")]


@CREATE
def test_a_failed_replacement_keeps_the_old_table(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS a")
    with refused("invalidQuery"):
        shop.query("CREATE OR REPLACE TABLE t AS SELECT 1 / 0 AS b")
    assert shop.rows("SELECT * FROM t") == [(1,)]


@CREATE
def test_a_query_may_fill_declared_columns(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a NUMERIC NOT NULL, b STRING) AS SELECT 1, 'x'")
    kinds = [(one.name, one.field_type, one.mode) for one in found(shop).schema]
    assert kinds == [("a", "NUMERIC", "REQUIRED"), ("b", "STRING", "NULLABLE")]
    assert shop.value("SELECT a FROM t") == 1


@CREATE
@pytest.mark.parametrize(
    "definition",
    [
        "t AS SELECT 1",
        "t AS SELECT 1 AS a, 2 AS A",
        "t (a INT64, A STRING)",
        "t (a ARRAY<INT64> NOT NULL)",
        "t (a ARRAY<ARRAY<INT64>>)",
        "t (a NOSUCHTYPE)",
    ],
)
def test_a_wrong_definition_is_refused(shop: Shop, definition: str) -> None:
    with pytest.raises(BadRequest):
        shop.query(f"CREATE TABLE {definition}")
    assert list(shop.client.list_tables(shop.dataset)) == []


@CREATE
def test_options_of_a_new_table(shop: Shop) -> None:
    shop.query(f"""{SALES} OPTIONS (
        description = 'Sales', friendly_name = 'All sales', labels = [('team', 'x'), ('env', 'y')],
        expiration_timestamp = TIMESTAMP '2100-01-01 00:00:00 UTC',
        partition_expiration_days = 2.5, require_partition_filter = TRUE)""")
    table = found(shop)
    assert (table.description, table.friendly_name) == ("Sales", "All sales")
    assert table.labels == {"team": "x", "env": "y"}
    assert table.expires == dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    assert table.time_partitioning.expiration_ms == 2.5 * DAY_MS
    assert table.require_partition_filter is True


@CREATE
@pytest.mark.parametrize(
    "option",
    [
        "partition_expiration_days = 1",
        "require_partition_filter = TRUE",
        "description = 1",
        "require_partition_filter = 'yes'",
    ],
)
def test_options_that_do_not_fit_are_refused(shop: Shop, option: str) -> None:
    with pytest.raises(BadRequest):
        shop.query(f"CREATE TABLE t (a INT64) OPTIONS ({option})")


@OPTIONS
def test_partition_expiration_is_set_changed_and_cleared(shop: Shop) -> None:
    shop.query(SALES)
    assert found(shop).time_partitioning.expiration_ms is None
    for days in (7, 0.5):
        shop.query(f"ALTER TABLE t SET OPTIONS (partition_expiration_days = {days})")
        assert found(shop).time_partitioning.expiration_ms == days * DAY_MS
    shop.query("ALTER TABLE t SET OPTIONS (description = 'other')")
    assert found(shop).time_partitioning.expiration_ms == DAY_MS / 2
    shop.query("ALTER TABLE t SET OPTIONS (partition_expiration_days = NULL)")
    partitioning = found(shop).time_partitioning
    assert (partitioning.field, partitioning.expiration_ms) == ("day", None)


@OPTIONS
def test_partition_expiration_needs_partitions(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a INT64)")
    with pytest.raises(BadRequest):
        shop.query("ALTER TABLE t SET OPTIONS (partition_expiration_days = 7)")


@OPTIONS
@pytest.mark.parametrize("days", ["0", "-1", "'7'"])
def test_partition_expiration_is_a_positive_number(shop: Shop, days: str) -> None:
    shop.query(SALES)
    with pytest.raises(BadRequest):
        shop.query(f"ALTER TABLE t SET OPTIONS (partition_expiration_days = {days})")


@OPTIONS
def test_a_required_filter_is_set_and_cleared(shop: Shop) -> None:
    shop.query(SALES)
    for wanted in (True, False, True):
        shop.query(f"ALTER TABLE t SET OPTIONS (require_partition_filter = {wanted})")
        assert found(shop).require_partition_filter is wanted
    shop.query("ALTER TABLE t SET OPTIONS (require_partition_filter = NULL)")
    assert not found(shop).require_partition_filter


@OPTIONS
def test_a_set_option_replaces_the_value_and_null_clears_it(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a INT64) OPTIONS (description = 'a', labels = [('x', '1')])")
    shop.query("ALTER TABLE t SET OPTIONS (labels = [('y', '2')])")
    assert (found(shop).description, found(shop).labels) == ("a", {"y": "2"})
    shop.query("ALTER TABLE t SET OPTIONS (description = NULL, labels = NULL)")
    assert (found(shop).description, found(shop).labels) == (None, {})
    shop.query("ALTER TABLE t SET OPTIONS (labels = [('z', '')])")
    assert found(shop).labels == {"z": ""}
    shop.query("ALTER TABLE t SET OPTIONS (labels = [])")
    assert found(shop).labels == {}


@OPTIONS
def test_an_expiration_is_set_and_cleared(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a INT64)")
    shop.query("ALTER TABLE t SET OPTIONS (expiration_timestamp = TIMESTAMP '2100-01-01')")
    assert found(shop).expires == dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    shop.query("ALTER TABLE t SET OPTIONS (expiration_timestamp = NULL)")
    assert found(shop).expires is None


@OPTIONS
def test_altering_what_is_not_there(shop: Shop) -> None:
    with refused("notFound", 404):
        shop.query("ALTER TABLE t SET OPTIONS (description = 'x')")
    done(shop, "ALTER TABLE IF EXISTS t SET OPTIONS (description = 'x')")


@COLUMNS
def test_an_added_column_is_the_last_and_null_in_old_rows(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS a")
    shop.query("""ALTER TABLE t ADD COLUMN b STRING OPTIONS (description = 'second'),
        ADD COLUMN c ARRAY<INT64>, ADD COLUMN d STRUCT<e DATE>""")
    assert [(one.name, one.mode) for one in found(shop).schema] == [
        ("a", "NULLABLE"), ("b", "NULLABLE"), ("c", "REPEATED"), ("d", "NULLABLE")
    ]  # fmt: skip
    assert found(shop).schema[1].description == "second"
    assert shop.rows("SELECT * FROM t") == [(1, None, [], None)]


@COLUMNS
@pytest.mark.parametrize("column", ["a STRING", "A INT64", "b INT64 NOT NULL"])
def test_a_column_that_exists_or_is_required_can_not_be_added(shop: Shop, column: str) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS a")
    with refused("invalidQuery"):
        shop.query(f"ALTER TABLE t ADD COLUMN {column}")
    done(shop, "ALTER TABLE t ADD COLUMN IF NOT EXISTS a STRING")
    assert [(one.name, one.field_type) for one in found(shop).schema] == [("a", "INTEGER")]


@PARTITIONS
@pytest.mark.parametrize(
    ("kind", "by", "unit"),
    [
        ("DATE", "c", "DAY"),
        ("DATE", "DATE_TRUNC(c, MONTH)", "MONTH"),
        ("DATE", "DATE_TRUNC(c, YEAR)", "YEAR"),
        ("TIMESTAMP", "DATE(c)", "DAY"),
        ("TIMESTAMP", "TIMESTAMP_TRUNC(c, DAY)", "DAY"),
        ("TIMESTAMP", "TIMESTAMP_TRUNC(c, MONTH)", "MONTH"),
        ("DATETIME", "DATE(c)", "DAY"),
        ("DATETIME", "DATETIME_TRUNC(c, YEAR)", "YEAR"),
    ],
)
def test_the_unit_of_partitions(shop: Shop, kind: str, by: str, unit: str) -> None:
    shop.query(f"CREATE TABLE t (c {kind}) PARTITION BY {by}")
    partitioning = found(shop).time_partitioning
    assert (partitioning.field, partitioning.type_) == ("c", unit)


@PARTITIONS
@pytest.mark.parametrize(
    ("kind", "by"),
    [("INT64", "c"), ("STRING", "c"), ("STRING", "DATE(c)"), ("DATE", "d"), ("TIMESTAMP", "c")],
)
def test_partitions_need_a_fitting_column(shop: Shop, kind: str, by: str) -> None:
    with pytest.raises(BadRequest):
        shop.query(f"CREATE TABLE t (c {kind}) PARTITION BY {by}")


@CLUSTERS
def test_clustering_columns_keep_their_order(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a INT64, b STRING, c DATE, d BOOL) CLUSTER BY d, a, c, b")
    assert found(shop).clustering_fields == ["d", "a", "c", "b"]
    assert found(shop).time_partitioning is None


@CLUSTERS
@pytest.mark.parametrize("by", ["a, b, c, d, e", "nope", "f", "g", "h"])
def test_clustering_has_four_plain_columns_at_most(shop: Shop, by: str) -> None:
    columns = "a INT64, b INT64, c INT64, d INT64, e INT64, f FLOAT64, g ARRAY<INT64>, h BYTES"
    with pytest.raises(BadRequest):
        shop.query(f"CREATE TABLE t ({columns}) CLUSTER BY {by}")


@STATISTICS
def test_a_job_tells_what_its_statement_did(shop: Shop) -> None:
    told = []
    for sql in (
        "CREATE TABLE t (a INT64)",
        "CREATE TABLE IF NOT EXISTS t (a INT64)",
        "CREATE OR REPLACE TABLE t AS SELECT 1 AS a",
        f"CREATE VIEW v AS SELECT a FROM {shop.dataset}.t",
        "DROP VIEW v",
        "DROP TABLE t",
        "DROP TABLE IF EXISTS t",
    ):
        job = done(shop, sql)
        assert job.ddl_target_table.dataset_id == shop.dataset
        told.append(
            (job.statement_type, job.ddl_operation_performed, job.ddl_target_table.table_id)
        )
    assert told == [
        ("CREATE_TABLE", "CREATE", "t"),
        ("CREATE_TABLE", "SKIP", "t"),
        ("CREATE_TABLE_AS_SELECT", "REPLACE", "t"),
        ("CREATE_VIEW", "CREATE", "v"),
        ("DROP_VIEW", "DROP", "v"),
        ("DROP_TABLE", "DROP", "t"),
        ("DROP_TABLE", "SKIP", "t"),
    ]


@DROP
def test_dropping_needs_the_right_kind(shop: Shop) -> None:
    shop.query(f"CREATE TABLE t (a INT64); CREATE VIEW v AS SELECT a FROM {shop.dataset}.t")
    for sql in ("DROP VIEW t", "DROP TABLE v"):
        with refused("invalidQuery"):
            shop.query(sql)
    with refused("notFound", 404):
        shop.query("DROP TABLE nope")
    assert len(list(shop.client.list_tables(shop.dataset))) == 2


@SCHEMA
def test_a_schema_has_options(shop: Shop) -> None:
    name = f"{shop.dataset}_made"
    shop.query(f"""CREATE SCHEMA {name} OPTIONS (
        location = 'EU', description = 'More', friendly_name = 'Name', labels = [('a', 'b')])""")
    dataset = shop.client.get_dataset(name)
    assert (dataset.location, dataset.description) == ("EU", "More")
    assert (dataset.friendly_name, dataset.labels) == ("Name", {"a": "b"})
    with refused("duplicate", 409):
        shop.query(f"CREATE SCHEMA {name}")
    done(shop, f"CREATE SCHEMA IF NOT EXISTS {name}")


@DROP_SCHEMA
@pytest.mark.parametrize("how", ["", " RESTRICT"])
def test_a_schema_with_tables_is_dropped_by_cascade_only(shop: Shop, how: str) -> None:
    shop.query("CREATE TABLE t (a INT64)")
    with pytest.raises(BadRequest):
        shop.query(f"DROP SCHEMA {shop.dataset}{how}")
    assert found(shop).table_id == "t"
    shop.query(f"DROP SCHEMA {shop.dataset} CASCADE")
    with refused("notFound", 404):
        shop.client.get_dataset(shop.dataset)


@DROP_SCHEMA
def test_dropping_a_schema_that_is_not_there(shop: Shop) -> None:
    with refused("notFound", 404):
        shop.query(f"DROP SCHEMA {shop.dataset}_nope")
    done(shop, f"DROP SCHEMA IF EXISTS {shop.dataset}_nope")


@LENGTHS
@pytest.mark.parametrize(
    "field",
    [
        bigquery.SchemaField("a", "STRING", max_length=3),
        bigquery.SchemaField("a", "BYTES", max_length=3),
        bigquery.SchemaField("a", "BIGNUMERIC", precision=5, scale=2),
        bigquery.SchemaField(
            "s", "RECORD", fields=[bigquery.SchemaField("a", "STRING", max_length=3)]
        ),
    ],
)
def test_a_length_that_the_standin_does_not_enforce_is_refused(
    shop: Shop, field: bigquery.SchemaField
) -> None:
    """By both ways to a table."""
    with refused("notImplemented", 501):
        shop.client.create_table(bigquery.Table(shop.table("t"), schema=[field]), retry=None)
    with refused("notImplemented", 501):
        shop.query("CREATE TABLE t (a STRING(3))")
    assert list(shop.client.list_tables(shop.dataset)) == []
