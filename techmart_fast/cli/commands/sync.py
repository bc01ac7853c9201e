"""`sync`: bring the warehouse up to date with PostgreSQL."""

from pathlib import Path

import click

from techmart_fast.cli.framework import Command
from techmart_fast.cli.invocation import Invocation


@click.command(
    cls=Command,
    examples=(
        ("Publish what an interrupted run left", "sync"),
        ("Compute every rollup anew", "sync --rebuild"),
        ("Repair the days that reconcile found different", "sync --republish"),
        ("Fill a new dataset", "sync --republish --all"),
    ),
)
@click.option(
    "--rebuild", is_flag=True, help="Compute all partials and rollups, touched by rows or not."
)
@click.option(
    "--republish",
    is_flag=True,
    help="Send PostgreSQL's rows of all days and keys that differ again; take out others.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="With --republish: send all rows, into a dataset that lacks published ones, too.",
)
@click.option(
    "--contract",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Data contract (TOML) that the shop is loaded with, if it is not the default one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.pass_obj
def sync(
    invocation: Invocation,
    *,
    rebuild: bool,
    republish: bool,
    everything: bool,
    contract: Path | None,
    as_json: bool,
) -> int:
    """Bring the warehouse up to date with PostgreSQL.

    Publishes what waits in the outbox and computes what it touches, without loading any feed.
    Interrupted at any point, it can be run again. The exit code is 5 if the warehouse could not be
    brought up to date, 6 if another run is at work.
    """
    if everything and not republish:
        raise click.UsageError("--all goes with --republish only.")
    from techmart_fast.cli.syncing import sync_and_tell

    return sync_and_tell(
        invocation.settings(),
        contract=contract,
        rebuild=rebuild,
        republish=republish,
        everything=everything,
        as_json=as_json,
        quiet=invocation.quiet,
    )
