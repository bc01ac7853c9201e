"""Loads rejected records again for the command line, and tells what became of them."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import RenderableType

from techmart_fast.api import replay
from techmart_fast.cli.allocator import keep_memory_flat
from techmart_fast.cli.choosing import Chosen
from techmart_fast.cli.console import number, plain, show, table
from techmart_fast.cli.embedded import never_used
from techmart_fast.cli.output import to_json, write_err, write_out
from techmart_fast.cli.progress import observing
from techmart_fast.cli.runner import Runner
from techmart_fast.cli.summary import counts_table
from techmart_fast.contract import load_contract
from techmart_fast.errors import ExitCode
from techmart_fast.pipeline.corrections import read_corrections
from techmart_fast.pipeline.replayed import ReplayResult
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.settings import Settings


def replay_and_tell(
    settings: Settings,
    chosen: Chosen,
    *,
    numbers: Sequence[int],
    rows: Path | None,
    contract: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Replay, print what came out, and return the exit code.

    Raises:
        ConfigError: there is no such run, or the file of corrections is not like that.
        TechmartError: it could not begin.
    """
    corrections = None if rows is None else read_corrections(rows)
    loaded = None if contract is None else load_contract(contract)
    if never_used(settings):
        if as_json:
            write_out(to_json({"status": "completed", "feeds": {}, "resolved": 0, "exit_code": 0}))
        elif not quiet:
            show("Nothing was loaded yet: nothing is in the quarantine.")
        return ExitCode.DONE
    keep_memory_flat()
    stop = asyncio.Event()
    with observing(quiet=quiet) as observer:

        async def work() -> ReplayResult:
            async with open_sinks(settings, warehouse=False) as sinks:
                await sinks.postgres.migrate()
                filters = await chosen.filters(sinks.postgres)
            return await replay(
                settings=settings,
                contract=loaded,
                filters=filters,
                numbers=numbers or None,
                corrections=corrections,
                observer=observer,
                stop=stop,
            )

        def end() -> None:
            stop.set()
            observer.phase("Stopping: what is committed stays (once more to end sooner)")

        runner: Runner[ReplayResult] = Runner(on_stop=end)
        result = runner.run(work)
    if runner.stopped_by is not None and result.run.exit_code is ExitCode.INTERRUPTED:
        result = replace(result, run=replace(result.run, exit_code=runner.stopped_by))
    if as_json:
        write_out(to_json(result.to_dict()))
    elif not quiet:
        show(*for_people(result))
    if (quiet or as_json) and result.run.error:
        write_err(result.run.error)
    return result.run.exit_code


def for_people(result: ReplayResult) -> Iterator[RenderableType]:
    """What became of the records, as parts to print below each other."""
    if result.run.feeds:
        yield counts_table(result.run.feeds)
    if result.run.released:
        yield f"Held transactions released: {number(result.run.released)}"
    if result.refused:
        made = table("number", "feed", "rejected again", right=["number"])
        for one in result.refused:
            made.add_row(str(one.number), one.feed.value, f"{one.code}: {plain(one.message)}")
        yield made
    for note in result.notes:
        yield plain(note)
    if result.run.error:
        yield f"[bold red]{plain(result.run.error)}[/]"
    elif not result.run.feeds:
        yield "Nothing like that waits in the quarantine."
    else:
        rest = sum(counts.rejected for counts in result.run.feeds.values())
        stays = f", still rejected: {number(rest)}" if rest else ""
        yield f"[green]Resolved: {number(result.resolved)} records[/]{stays}."
