"""`dev`: sample shops and a catalogue to try out, the reference pages, shell completion."""

from pathlib import Path
from typing import Any

import click

from techmart_fast.cli.catalog_command import catalog_server
from techmart_fast.cli.framework import Facts, Group, Number
from techmart_fast.cli.invocation import Invocation

FORMATS = ("ndjson", "json", "csv")
COMPRESSIONS = ("none", "gzip", "zstd", "bz2")
DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.group(cls=Group)
def dev() -> None:
    """Generate shops to try out, and more for developers."""


@dev.command(
    examples=(
        ("A shop of a million transactions", "dev generate --transactions 1000000 --out shop"),
        (
            "A clean one, in pieces, compressed",
            "dev generate --defects 0 --split 20 --compression gzip --out pieces",
        ),
        (
            "Mostly duplicates",
            "dev generate --defects 0.1 --share duplicates=0.8 --seed 7 --out odd",
        ),
    ),
    facts=Facts(
        title="Kinds of defects, and their share without --share",
        rows=(
            ("repairs", "0.08, white space, other case, other notation: loads"),
            ("duplicates", "0.28, the record comes again, once or twice: duplicate"),
            ("corrections", "0.20, a newer version of the record follows: loads"),
            ("values", "0.12, a value that the contract refuses: rejected"),
            ("missing", "0.04, a required field is empty or absent: rejected"),
            ("structure", "0.08, broken syntax, wrong type, NUL, bad UTF-8: rejected"),
            ("orphans", "0.06, the user or the product does not exist: held (transactions)"),
            ("late", "0.14, an old timestamp late in the file: loads (transactions)"),
        ),
    ),
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    required=True,
    help="Folder to write into; it is made when absent.",
)
@click.option(
    "--transactions",
    type=click.IntRange(min=0),
    default=100_000,
    show_default=True,
    metavar="N",
    help="Distinct transactions.",
)
@click.option(
    "--users",
    type=click.IntRange(min=1),
    default=5_000,
    show_default=True,
    metavar="N",
    help="Distinct users.",
)
@click.option(
    "--products",
    type=click.IntRange(min=1),
    default=1_000,
    show_default=True,
    metavar="N",
    help="Distinct products.",
)
@click.option(
    "--defects",
    type=Number(),
    default="0.02",
    show_default=True,
    metavar="RATE",
    help="Share of ids that get a defect, in each feed: 0 to 0.5.",
)
@click.option(
    "--share",
    "shares",
    multiple=True,
    metavar="KIND=NUMBER",
    help="Share of one kind in the defects, like duplicates=0.5. Repeatable.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="S",
    help="Another seed gives another shop.",
)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    default="ndjson",
    show_default=True,
    help="Format of the transactions. Users are CSV, products a JSON array.",
)
@click.option(
    "--compression",
    type=click.Choice(COMPRESSIONS),
    default="none",
    show_default=True,
    help="Compression of the transactions.",
)
@click.option(
    "--split",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of files that the transactions are written to.",
)
@click.option(
    "--random-ids",
    is_flag=True,
    help="Ids in random order, as UUIDs would be, instead of rising ones.",
)
@click.option(
    "--days",
    type=click.IntRange(min=1),
    default=366,
    show_default=True,
    metavar="N",
    help="Days that the transactions cover.",
)
@click.option(
    "--end",
    type=DAY,
    default="2024-12-31",
    show_default=True,
    metavar="DAY",
    help="Last of these days (UTC).",
)
@click.option("--prefix", default="", metavar="TEXT", help="Beginning of all file names.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as one JSON object.")
@click.pass_obj
def generate(invocation: Invocation, /, *, as_json: bool, **choice: Any) -> int:
    """Write a realistic shop, and the truth about it.

    It has users, products, transactions, and `truth.json`, which says exactly what a right run must
    report. The same options give the same bytes on every machine. Each feed gets defects of every
    kind it can have, at the rate of --defects.
    """
    from techmart_fast.cli.generating import generate_and_tell

    choice["end"] = choice["end"].date()
    return generate_and_tell(choice, quiet=invocation.quiet, as_json=as_json)


dev.add_command(catalog_server)


@dev.command(
    examples=(
        ("Write docs/reference/cli.md and settings.md", "dev reference"),
        ("Somewhere else", "dev reference --out build/reference"),
    ),
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("docs/reference"),
    show_default=True,
    metavar="DIR",
    help="Folder to write into.",
)
@click.pass_obj
def reference(invocation: Invocation, *, out: Path) -> int:
    """Write the reference pages of commands and settings."""
    from techmart_fast.cli.reference import write_reference

    root = click.get_current_context().find_root().command
    if not isinstance(root, click.Group):
        raise TypeError("the root command has no commands")
    write_reference(root, out, quiet=invocation.quiet)
    return 0


@dev.command(
    examples=(("For this session of bash", "dev completion bash > ~/.techmart-completion.bash"),),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, *, shell: str) -> int:
    """Print the completion script of SHELL."""
    from click.shell_completion import get_completion_class

    from techmart_fast.cli.framework import COMPLETION_VARIABLE, PROGRAM

    maker = get_completion_class(shell)
    if maker is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    root = ctx.find_root().command
    click.echo(maker(root, {}, PROGRAM, COMPLETION_VARIABLE).source())
    return 0
