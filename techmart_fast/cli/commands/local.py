"""`local`: start and stop the embedded parts."""

import click

from techmart_fast.cli.framework import Group
from techmart_fast.cli.invocation import Invocation


@click.group(cls=Group)
def local() -> None:
    """Start and stop the embedded PostgreSQL and stand-in.

    They are a PostgreSQL server and a stand-in for BigQuery. Every command starts them by itself
    when it needs them, and they end with it. `local start` keeps them running, so that other
    programs can connect and commands begin sooner.
    """


@local.command(examples=(("Keep both running", "local start"),))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def start(invocation: Invocation, *, as_json: bool) -> int:
    """Start the embedded parts and keep them running."""
    from techmart_fast.cli.embedded import print_start

    return print_start(invocation.settings(), as_json=as_json)


@local.command(examples=(("Stop what `local start` keeps", "local stop"),))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def stop(invocation: Invocation, *, as_json: bool) -> int:
    """Stop what `local start` keeps running.

    Parts that another command still uses stop with that command.
    """
    from techmart_fast.cli.embedded import print_stop

    return print_stop(invocation.settings(), as_json=as_json)


@local.command(examples=(("What runs now, and how to connect", "local status"),))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def status(invocation: Invocation, *, as_json: bool) -> int:
    """Show what runs now and how to connect to it. Starts nothing."""
    from techmart_fast.cli.embedded import print_local_status

    return print_local_status(invocation.settings(), as_json=as_json)


@local.command(
    context_settings={"ignore_unknown_options": True},
    examples=(
        ("An SQL shell on the embedded database", "local psql"),
        ("One statement", "local psql -- -c 'select count(*) from transactions'"),
    ),
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def psql(invocation: Invocation, *, arguments: tuple[str, ...]) -> int:
    """Open psql on the embedded database.

    ARGUMENTS after `--` are psql's own. The server is started if it does not run.
    """
    from techmart_fast.cli.embedded import open_psql

    return open_psql(invocation.settings(), arguments)
