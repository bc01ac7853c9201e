"""`doctor`: check the installation, the settings and the connections."""

from pathlib import Path

import click

from techmart_fast.cli.framework import Command
from techmart_fast.cli.invocation import Invocation


@click.command(
    cls=Command,
    examples=(
        ("Check everything", "doctor"),
        ("A contract before its first run", "doctor --contract shop.toml"),
    ),
)
@click.option(
    "--contract",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Check this data contract too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of checks.")
@click.pass_obj
def doctor(invocation: Invocation, *, contract: Path | None, as_json: bool) -> int:
    """Check settings and connections, and say what to do.

    It checks the installation, the settings, the home folder, the database, the warehouse and the
    contract. Each line says ok, warn or fail. The exit code is 0 unless something fails.
    """
    from techmart_fast.cli.checkup import print_checkup

    return print_checkup(invocation, contract=contract, as_json=as_json)
