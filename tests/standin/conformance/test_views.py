"""Views: what they read, what is kept of them, what they refuse."""

import pytest
from google.api_core.exceptions import BadRequest
from google.cloud import bigquery

from tests.standin.conformance.asking import done, refused
from tests.standin.conftest import Shop

VIEWS = pytest.mark.page("https://cloud.google.com/bigquery/docs/views")
INTRO = pytest.mark.page("https://cloud.google.com/bigquery/docs/views-intro#view_limitations")
CREATE = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/reference/standard-sql/data-definition-language"
    "#create_view_statement"
)
METADATA = pytest.mark.page("https://cloud.google.com/bigquery/docs/view-metadata")
UPDATES = pytest.mark.page("https://cloud.google.com/bigquery/docs/updating-views")


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    """A table `t` with ids 1, 2 and the view `v` of its rows beyond 1."""
    shop.query(f"""CREATE TABLE t AS SELECT id, id * 10 AS n FROM UNNEST([1, 2]) AS id;
        CREATE VIEW v AS SELECT id, n FROM {shop.dataset}.t WHERE id > 1""")
    return shop


def put_view(shop: Shop, name: str, query: str) -> bigquery.Table:
    view = bigquery.Table(shop.table(name))
    view.view_query = query
    return shop.client.create_table(view, retry=None)


@VIEWS
def test_a_view_shows_what_its_tables_hold_now(stocked: Shop) -> None:
    assert stocked.rows("SELECT * FROM v") == [(2, 20)]
    stocked.query("INSERT INTO t (id, n) VALUES (3, 30); DELETE FROM t WHERE id = 2")
    assert stocked.rows("SELECT * FROM v") == [(3, 30)]


@VIEWS
def test_a_view_of_views(stocked: Shop) -> None:
    put_view(stocked, "w", f"SELECT SUM(n) AS total FROM `{stocked.dataset}.v`")
    put_view(stocked, "x", f"SELECT total + 1 AS more FROM `{stocked.table('w')}`")
    assert stocked.rows("SELECT more, total, id FROM x, w, v") == [(21, 20, 2)]


@INTRO
def test_a_view_keeps_its_columns_when_its_table_has_more(stocked: Shop) -> None:
    put_view(stocked, "all_of_it", f"SELECT * FROM {stocked.dataset}.t")
    stocked.query("ALTER TABLE t ADD COLUMN more STRING")
    schema = stocked.client.get_table(stocked.table("all_of_it")).schema
    assert [one.name for one in schema] == ["id", "n"]


@VIEWS
def test_a_view_without_its_table_is_there_but_can_not_be_read(stocked: Shop) -> None:
    stocked.query("DROP TABLE t")
    assert stocked.client.get_table(stocked.table("v")).table_type == "VIEW"
    with refused("notFound", 404, match=r"\bt\b"):
        stocked.query("SELECT * FROM v")
    stocked.query("CREATE TABLE t AS SELECT 7 AS id, 8 AS n")
    assert stocked.rows("SELECT * FROM v") == [(7, 8)]


@VIEWS
def test_a_view_of_a_column_that_is_gone_is_invalid(stocked: Shop) -> None:
    stocked.query("CREATE OR REPLACE TABLE t AS SELECT 7 AS id")
    with refused("invalidQuery"):
        stocked.query("SELECT * FROM v")


@CREATE
def test_a_view_exists_once(stocked: Shop) -> None:
    with refused("duplicate", 409):
        stocked.query("CREATE VIEW v AS SELECT 1 AS a")
    with refused("duplicate", 409):
        put_view(stocked, "v", "SELECT 1 AS a")
    done(stocked, "CREATE VIEW IF NOT EXISTS v AS SELECT 1 AS a")
    assert stocked.rows("SELECT id FROM v") == [(2,)]
    done(stocked, "CREATE OR REPLACE VIEW v AS SELECT 1 AS a")
    assert stocked.rows("SELECT * FROM v") == [(1,)]


@CREATE
def test_options_of_a_view(shop: Shop) -> None:
    shop.query("""CREATE VIEW v OPTIONS (description = 'One', labels = [('a', 'b')],
        friendly_name = 'The one') AS SELECT 1 AS a""")
    view = shop.client.get_table(shop.table("v"))
    assert (view.description, view.labels, view.friendly_name) == ("One", {"a": "b"}, "The one")


@CREATE
@pytest.mark.parametrize(
    "query", ["SELECT 1", "SELECT 1 AS a, 2 AS a", "SELECT nope", "SELECT a FROM", "SELECT @p AS a"]
)
def test_a_wrong_query_makes_no_view(shop: Shop, query: str) -> None:
    with refused("invalidQuery"):
        shop.query(f"CREATE VIEW v AS {query}")
    assert list(shop.client.list_tables(shop.dataset)) == []


@CREATE
def test_a_view_of_a_missing_table_is_not_made(shop: Shop) -> None:
    with refused("notFound", 404):
        shop.query(f"CREATE VIEW v AS SELECT a FROM {shop.dataset}.nope")
    with refused("notFound", 404):
        put_view(shop, "v", f"SELECT a FROM {shop.dataset}.nope")


@METADATA
def test_metadata_of_a_view(stocked: Shop) -> None:
    view = stocked.client.get_table(stocked.table("v"))
    assert view.view_query == f"SELECT id, n FROM {stocked.dataset}.t WHERE id > 1"
    assert (view.table_type, view.view_use_legacy_sql) == ("VIEW", False)
    assert [(one.name, one.field_type) for one in view.schema] == [
        ("id", "INTEGER"), ("n", "INTEGER")
    ]  # fmt: skip
    listed = {one.table_id: one for one in stocked.client.list_tables(stocked.dataset)}
    assert (listed["v"].table_type, listed["t"].table_type) == ("VIEW", "TABLE")


@UPDATES
def test_a_views_query_and_properties_are_changed(stocked: Shop) -> None:
    view = stocked.client.get_table(stocked.table("v"))
    view.view_query = f"SELECT n AS only FROM {stocked.dataset}.t"
    view.description = "New"
    changed = stocked.client.update_table(view, ["view_query", "description"])
    assert ([one.name for one in changed.schema], changed.description) == (["only"], "New")
    assert stocked.rows("SELECT only FROM v ORDER BY only") == [(10,), (20,)]


@INTRO
def test_a_view_has_no_rows_of_its_own(stocked: Shop) -> None:
    view = stocked.client.get_table(stocked.table("v"))
    with pytest.raises(BadRequest):
        list(stocked.client.list_rows(view, retry=None))
    for disposition in ("WRITE_EMPTY", "WRITE_APPEND", "WRITE_TRUNCATE"):
        with pytest.raises(BadRequest):
            done(
                stocked,
                "SELECT 1 AS id",
                destination=view.reference,
                write_disposition=disposition,
            )


@VIEWS
def test_a_view_keeps_its_own_names_of_tables(stocked: Shop) -> None:
    other = f"{stocked.dataset}_other"
    stocked.client.create_dataset(other)
    stocked.query(f"CREATE TABLE {other}.t AS SELECT 99 AS id, 99 AS n")
    stocked.query(f"CREATE VIEW {other}.v AS SELECT id FROM {stocked.dataset}.v")
    assert stocked.rows(
        f"WITH t AS (SELECT 5 AS id) SELECT v.id, t.id AS own FROM {other}.v, t"
    ) == [(2, 5)]
