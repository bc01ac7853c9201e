"""The schema file: what it declares, and how missing tables and columns are brought."""

import hashlib
from dataclasses import replace

import pyarrow as pa
import pytest

from techmart_fast.warehouse.schema import Column, declared
from techmart_fast.warehouse.spool import LOAD_SCHEMAS
from techmart_fast.warehouse.sql_types import arrow_schema, arrow_type, load_field

TABLES = [
    "transactions",
    "rejected_transactions",
    "users",
    "products",
    "partial_totals",
    "partial_orders",
    "partial_users",
    "partial_products",
    "partial_finances",
    "orders_by_user",
    "orders_by_product",
    "daily_sales_summary",
    "user_analytics",
    "product_performance",
    "financial_reports",
    "data_quality_metrics",
    "pipeline_monitoring",
]
VIEWS = ["transactions_enriched", "daily_kpis", "top_customers", "product_rankings"]


def test_the_file_declares_all_tables_then_all_views() -> None:
    assert list(declared()) == [*TABLES, *VIEWS]
    assert [one.name for one in declared().values() if one.is_view] == VIEWS


def test_every_table_has_a_description_and_money_is_numeric() -> None:
    for one in declared().values():
        assert 'description = "' in one.sql
        assert "FLOAT" not in one.sql


@pytest.mark.parametrize(
    ("table", "clause"),
    [
        ("transactions", "PARTITION BY transaction_date\nCLUSTER BY user_id, product_id"),
        ("daily_sales_summary", "PARTITION BY date"),
        (
            "user_analytics",
            "PARTITION BY DATE_TRUNC(registration_date, MONTH)\nCLUSTER BY customer_tier, country",
        ),
        ("product_performance", "CLUSTER BY category, performance_tier"),
        ("financial_reports", "PARTITION BY period_start\nCLUSTER BY report_type"),
    ],
)
def test_partitions_and_clusters_are_those_of_the_domain(table: str, clause: str) -> None:
    assert clause in declared()[table].sql


@pytest.mark.parametrize("table", list(LOAD_SCHEMAS))
def test_spooled_files_have_the_columns_of_their_table(table: str) -> None:
    columns = declared()[table].columns
    spooled = LOAD_SCHEMAS[table]
    assert arrow_schema(columns).names == spooled.names
    assert [field.type for field in arrow_schema(columns)] == [field.type for field in spooled]
    assert [not column.required for column in columns] == [field.nullable for field in spooled]


def test_a_view_names_the_dataset_that_is_used() -> None:
    assert "FROM `other`.user_analytics" in declared()["top_customers"].create("other")
    assert declared()["transactions"].create("other") == declared()["transactions"].sql


def test_a_new_nullable_column_is_added_and_a_required_one_refused() -> None:
    table = declared()["users"]
    names = frozenset(column.name for column in table.columns)
    assert list(table.migrate(names)) == []
    assert list(table.migrate(names - {"age_group"})) == [
        "ALTER TABLE users ADD COLUMN IF NOT EXISTS age_group STRING"
    ]
    with pytest.raises(ValueError, match=r"users\.email is required"):
        list(table.migrate(names - {"email"}))


def test_the_facts_can_not_be_read_whole_by_mistake() -> None:
    guarded = {one.name for one in declared().values() if one.requires_partition_filter}
    assert guarded == {"transactions", "rejected_transactions"}
    facts = declared()["transactions"]
    names = frozenset(column.name for column in facts.columns)
    assert list(facts.migrate(names)) == [
        "ALTER TABLE transactions SET OPTIONS (require_partition_filter = TRUE)"
    ]


def test_types_are_read_with_their_precision() -> None:
    items = arrow_type("ARRAY<STRUCT<currency STRING, amount NUMERIC(18, 2)>>")
    inner = [pa.field("currency", pa.string()), pa.field("amount", pa.decimal128(18, 2))]
    assert items == pa.list_(pa.struct(inner))
    with pytest.raises(ValueError, match="FLOAT64"):
        arrow_type("FLOAT64")
    assert load_field(Column(name="a", type="NUMERIC(12, 2)", required=True)) == {
        "name": "a",
        "type": "NUMERIC",
        "mode": "REQUIRED",
        "precision": "12",
        "scale": "2",
    }


def test_a_changed_statement_has_a_new_version() -> None:
    """Raise `schema_version` with the change, then put the new digest here."""
    shown = {one.name: (one.version, _digest(one.sql)) for one in declared().values()}
    assert shown == PUBLISHED


def test_the_digest_sees_a_change() -> None:
    table = declared()["users"]
    assert _digest(replace(table, sql=table.sql + " ").sql) != _digest(table.sql)


def _digest(sql: str) -> str:
    return hashlib.sha256(sql.encode()).hexdigest()[:12]


PUBLISHED = {
    "transactions": (2, "ca0c0f55ca17"),
    "rejected_transactions": (2, "cdb3095aa574"),
    "users": (1, "c00dc1dd53cc"),
    "products": (1, "c329e05201a8"),
    "partial_totals": (1, "c74aa6528049"),
    "partial_orders": (1, "33ddef53d11a"),
    "partial_users": (2, "9b3fb48426cc"),
    "partial_products": (2, "494823f09c24"),
    "partial_finances": (1, "76107ea0eec5"),
    "orders_by_user": (1, "dd288108f81d"),
    "orders_by_product": (1, "cc48adee28db"),
    "daily_sales_summary": (1, "d45e33b36ed2"),
    "user_analytics": (2, "210c8d79b963"),
    "product_performance": (2, "6bddac02a753"),
    "financial_reports": (1, "15ddfc198392"),
    "data_quality_metrics": (1, "e259d121cfe2"),
    "pipeline_monitoring": (1, "f08b0572e134"),
    "transactions_enriched": (1, "d2911c8767ce"),
    "daily_kpis": (1, "8179595a19a6"),
    "top_customers": (1, "c7ef1d5e7906"),
    "product_rankings": (1, "08cb31c01b63"),
}
