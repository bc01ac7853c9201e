"""Guards: required partition filters and etags."""

import datetime as dt

import pyarrow as pa
import pytest
from google.cloud import bigquery

from tests.standin.conformance.asking import done, refused
from tests.standin.conftest import Shop

FILTER = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/querying-partitioned-tables#require_a_partition_filter"
)
UPDATES = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/managing-partitioned-tables#require_filter"
)
ETAGS = pytest.mark.page("https://cloud.google.com/bigquery/docs/reference/rest/v2/tables/patch")
DATASETS = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets/patch"
)


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    """`t`, partitioned by `day`, with three rows on two days; its queries need a filter."""
    shop.query("""CREATE TABLE t (id INT64, day DATE) PARTITION BY day
          OPTIONS (require_partition_filter = TRUE);
        INSERT INTO t (id, day) VALUES (1, '2024-01-31'), (2, '2024-02-01'), (3, '2024-02-01')""")
    return shop


@FILTER
@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("day = '2024-02-01'", 2),
        ("day >= DATE '2024-02-01' AND id = 3", 1),
        ("id = 3 AND (day > '2024-01-01' AND day < '2024-12-31')", 1),
        ("day BETWEEN '2024-01-01' AND '2024-01-31'", 1),
        ("day IN ('2024-01-31', '2024-02-01')", 3),
        ("day = '2024-01-31' OR day = '2024-02-01'", 3),
        ("day IS NULL", 0),
        ("day = @day", 2),
    ],
)
def test_a_filter_on_the_partition_column_is_enough(
    stocked: Shop, condition: str, count: int
) -> None:
    given = bigquery.ScalarQueryParameter("day", "DATE", dt.date(2024, 2, 1))
    assert stocked.value(f"SELECT COUNT(*) FROM t WHERE {condition}", given) == count


UNFILTERED = [
    "SELECT * FROM t",
    "SELECT COUNT(*) FROM t",
    "SELECT * FROM t WHERE id = 1",
    "SELECT * FROM t WHERE day = '2024-02-01' OR id = 1",
    "SELECT * FROM t WHERE day = '2024-02-01' UNION ALL SELECT * FROM t",
    "SELECT x.id FROM (SELECT * FROM t WHERE day = '2024-02-01') AS x JOIN t AS y USING (id)",
    "WITH w AS (SELECT * FROM t) SELECT id FROM w",
    "SELECT 1 IN (SELECT id FROM t)",
    "CREATE TABLE u AS SELECT * FROM t",
    "INSERT INTO t (id, day) SELECT id, day FROM t",
    "UPDATE t SET id = 0 WHERE TRUE",
    "DELETE FROM t WHERE id = 1",
    "MERGE t USING (SELECT 1 AS id) AS s ON t.id = s.id WHEN MATCHED THEN DELETE",
]


@FILTER
@pytest.mark.parametrize("sql", UNFILTERED)
def test_without_a_filter_nothing_runs(stocked: Shop, sql: str) -> None:
    for dry in (True, False):
        with refused("invalidQuery", match="without a filter over column"):
            done(stocked, sql, dry_run=dry)
    assert stocked.value("SELECT SUM(id) FROM t WHERE day > '2000-01-01'") == 6
    assert [one.table_id for one in stocked.client.list_tables(stocked.dataset)] == ["t"]


@FILTER
@pytest.mark.parametrize(
    "view", ["SELECT * FROM {}.t", "SELECT id, day AS d FROM {}.t WHERE id > 0"]
)
def test_a_view_does_not_hide_the_table(stocked: Shop, view: str) -> None:
    stocked.query(f"CREATE VIEW v AS {view.format(stocked.dataset)}")
    stocked.query(f"CREATE VIEW w AS SELECT * FROM {stocked.dataset}.v")
    for name in ("v", "w"):
        with refused("invalidQuery", match="without a filter over column"):
            stocked.query(f"SELECT COUNT(*) FROM {name}")
    column = "d" if "AS d" in view else "day"
    assert stocked.value(f"SELECT COUNT(*) FROM w WHERE {column} = '2024-02-01'") == 2


@FILTER
def test_a_filter_inside_a_view_is_enough(stocked: Shop) -> None:
    stocked.query(
        f"CREATE VIEW v AS SELECT * FROM {stocked.dataset}.t WHERE day > DATE '2024-01-31'"
    )
    assert stocked.value("SELECT COUNT(*) FROM v") == 2


@FILTER
def test_writing_without_reading_needs_no_filter(stocked: Shop) -> None:
    stocked.query("INSERT INTO t (id, day) VALUES (4, '2024-02-02')")
    kinds = pa.schema([("id", pa.int64()), ("day", pa.date32())])
    rows = pa.Table.from_pylist([{"id": 5, "day": dt.date(2024, 2, 2)}], kinds)
    stocked.load(rows, "t")
    assert stocked.value("SELECT COUNT(*) FROM t WHERE day = '2024-02-02'") == 2


@UPDATES
def test_the_requirement_is_given_up_and_taken_up_by_the_api(stocked: Shop) -> None:
    table = stocked.client.get_table(stocked.table("t"))
    table.require_partition_filter = False
    table = stocked.client.update_table(table, ["require_partition_filter"])
    assert stocked.value("SELECT COUNT(*) FROM t") == 3
    table.require_partition_filter = True
    stocked.client.update_table(table, ["require_partition_filter"])
    with refused("invalidQuery"):
        stocked.value("SELECT COUNT(*) FROM t")


CHANGES = [
    "ALTER TABLE t SET OPTIONS (description = 'newer')",
    "ALTER TABLE t ADD COLUMN more STRING",
    "ALTER TABLE t SET OPTIONS (partition_expiration_days = 3)",
    "CREATE OR REPLACE TABLE t (id INT64)",
]


@ETAGS
@pytest.mark.parametrize("change", CHANGES)
def test_a_table_that_has_changed_meanwhile_is_not_patched(stocked: Shop, change: str) -> None:
    stale = stocked.client.get_table(stocked.table("t"))
    stocked.query(change)
    now = stocked.client.get_table(stale.reference)
    assert now.etag != stale.etag
    stale.description = "older"
    with refused("conditionNotMet", 412):
        stocked.client.update_table(stale, ["description"], retry=None)
    assert stocked.client.get_table(stale.reference).description == now.description


@ETAGS
def test_every_patch_has_a_new_etag(stocked: Shop) -> None:
    table = stocked.client.get_table(stocked.table("t"))
    seen = {table.etag}
    for text in ("one", "two", "one"):
        table.description = text
        table = stocked.client.update_table(table, ["description"])
        seen.add(table.etag)
    assert len(seen) == 4
    assert stocked.client.get_table(table.reference).etag == table.etag


@ETAGS
def test_a_patch_without_an_etag_is_unconditional(stocked: Shop) -> None:
    blind = bigquery.Table(stocked.table("t"))
    blind.description = "blind"
    assert stocked.client.update_table(blind, ["description"]).description == "blind"


@DATASETS
def test_a_dataset_that_has_changed_meanwhile_is_not_patched(shop: Shop) -> None:
    stale, fresh = (shop.client.get_dataset(shop.dataset) for _ in range(2))
    fresh.description = "newer"
    shop.client.update_dataset(fresh, ["description"])
    stale.description = "older"
    with refused("conditionNotMet", 412):
        shop.client.update_dataset(stale, ["description"], retry=None)
    assert shop.client.get_dataset(shop.dataset).description == "newer"


LABELS = pytest.mark.page("https://cloud.google.com/bigquery/docs/labels-intro#requirements")
LENGTH = pytest.mark.page("https://cloud.google.com/bigquery/quotas#query_jobs")


@LABELS
@pytest.mark.parametrize(
    "labels",
    [{"App": "x"}, {"app": "X"}, {"app": "a b"}, {"1app": "x"}, {"a" * 64: "x"}, {"a": "x" * 64}],
    ids=["capital key", "capital value", "space", "digit first", "long key", "long value"],
)
def test_malformed_labels_are_refused(shop: Shop, labels: dict[str, str]) -> None:
    with refused("invalid", match="Label"):
        done(shop, "SELECT 1", labels=labels)
    table = bigquery.Table(
        f"{shop.client.project}.{shop.dataset}.labelled",
        schema=[bigquery.SchemaField("a", "INT64")],
    )
    table.labels = labels
    with refused("invalid", match="Label"):
        shop.client.create_table(table)


@LABELS
def test_labels_may_hold_letters_of_any_script(shop: Shop) -> None:
    labels = {"größe": "größer_1-2", "app": ""}
    assert done(shop, "SELECT 1", labels=labels).labels == labels


@LENGTH
def test_a_query_of_more_than_a_mebi_character_is_refused(shop: Shop) -> None:
    filler = "-" * (1 << 20)
    with refused("invalid", match="query is too large"):
        done(shop, f"SELECT 1 --{filler}")
    assert done(shop, f"SELECT 1 --{filler[20:]}")
