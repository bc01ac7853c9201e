"""`run`: load feeds into PostgreSQL and the warehouse."""

import shlex
from decimal import Decimal
from pathlib import Path

import click

from techmart_fast.cli.framework import ByteSize, Command, CountOrShare
from techmart_fast.cli.invocation import Invocation


@click.command(
    cls=Command,
    examples=(
        ("The bundled sample, on embedded parts", "run"),
        (
            "Your own files: folders, globs, any mix of formats",
            "run --users users.csv --products catalogue/ --transactions 'sales/*.json.gz'",
        ),
        ("From another program", "run --transactions - < today.ndjson"),
        ("Products from an API", "run --products https://shop.example/api/products"),
        ("Another shop's names, currencies and limits", "run --contract shop.toml --users u.csv"),
        ("What it would take, without loading anything", "run --dry-run --users u.csv"),
        ("For scripts: one JSON object on standard output", "run --json --quiet"),
    ),
)
@click.option(
    "--transactions",
    multiple=True,
    metavar="SPEC",
    help="File, glob, folder, - (standard input) or API address of transactions. Repeatable.",
)
@click.option(
    "--users",
    multiple=True,
    metavar="SPEC",
    help="File, glob, folder, - or API address of users. Repeatable.",
)
@click.option(
    "--products",
    multiple=True,
    metavar="SPEC",
    help="File, glob, folder, - or API address of products. Repeatable.",
)
@click.option(
    "--contract",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Data contract (TOML) of another shop, laid over the default one.",
)
@click.option(
    "--ordinal",
    type=click.IntRange(min=1),
    metavar="N",
    help="Place of the new files in each feed's order of files. Without it: after all others.",
)
@click.option(
    "--block-bytes",
    type=ByteSize(),
    metavar="SIZE",
    help="Input in one block, the unit of commit, like 16MiB. Smaller needs less memory.",
)
@click.option(
    "--writers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Parallel writers to PostgreSQL. Without it: the number of cores, four at most.",
)
@click.option(
    "--max-rejected",
    type=CountOrShare(),
    metavar="N|P%",
    help="Stop, with exit code 4, once more than N records, or P percent of them, were rejected.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Load nothing: check the input, and print rows, jobs, bytes and price of a run.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.pass_obj
def run(
    invocation: Invocation,
    *,
    transactions: tuple[str, ...],
    users: tuple[str, ...],
    products: tuple[str, ...],
    contract: Path | None,
    ordinal: int | None,
    block_bytes: int | None,
    writers: int | None,
    max_rejected: int | Decimal | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Load feeds into PostgreSQL and the warehouse.

    The rollups that the new rows touch are recomputed. Without any source the bundled sample is
    loaded, its products from a simulated API. Formats (JSON array, NDJSON, CSV) and
    compression (gzip, zstd, bz2) are told by content. Running the same files again changes
    nothing; a run that was stopped is carried on by running it again. APIs are asked as the
    contract describes them, also where they are not named here.
    """
    if sum(specs.count("-") for specs in (transactions, users, products)) > 1:
        raise click.UsageError("Standard input (-) can be read for one feed only.")
    from techmart_fast.cli.running import RunRequest, run_and_tell

    home_flag = f"--home {shlex.quote(str(invocation.home))}" if invocation.home else ""
    request = RunRequest(
        transactions=transactions,
        users=users,
        products=products,
        contract=contract,
        ordinal=ordinal,
        max_rejected=max_rejected,
        as_json=as_json,
        quiet=invocation.quiet,
        home_flag=home_flag,
    )
    flags = {"pipeline": {"block_bytes": block_bytes}, "postgres": {"writers": writers}}
    if dry_run:
        from techmart_fast.cli.planning import plan_and_tell

        return plan_and_tell(request, invocation.settings(flags))
    return run_and_tell(request, invocation.settings(flags))
