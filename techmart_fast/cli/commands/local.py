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


@local.command(
    examples=(
        ("A stand-in for BigQuery on a port of your choice", "local bigquery --port 9050"),
        ("For a script: its address as JSON, then it runs on", "local bigquery --json"),
    )
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
@click.option("--faults", is_flag=True, help="Let tests ask it for faults (docs/stand-in.md).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when it is ready.")
@click.pass_obj
def bigquery(invocation: Invocation, *, port: int, faults: bool, as_json: bool) -> int:
    """Run the stand-in for BigQuery for tools of your own.

    It runs until Ctrl-C, and is the warehouse of this home: what `run` published is there. It is
    not BigQuery.
    """
    from techmart_fast.cli.standin import serve_stand_in

    return serve_stand_in(invocation.settings(), port=port, faults=faults, as_json=as_json)
