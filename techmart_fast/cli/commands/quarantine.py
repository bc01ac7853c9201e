"""`quarantine`: look at rejected records, and load them again once they are mended."""

from collections.abc import Callable
from pathlib import Path

import click

from techmart_fast.cli.framework import Group
from techmart_fast.cli.invocation import Invocation
from techmart_fast.reasons import LARGEST_NUMBER

FEEDS = ("users", "products", "transactions")


@click.group(cls=Group)
def quarantine() -> None:
    """Look at rejected records; load them again once mended."""


def _of_records(command: Callable[..., int]) -> Callable[..., int]:
    """The options that choose records."""
    options = (
        click.option("--feed", type=click.Choice(FEEDS), help="Of this feed only."),
        click.option("--reason", metavar="CODE", help="With this reason code only."),
        click.option(
            "--source", metavar="NAME", help="From the file of this name (as given to run)."
        ),
        click.option(
            "--run",
            metavar="ID",
            help="Rejected by this run only; the beginning of its id will do.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


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
@_of_records
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
    from techmart_fast.cli.choosing import Chosen
    from techmart_fast.cli.rejected import print_list

    return print_list(
        invocation.settings(),
        Chosen(feed=feed, reason=reason, source=source, run=run, resolved=resolved),
        limit=limit,
        as_json=as_json,
    )


@quarantine.command(
    examples=(
        ("The record with number 7", "quarantine show 7"),
        ("For a script; the bytes as text, or base64", "quarantine show 7 --json"),
    ),
)
@click.argument("number", type=click.IntRange(min=0, max=LARGEST_NUMBER))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def show(invocation: Invocation, *, number: int, as_json: bool) -> int:
    """Show one rejected record with its raw bytes.

    NUMBER is the one that `quarantine list` gives it.
    """
    from techmart_fast.cli.rejected import print_record

    return print_record(invocation.settings(), number=number, as_json=as_json)


@quarantine.command(
    examples=(
        ("All that wait, as lines to correct", "quarantine export --out rejected.ndjson"),
        ("One reason", "quarantine export --reason unknown_currency --out rejected.ndjson"),
    ),
)
@_of_records
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="Where to write to: a new file, readable by its owner only.",
)
@click.pass_obj
def export(
    invocation: Invocation,
    *,
    feed: str | None,
    reason: str | None,
    source: str | None,
    run: str | None,
    out: Path,
) -> int:
    """Write rejected records into a file, to correct them.

    Each line is a JSON object with the record's number, reason and place, and with its text as
    `raw`. Change `raw`, or put a whole `record` in its place, and hand the file to quarantine
    replay --rows. Lines that are left out stay in the quarantine.
    """
    from techmart_fast.cli.choosing import Chosen
    from techmart_fast.cli.exporting import export_records

    chosen = Chosen(feed=feed, reason=reason, source=source, run=run)
    return export_records(invocation.settings(), chosen, out, quiet=invocation.quiet)


@quarantine.command(
    examples=(
        ("By a contract that was mended", "quarantine replay --contract shop.toml"),
        ("One reason only", "quarantine replay --reason unknown_currency --contract shop.toml"),
        ("In corrected words", "quarantine replay --rows corrected.ndjson"),
        ("Two of them, by number", "quarantine replay 7 12"),
    ),
)
@click.argument(
    "numbers", nargs=-1, type=click.IntRange(min=0, max=LARGEST_NUMBER), metavar="[NUMBER]..."
)
@_of_records
@click.option(
    "--rows",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Corrected records, as quarantine export writes them: only these are loaded.",
)
@click.option(
    "--contract",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Data contract (TOML) to read them by, if it is not the default one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.pass_obj
def replay(
    invocation: Invocation,
    *,
    numbers: tuple[int, ...],
    feed: str | None,
    reason: str | None,
    source: str | None,
    run: str | None,
    rows: Path | None,
    contract: Path | None,
    as_json: bool,
) -> int:
    """Load rejected records again, after a fix.

    The fix may be one of the contract, or of the records. A record keeps the position that it had
    in its file, so a newer version of its id stays. What is accepted now is marked as resolved;
    what is not stays in the quarantine, and is told; it does not change the exit code. Interrupted
    at any point, it can be run again. The exit code is 5 if the warehouse is behind, 6 if another
    run is at work.
    """
    from techmart_fast.cli.choosing import Chosen
    from techmart_fast.cli.replaying import replay_and_tell

    return replay_and_tell(
        invocation.settings(),
        Chosen(feed=feed, reason=reason, source=source, run=run),
        numbers=numbers,
        rows=rows,
        contract=contract,
        as_json=as_json,
        quiet=invocation.quiet,
    )
