"""The standard reports: which rollup each one reads, in which order, with which columns."""

from datetime import date
from enum import StrEnum

import pyarrow as pa

from techmart_fast.warehouse.schema import declared
from techmart_fast.warehouse.sql_types import arrow_schema
from techmart_fast.warehouse.statements import Scalar, Statement, statement

_NO_LIMIT = 1 << 62


class ReportKind(StrEnum):
    """Standard reports, as the command line names them."""

    DAILY_SALES = "daily-sales"
    USERS = "users"
    PRODUCTS = "products"
    FINANCIALS = "financials"


ROLLUPS = {
    ReportKind.DAILY_SALES: "daily_sales_summary",
    ReportKind.USERS: "user_analytics",
    ReportKind.PRODUCTS: "product_performance",
    ReportKind.FINANCIALS: "financial_reports",
}
"""The table behind each report; columns that only the next refresh needs are not in it."""


def report_statement(
    kind: ReportKind,
    *,
    limit: int | None,
    since: date | None,
    until: date | None,
    report_type: str | None,
) -> Statement:
    """The query of a report."""
    return statement(
        f"queries/report_{kind.value.replace('-', '_')}",
        parameters={
            "row_limit": Scalar("INT64", _NO_LIMIT if limit is None else limit),
            "since": Scalar("DATE", since or date.min),
            "until": Scalar("DATE", until or date.max),
            "report_type": Scalar("STRING", report_type or ""),
        },
    )


def typed_report(kind: ReportKind, rows: pa.Table) -> pa.Table:
    """The rows with the declared types: the service answers every NUMERIC with nine decimals."""
    shown = [one for one in declared()[ROLLUPS[kind]].columns if one.name in rows.column_names]
    return rows.cast(arrow_schema(shown))
