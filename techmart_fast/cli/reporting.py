"""Prints the standard reports of the warehouse: JSON and CSV with everything, tables for people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

import pyarrow as pa
from rich.console import RenderableType
from rich.text import Text

from techmart_fast.cli.console import number, plain, show, table
from techmart_fast.cli.output import to_csv, to_json_lines, write_out
from techmart_fast.cli.runner import run_async
from techmart_fast.errors import ConfigError, ExitCode
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.settings import Settings
from techmart_fast.warehouse import ReportKind

SHOWN: Mapping[ReportKind, tuple[str, ...]] = {
    ReportKind.DAILY_SALES: (
        "date",
        "total_revenue",
        "total_transactions",
        "unique_customers",
        "average_order_value",
        "refunded_amount",
        "data_quality_score",
    ),
    ReportKind.USERS: (
        "user_id",
        "country",
        "customer_tier",
        "total_spent",
        "total_orders",
        "last_order_date",
        "rfm_segment",
        "churn_risk_score",
    ),
    ReportKind.PRODUCTS: (
        "product_id",
        "product_name",
        "category",
        "total_revenue",
        "total_orders",
        "refund_rate",
        "seasonal_trend",
        "performance_tier",
    ),
    ReportKind.FINANCIALS: (
        "report_type",
        "period_start",
        "gross_revenue",
        "refunds",
        "net_revenue",
        "gross_profit",
        "gross_margin",
        "net_profit",
    ),
}
"""The columns that fit a terminal; JSON and CSV have all."""

_HEADINGS = {
    "data_quality_score": "quality",
    "total_transactions": "orders",
    "total_orders": "orders",
    "unique_customers": "customers",
    "total_revenue": "revenue",
    "average_order_value": "average",
    "refunded_amount": "refunded",
    "customer_tier": "tier",
    "total_spent": "spent",
    "last_order_date": "last order",
    "rfm_segment": "segment",
    "churn_risk_score": "churn risk",
    "product_id": "product",
    "product_name": "name",
    "user_id": "user",
    "refund_rate": "refund rate",
    "seasonal_trend": "trend",
    "performance_tier": "tier ",
    "report_type": "period",
    "period_start": "from",
    "gross_revenue": "gross",
    "net_revenue": "net",
    "gross_profit": "profit",
    "gross_margin": "margin",
    "net_profit": "net profit",
}
_TABLE_ROWS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRequest:
    """What a `report` command was asked for. `since` and `until` are inclusive."""

    kind: str
    form: Literal["table", "json", "csv"] = "table"
    limit: int | None = None
    since: date | None = None
    until: date | None = None
    report_type: str | None = None


def print_report(request: ReportRequest, settings: Settings) -> int:
    """Print the report in the form asked for.

    Raises:
        TechmartError: the warehouse can't be reached or asked.
    """
    if request.since and request.until and request.since > request.until:
        raise ConfigError("--since is after --until.")
    limit = request.limit
    if request.form == "table" and limit is None:
        # One more than is shown tells whether there are more.
        limit = _TABLE_ROWS + 1
    found = run_async(lambda: _fetch(request, settings, limit))
    if request.form == "json":
        write_out(to_json_lines(found.to_pylist()))
    elif request.form == "csv":
        write_out(to_csv(found.column_names, found.to_pylist()))
    else:
        show(*for_people(request, found))
    return ExitCode.DONE


async def _fetch(request: ReportRequest, settings: Settings, limit: int | None) -> pa.Table:
    async with open_sinks(settings, postgres=False) as sinks:
        await sinks.warehouse.ensure()
        return await sinks.warehouse.report(
            ReportKind(request.kind),
            limit=limit,
            since=request.since,
            until=request.until,
            report_type=request.report_type,
        )


def for_people(request: ReportRequest, found: pa.Table) -> Sequence[RenderableType]:
    """The main columns of the first rows, as parts to print below each other."""
    if not found.num_rows:
        return ["Nothing to report: the warehouse has no such rows. Load some: techmart-fast run"]
    kind = ReportKind(request.kind)
    more = request.limit is None and found.num_rows > _TABLE_ROWS
    if more:
        # Reports in order of time end with the newest: those are shown.
        in_time = kind in {ReportKind.DAILY_SALES, ReportKind.FINANCIALS}
        found = found.slice(1 if in_time else 0, _TABLE_ROWS)
    shown = SHOWN[kind]
    numeric = [_heading(name) for name in shown if _is_number(found.schema.field(name).type)]
    made = table(*(_heading(name) for name in shown), right=numeric)
    for row in found.select(list(shown)).to_pylist():
        made.add_row(*(_cell(row[name]) for name in shown))
    note = f"{found.num_rows} rows, {len(shown)} of {found.num_columns} columns; money in USD. "
    if more:
        note = f"There is more than these {note}"
    return [made, Text(), Text(f"{note}All of it: --json or --csv.", style="dim")]


def _heading(column: str) -> str:
    return _HEADINGS.get(column, column)


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_decimal(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    )


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return number(value)
    return plain(str(value))
