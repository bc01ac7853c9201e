"""Tables partitioned by day and by ranges of integers: their form, and what a query reads."""

import pytest
from google.cloud import bigquery

from tests.standin.conformance.asking import refused
from tests.standin.conftest import Shop

RANGES = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/creating-partitioned-tables"
    "#create_an_integer-range_partitioned_table"
)
PRUNING = pytest.mark.page("https://cloud.google.com/bigquery/docs/querying-partitioned-tables")
OPTIONS = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/managing-partitioned-tables#partition-expiration"
)
LIMITS = pytest.mark.page("https://cloud.google.com/bigquery/quotas#partitioned_tables")
REST = pytest.mark.page("https://cloud.google.com/bigquery/docs/reference/rest/v2/tables")


def bounds(table: bigquery.Table) -> tuple[str, int, int, int]:
    made = table.range_partitioning
    return made.field, made.range_.start, made.range_.end, made.range_.interval


@RANGES
@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ("0, 100, 10", ("n", 0, 100, 10)),
        ("0, 100", ("n", 0, 100, 1)),
        ("-50, 50, 25", ("n", -50, 50, 25)),
    ],
)
def test_ddl_makes_ranges_that_the_client_reads(
    shop: Shop, array: str, expected: tuple[str, int, int, int]
) -> None:
    shop.query(f"CREATE TABLE t (n INT64) PARTITION BY RANGE_BUCKET(n, GENERATE_ARRAY({array}))")
    table = shop.client.get_table(shop.table("t"))
    assert bounds(table) == expected
    assert table.time_partitioning is None


@REST
def test_the_client_makes_ranges_with_clusters(shop: Shop) -> None:
    wanted = bigquery.Table(
        shop.table("t"),
        [bigquery.SchemaField("n", "INT64"), bigquery.SchemaField("v", "STRING")],
    )
    wanted.range_partitioning = bigquery.RangePartitioning(
        field="n", range_=bigquery.PartitionRange(start=0, end=40, interval=4)
    )
    wanted.clustering_fields = ["v"]
    shop.client.create_table(wanted)
    found = shop.client.get_table(shop.table("t"))
    assert bounds(found) == ("n", 0, 40, 4)
    assert found.clustering_fields == ["v"]
    (listed,) = shop.client.list_tables(f"{found.project}.{found.dataset_id}")
    assert listed._properties["rangePartitioning"]["field"] == "n"


@RANGES
@pytest.mark.parametrize("kind", ["STRING", "FLOAT64", "NUMERIC", "DATE", "ARRAY<INT64>"])
def test_only_whole_numbers_make_ranges(shop: Shop, kind: str) -> None:
    with refused("invalid", 400):
        shop.query(
            f"CREATE TABLE t (n {kind}) PARTITION BY RANGE_BUCKET(n, GENERATE_ARRAY(0, 9, 1))"
        )


@LIMITS
def test_a_table_has_ten_thousand_partitions_at_most(shop: Shop) -> None:
    made = "CREATE TABLE {} (n INT64) PARTITION BY RANGE_BUCKET(n, GENERATE_ARRAY(0, {}, 1))"
    shop.query(made.format("most", 10_000))
    with refused("invalid", 400):
        shop.query(made.format("more", 10_001))


@PRUNING
@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("TRUE", 42),  # 40 of the ranges, one outside them, one null
        ("n = 7", 10),
        ("n IN (7, 12)", 20),
        ("n BETWEEN 8 AND 12", 20),
        ("n < 10", 11),  # values outside the ranges share a partition, where -5 is, too
        ("n IS NULL", 1),
        ("n = 7 AND v > 0", 10),
        ("n + v = 7", 42),
    ],
)
def test_a_filter_on_the_column_leaves_whole_ranges(shop: Shop, where: str, rows: int) -> None:
    shop.query("CREATE TABLE t (n INT64, v INT64) PARTITION BY RANGE_BUCKET(n, "
               "GENERATE_ARRAY(0, 40, 10))")  # fmt: skip
    shop.query("INSERT t SELECT n, 1 FROM UNNEST(GENERATE_ARRAY(0, 39)) AS n")
    shop.query("INSERT t VALUES (-5, 1), (NULL, 1)")
    whole = shop.job("SELECT v FROM t", dry_run=True).total_bytes_processed
    read = shop.job(f"SELECT v FROM t WHERE {where}", dry_run=True).total_bytes_processed
    of_n = 0 if where == "TRUE" else shop.job("SELECT n FROM t", dry_run=True).total_bytes_processed
    assert read * 42 == (whole + of_n) * rows


@PRUNING
def test_a_required_filter_is_required_of_ranges_too(shop: Shop) -> None:
    shop.query(
        "CREATE TABLE t (n INT64) PARTITION BY RANGE_BUCKET(n, GENERATE_ARRAY(0, 9, 1)) "
        "OPTIONS (require_partition_filter = TRUE)"
    )
    with refused("invalidQuery", 400):
        shop.query("SELECT n FROM t")
    assert shop.rows("SELECT n FROM t WHERE n = 3") == []
    assert shop.client.get_table(shop.table("t")).require_partition_filter


@OPTIONS
def test_the_expiration_of_partitions_is_set_changed_and_taken_back(shop: Shop) -> None:
    shop.query("CREATE TABLE t (day DATE) PARTITION BY day OPTIONS (partition_expiration_days = 3)")

    def milliseconds() -> int | None:
        partitioning = shop.client.get_table(shop.table("t")).time_partitioning
        expiration: int | None = partitioning.expiration_ms
        return expiration

    day = 24 * 3600 * 1000
    assert milliseconds() == 3 * day
    shop.query("ALTER TABLE t SET OPTIONS (partition_expiration_days = 7)")
    assert milliseconds() == 7 * day
    shop.query("ALTER TABLE t SET OPTIONS (description = 'days')")
    assert milliseconds() == 7 * day
    shop.query("ALTER TABLE t SET OPTIONS (partition_expiration_days = NULL)")
    assert milliseconds() is None


@OPTIONS
@pytest.mark.parametrize("by", ["", "PARTITION BY RANGE_BUCKET(n, GENERATE_ARRAY(0, 9, 1))"])
def test_only_partitions_by_time_expire(shop: Shop, by: str) -> None:
    shop.query(f"CREATE TABLE t (n INT64) {by}")
    with refused("invalidQuery", 400):
        shop.query("ALTER TABLE t SET OPTIONS (partition_expiration_days = 7)")
