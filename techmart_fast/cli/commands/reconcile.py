"""`reconcile`: compare PostgreSQL and the warehouse."""

from datetime import datetime

import click

from techmart_fast.cli.framework import Command
from techmart_fast.cli.invocation import Invocation

DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command(
    cls=Command,
    examples=(
        ("Everything", "reconcile"),
        ("One month", "reconcile --since 2024-12-01 --until 2024-12-31"),
        ("For a script, with every day that differs", "reconcile --json --quiet"),
    ),
)
@click.option("--since", type=DAY, metavar="DAY", help="First day of transactions (2024-12-01).")
@click.option("--until", type=DAY, metavar="DAY", help="Last day of transactions (2024-12-31).")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.pass_obj
def reconcile(
    invocation: Invocation, *, since: datetime | None, until: datetime | None, as_json: bool
) -> int:
    """Compare PostgreSQL and the warehouse.

    Counts, money and a hash of every row, by day; users and products by bucket of their keys. Rows
    that only wait to be published are told apart. The exit code is 0 if all is equal, else 5.
    Nothing is changed; `sync` publishes what waits, `sync --republish` repairs what differs.
    """
    from techmart_fast.cli.reconciling import print_reconciliation

    return print_reconciliation(
        invocation.settings(),
        since=since.date() if since else None,
        until=until.date() if until else None,
        as_json=as_json,
        quiet=invocation.quiet,
    )
