"""Queries asked again: a plan that is kept is of use only while nothing has changed."""

import pytest
from google.cloud import bigquery

from techmart_fast.standin.sql import plans
from tests.standin.conftest import Shop

QUERY = "SELECT * FROM t WHERE n > @least ORDER BY n"


@pytest.fixture
def analysed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was analysed, rather than found among the plans."""
    seen: list[object] = []
    analyse = plans.analyse_query

    def counted(*given: object) -> object:
        seen.append(given)
        return analyse(*given)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(plans, "analyse_query", counted)
    return seen


def asked(shop: Shop, least: int = 0, kind: str = "INT64") -> list[tuple[object, ...]]:
    return shop.rows(QUERY, bigquery.ScalarQueryParameter("least", kind, least))


def test_the_same_query_is_analysed_once_and_has_its_own_parameters(
    shop: Shop, analysed: list[object]
) -> None:
    shop.query("CREATE TABLE t AS SELECT n FROM UNNEST([1, 2, 3]) AS n")
    assert asked(shop) == [(1,), (2,), (3,)]
    assert asked(shop, least=2) == [(3,)]
    assert len(analysed) == 1
    # A parameter of another type may be another query.
    assert asked(shop, least=1, kind="FLOAT64") == [(2,), (3,)]
    assert len(analysed) == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("INSERT INTO t VALUES (7)", [(1,), (7,)]),
        ("ALTER TABLE t ADD COLUMN more STRING", [(1, None)]),
        ("CREATE OR REPLACE TABLE t AS SELECT 'other' AS name, 5 AS n", [("other", 5)]),
        ("DROP TABLE t; CREATE VIEW t AS SELECT 9 AS n", [(9,)]),
    ],
)
def test_a_changed_table_is_looked_at_again(
    shop: Shop, change: str, expected: list[tuple[object, ...]]
) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS n")
    assert asked(shop) == [(1,)]
    shop.query(change)
    assert asked(shop) == expected


def test_a_changed_view_is_looked_at_again(shop: Shop, analysed: list[object]) -> None:
    shop.query("CREATE TABLE base AS SELECT 1 AS n")
    inside = f"VIEW inside AS SELECT n + {{}} AS n FROM {shop.dataset}.base"
    shop.query("CREATE " + inside.format(0))
    shop.query(f"CREATE VIEW t AS SELECT n FROM {shop.dataset}.inside")
    assert asked(shop) == asked(shop) == [(1,)]
    shop.query("CREATE OR REPLACE " + inside.format(1))
    assert asked(shop) == [(2,)]
    assert len(analysed) == 3


def test_the_same_text_means_the_tables_of_its_own_dataset(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS n")
    assert asked(shop) == [(1,)]
    other = f"{shop.dataset}_other"
    shop.client.create_dataset(other)
    second = Shop(shop.client, other)
    second.query("CREATE TABLE t AS SELECT 2 AS n")
    assert asked(second) == [(2,)]


def test_the_limit_of_bytes_is_heeded_by_a_kept_plan(shop: Shop) -> None:
    shop.query("CREATE TABLE t AS SELECT 1 AS n")
    shop.query("SELECT n FROM t")
    job = shop.job("SELECT n FROM t", maximum_bytes_billed=1 << 20)
    assert job.exception() is not None
    assert shop.job("SELECT n FROM t", dry_run=True).total_bytes_processed == 8
