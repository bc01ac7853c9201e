"""Runs the pipeline for the command line, and tells people or scripts what came out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from techmart_fast.api import DataSources
from techmart_fast.api import run as run_pipeline
from techmart_fast.cli.allocator import keep_memory_flat
from techmart_fast.cli.console import show
from techmart_fast.cli.output import to_json, write_err, write_out
from techmart_fast.cli.progress import observing
from techmart_fast.cli.runner import Runner
from techmart_fast.cli.summary import summary, verdict_line
from techmart_fast.contract import Contract, load_contract
from techmart_fast.errors import ExitCode
from techmart_fast.pipeline.limits import Most
from techmart_fast.records import Feed
from techmart_fast.results import RunResult
from techmart_fast.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What the `run` command was asked for. Without any specs: the bundled sample."""

    transactions: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    contract: Path | None = None
    ordinal: int | None = None
    max_rejected: Most | None = None
    as_json: bool = False
    quiet: bool = False
    home_flag: str = ""

    @asynccontextmanager
    async def sources(self, contract: Contract) -> AsyncIterator[tuple[DataSources, Contract]]:
        """The sources to load, and the contract that describes them; use them within the block."""
        sources = DataSources(
            transactions=self.transactions, users=self.users, products=self.products
        )
        described = any(contract.rules(feed).api for feed in Feed)
        if described or any(sources.by_feed().values()):
            yield sources, contract
            return
        from techmart_fast.cli.sampling import sample_sources  # brings an HTTP server

        async with sample_sources(contract) as sample:
            yield sample


def run_and_tell(request: RunRequest, settings: Settings) -> int:
    """Run, print the outcome, and return the exit code."""
    result = _run(request, settings)
    if request.as_json:
        write_out(to_json(result.to_dict()))
    elif not request.quiet:
        show(*summary(result, home_flag=request.home_flag))
    if (request.quiet or request.as_json) and result.exit_code is not ExitCode.DONE:
        write_err(verdict_line(result))
    return result.exit_code


def _run(request: RunRequest, settings: Settings) -> RunResult:
    contract = load_contract(request.contract)
    keep_memory_flat()
    stop = asyncio.Event()
    grace = settings.pipeline.stop_grace_seconds
    with observing(quiet=request.quiet) as observer:

        async def run() -> RunResult:
            async with request.sources(contract) as (sources, described):
                return await run_pipeline(
                    sources,
                    settings=settings,
                    contract=described,
                    observer=observer,
                    ordinal=request.ordinal,
                    max_rejected=request.max_rejected,
                    stop=stop,
                )

        def ask() -> None:
            stop.set()
            observer.phase(f"Stopping: what was read is committed, for {grace:g} s at most")

        runner: Runner[RunResult] = Runner(on_stop=ask)
        result = runner.run(run)
    if runner.stopped_by is not None:
        interrupted = result.exit_code is ExitCode.INTERRUPTED
        return replace(result, exit_code=runner.stopped_by) if interrupted else result
    return result
