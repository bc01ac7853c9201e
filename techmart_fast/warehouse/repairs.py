"""Replaces parts of a table by PostgreSQL's rows of them, which lie in a group's staging table."""

from collections.abc import Collection
from datetime import date

from techmart_fast.fingerprints import Part
from techmart_fast.warehouse.groups import LoadGroup, LoadTable
from techmart_fast.warehouse.periods import chunks
from techmart_fast.warehouse.statements import Array, Statement, statement

_FOLLOWING = {LoadTable.USERS: "user_analytics", LoadTable.PRODUCTS: "product_performance"}


def replace_statements(group: LoadGroup, parts: Collection[Part]) -> list[Statement]:
    """The statements that replace days or buckets: one, unless it spans too many partitions.

    Each replaces what it names at once. Days and buckets that are not named stay as they are.
    """
    tables = {f"staging_{group.table}": group.staging_table}
    name = f"repair/{group.table}"
    if group.table in _FOLLOWING:
        buckets = sorted(part for part in parts if isinstance(part, int))
        return [statement(name, tables=tables, parameters={"buckets": Array("INT64", buckets)})]
    days = frozenset(part for part in parts if isinstance(part, date))
    return [statement(name, tables=tables, literals={"dates": piece}) for piece in chunks(days)]


def forget_statements(tables: Collection[LoadTable]) -> list[Statement]:
    """The statements that take keys out of the rollups whose users or products are gone."""
    return [
        statement(f"repair/{rollup}") for table, rollup in _FOLLOWING.items() if table in tables
    ]
