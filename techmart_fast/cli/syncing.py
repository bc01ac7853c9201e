"""Brings the warehouse up to date for the command line, and tells what was done."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from techmart_fast.api import sync
from techmart_fast.cli.allocator import keep_memory_flat
from techmart_fast.cli.console import number, plain, seconds, show, size, table
from techmart_fast.cli.embedded import never_used
from techmart_fast.cli.output import to_json, write_err, write_out
from techmart_fast.cli.progress import observing
from techmart_fast.cli.runner import run_async
from techmart_fast.contract import load_contract
from techmart_fast.errors import ExitCode
from techmart_fast.pipeline.synced import SyncResult
from techmart_fast.settings import Settings


def sync_and_tell(
    settings: Settings,
    *,
    contract: Path | None,
    rebuild: bool,
    republish: bool,
    everything: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Sync, print what came out, and return the exit code.

    Raises:
        TechmartError: it could not begin.
    """
    if never_used(settings):
        if as_json:
            write_out(to_json({"status": "completed", "published": {}, "exit_code": 0}))
        elif not quiet:
            show("Nothing was loaded yet: there is nothing to publish.")
        return ExitCode.DONE
    loaded = None if contract is None else load_contract(contract)
    keep_memory_flat()
    with observing(quiet=quiet) as observer:
        result = run_async(
            lambda: sync(
                settings=settings,
                contract=loaded,
                rebuild=rebuild,
                republish=republish,
                everything=everything,
                observer=observer,
            )
        )
    if as_json:
        write_out(to_json(result.to_dict()))
    elif not quiet:
        show(*for_people(result))
    if (quiet or as_json) and result.run.error:
        write_err(result.run.error)
    return result.run.exit_code


def for_people(result: SyncResult) -> Iterator[RenderableType]:
    """What was done, as parts to print below each other."""
    if result.run.published:
        made = table("published", "rows", right=["rows"])
        for name, rows in result.run.published.items():
            made.add_row(name, number(rows))
        yield made
    if result.repaired:
        numeric = ("days or buckets", "rows sent")
        made = table("repaired", *numeric, right=numeric)
        for name, one in result.repaired.items():
            made.add_row(name, number(one.parts), number(one.rows))
        yield made
    if result.refreshed is not None and result.refreshed.as_of is not None:
        yield (
            f"Computed: {number(result.refreshed.days)} days, "
            f"{number(result.refreshed.periods)} periods, as of {result.refreshed.as_of}."
        )
    for note in result.notes:
        yield plain(note)
    if result.run.error:
        yield Text(result.run.error, style="bold red")
    elif not result.run.published and not result.repaired:
        yield "[green]There was nothing to send: the warehouse has all that was published to it.[/]"
    else:
        yield "[green]The warehouse is up to date.[/]"
    yield Text(_took(result), style="dim")


def _took(result: SyncResult) -> str:
    took = seconds(result.run.seconds)
    cost = result.run.cost
    if cost is not None:
        took += f", {cost.jobs} jobs, {size(cost.bytes_billed)} billed"
        took += " (modelled by the stand-in, no bill)" if cost.modelled else ""
    return took
