"""`status`: past runs and what is stored."""

import click

from techmart_fast.cli.framework import Command
from techmart_fast.cli.invocation import Invocation


@click.command(
    cls=Command,
    examples=(
        ("The newest runs, and what is stored", "status"),
        ("For a script", "status --limit 1 --json"),
    ),
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    metavar="N",
    help="At most so many runs, the newest first.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def status(invocation: Invocation, *, limit: int, as_json: bool) -> int:
    """Show past runs and what is stored.

    It also tells what is held, and whether the warehouse is behind. The exit code is 5 if committed
    rows wait for the warehouse and no run is at work on them.
    """
    from techmart_fast.cli.standing import print_status

    return print_status(invocation.settings(), limit=limit, as_json=as_json)
