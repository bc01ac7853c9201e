"""`report`: print the standard reports from the warehouse."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, TypeVar

import click

from techmart_fast.cli.framework import Group
from techmart_fast.cli.invocation import Invocation

F = TypeVar("F", bound=Callable[..., Any])

DAY = click.DateTime(formats=["%Y-%m-%d"])
PERIODS = ("daily", "weekly", "monthly", "quarterly", "yearly")
Period = Literal["daily", "weekly", "monthly", "quarterly", "yearly"]


@click.group(cls=Group)
def report() -> None:
    """Print the standard reports from the warehouse.

    On a terminal a report shows its main columns and the first rows. `--json` and `--csv` give all
    columns and, unless --limit says otherwise, all rows. Money is in US dollars.
    """


def _form_options(function: F) -> F:
    for option in (
        click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with all columns."),
        click.option(
            "--json", "as_json", is_flag=True, help="Print a JSON array of objects, all columns."
        ),
        click.option(
            "--limit",
            type=click.IntRange(min=1),
            metavar="N",
            help="At most so many rows: the newest, or the highest.",
        ),
    ):
        function = option(function)
    return function


def _day_options(function: F) -> F:
    until = click.option("--until", type=DAY, metavar="DAY", help="Last day (2024-12-31).")
    since = click.option("--since", type=DAY, metavar="DAY", help="First day (2024-12-01).")
    return since(until(function))


def _print(invocation: Invocation, kind: str, **choice: Any) -> int:
    from techmart_fast.cli.reporting import ReportRequest, print_report

    for bound in ("since", "until"):
        moment: datetime | None = choice.get(bound)
        choice[bound] = moment.date() if moment else None
    as_csv, as_json = choice.pop("as_csv"), choice.pop("as_json")
    if as_csv and as_json:
        raise click.UsageError("--csv and --json can't be used together.")
    choice["form"] = "csv" if as_csv else "json" if as_json else "table"
    return print_report(ReportRequest(kind=kind, **choice), invocation.settings())


@report.command(
    "daily-sales",
    examples=(
        ("The newest days", "report daily-sales"),
        ("A month, for a script", "report daily-sales --since 2024-12-01 --json"),
    ),
)
@_form_options
@_day_options
@click.pass_obj
def daily_sales(invocation: Invocation, /, **choice: Any) -> int:
    """Revenue, orders and customers by day.

    With refunds and other statuses, currencies, payment methods, top products, data quality.
    """
    return _print(invocation, "daily-sales", **choice)


@report.command(
    examples=(
        ("The ten best customers", "report users --limit 10"),
        ("Everybody, into a spreadsheet", "report users --csv > users.csv"),
    ),
)
@_form_options
@click.pass_obj
def users(invocation: Invocation, /, **choice: Any) -> int:
    """Spending, orders and segment of each user.

    With lifetime value, preferences and churn risk. E-mail addresses are masked.
    """
    return _print(invocation, "users", **choice)


@report.command(
    examples=(
        ("The best sellers", "report products --limit 20"),
        ("All of them, for a script", "report products --json"),
    ),
)
@_form_options
@click.pass_obj
def products(invocation: Invocation, /, **choice: Any) -> int:
    """Revenue, rank and margin of each product.

    With refunds, inventory turnover, trend and performance tier.
    """
    return _print(invocation, "products", **choice)


@report.command(
    examples=(
        ("Months", "report financials --period monthly"),
        ("Years, with regions and tiers", "report financials --period yearly --json"),
    ),
)
@click.option(
    "--period",
    "report_type",
    type=click.Choice(PERIODS),
    help="One length of period. Without it: all of them.",
)
@_form_options
@_day_options
@click.pass_obj
def financials(invocation: Invocation, /, **choice: Any) -> int:
    """Revenue, costs and profit by period.

    With revenue by region, customer tier, payment method and currency.
    """
    return _print(invocation, "financials", **choice)
