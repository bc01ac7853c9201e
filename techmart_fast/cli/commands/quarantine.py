"""`quarantine`: look at rejected records."""

import click

from techmart_fast.cli.framework import Group
from techmart_fast.cli.invocation import Invocation

FEEDS = ("users", "products", "transactions")


@click.group(cls=Group)
def quarantine() -> None:
    """Look at rejected records, with reason and place."""


@quarantine.command(
    "list",
    examples=(
        ("The first ones", "quarantine list"),
        (
            "One reason of one feed",
            "quarantine list --feed transactions --reason unknown_currency",
        ),
        ("For a script", "quarantine list --limit 1000 --json"),
    ),
)
@click.option("--feed", type=click.Choice(FEEDS), help="Of this feed only.")
@click.option("--reason", metavar="CODE", help="With this reason code only.")
@click.option("--source", metavar="NAME", help="From the file of this name (as given to run).")
@click.option("--run", metavar="ID", help="By this run only; the beginning of its id will do.")
@click.option(
    "--resolved", is_flag=True, help="Also those whose record was loaded later, corrected."
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="N",
    help="At most so many records.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of objects.")
@click.pass_obj
def list_records(
    invocation: Invocation,
    *,
    feed: str | None,
    reason: str | None,
    source: str | None,
    run: str | None,
    resolved: bool,
    limit: int,
    as_json: bool,
) -> int:
    """List rejected records, with number, reason and place.

    They come in source order. The bytes of one are shown by `quarantine show`.
    """
    from techmart_fast.cli.rejected import print_list

    return print_list(
        invocation.settings(),
        feed=feed,
        reason=reason,
        source=source,
        run=run,
        resolved=resolved,
        limit=limit,
        as_json=as_json,
    )


@quarantine.command(
    examples=(
        ("The record with number 7", "quarantine show 7"),
        ("For a script; the bytes as text, or base64", "quarantine show 7 --json"),
    ),
)
@click.argument("number", type=click.IntRange(min=0))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def show(invocation: Invocation, *, number: int, as_json: bool) -> int:
    """Show one rejected record with its raw bytes.

    NUMBER is the one that `quarantine list` gives it.
    """
    from techmart_fast.cli.rejected import print_record

    return print_record(invocation.settings(), number=number, as_json=as_json)
