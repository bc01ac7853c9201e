"""The root of the command line, where the outcome of every command becomes an exit code."""

import os
import sys
from collections.abc import Sequence

import click

from techmart_fast.cli.commands.dev import dev
from techmart_fast.cli.commands.doctor import doctor
from techmart_fast.cli.commands.local import local
from techmart_fast.cli.commands.quarantine import quarantine
from techmart_fast.cli.commands.reconcile import reconcile
from techmart_fast.cli.commands.report import report
from techmart_fast.cli.commands.run import run
from techmart_fast.cli.commands.status import status
from techmart_fast.cli.commands.sync import sync
from techmart_fast.cli.failures import report_failure
from techmart_fast.cli.framework import COMPLETION_VARIABLE, PROGRAM, Facts, Group
from techmart_fast.cli.invocation import Invocation
from techmart_fast.cli.streams import fill_closed_streams
from techmart_fast.errors import ExitCode
from techmart_fast.version import VERSION


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"{PROGRAM} {VERSION}")
        ctx.exit()


@click.group(
    cls=Group,
    facts=Facts(
        title="Exit codes",
        rows=(
            ("0", "done"),
            ("1", "failed"),
            ("2", "wrong usage, settings, contract or credentials"),
            ("3", "done, but the data quality FAILs a threshold"),
            ("4", "stopped by a limit (run --max-rejected)"),
            ("5", "the sinks differ, or the warehouse is behind"),
            ("6", "another run holds the lease"),
            ("130, 143", "stopped by Ctrl-C, or by SIGTERM; the next run carries on"),
        ),
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version.",
)
def cli() -> None:
    """Load shop feeds into PostgreSQL and BigQuery, exactly.

    Start with `techmart-fast run`: it loads the bundled sample, with no server and no cloud
    account. All local state lives in one folder (TECHMART_HOME, else ~/.techmart).
    """


for command in (run, report, status, reconcile, sync, quarantine, doctor, local, dev):
    cli.add_command(command)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line (`sys.argv` without `args`) and return the exit code."""
    fill_closed_streams()
    arguments = list(sys.argv[1:] if args is None else args)
    invocation = Invocation()
    try:
        if COMPLETION_VARIABLE in os.environ:
            cli.main(arguments, prog_name=PROGRAM, complete_var=COMPLETION_VARIABLE)
        # Not `cli.main`: it takes every EOFError and KeyboardInterrupt for the user's.
        with cli.make_context(PROGRAM, arguments, obj=invocation) as context:
            code = cli.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    # The outermost edge: whatever comes here must end as one line and an exit code.
    except (Exception, KeyboardInterrupt) as error:
        return report_failure(error, invocation, as_json=_wants_one_object(arguments))
    return code if isinstance(code, int) else ExitCode.DONE


def _wants_one_object(arguments: Sequence[str]) -> bool:
    """Whether this is `run --json`, told without parsing: parsing may be what failed."""
    return "run" in arguments[:1] and "--json" in arguments
