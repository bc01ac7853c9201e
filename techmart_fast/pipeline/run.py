"""The whole journey of a run: plan, open the sinks, load the feeds, publish, report.

    sources ─▶ decode ─▶ validate ─▶ transform ─▶ PostgreSQL ─▶ outbox ─▶ warehouse ─▶ rollups

Feeds load one after another, parents first (users, products, transactions); the warehouse follows
while they do.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from techmart_fast.contract import Contract
from techmart_fast.errors import ExitCode, TechmartError, WarehouseError
from techmart_fast.local import LocalHome
from techmart_fast.pipeline.find import Finding, Found, found
from techmart_fast.pipeline.journal import Journal
from techmart_fast.pipeline.leased import fit_sinks, recording_refusal, under_lease
from techmart_fast.pipeline.limits import Most
from techmart_fast.pipeline.prepare import Stages
from techmart_fast.pipeline.progress import RunObserver
from techmart_fast.pipeline.sinks import Sinks, open_sinks
from techmart_fast.pipeline.stopping import Stop, StopRequested
from techmart_fast.pipeline.work import Work
from techmart_fast.pipeline.write_down import record_unopened
from techmart_fast.postgres import Lease
from techmart_fast.records import Feed
from techmart_fast.results import RunResult, RunStatus
from techmart_fast.settings import Settings
from techmart_fast.together import task_group


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a run is asked to do.

    `sources` are the specs of each feed. `ordinal` orders the files of this run among those of
    other runs. More than `max_rejected` rejected records, or (a Decimal) that share of them, end
    the run. Setting `stop` ends it, too: nothing more is read, what is under way has the grace time
    of the settings to be committed and published.
    """

    sources: Mapping[Feed, Sequence[str]]
    settings: Settings
    contract: Contract
    observer: RunObserver
    stages: Stages
    ordinal: int | None = None
    max_rejected: Most | None = None
    stop: asyncio.Event | None = None


async def run_pipeline(request: RunRequest) -> RunResult:
    """Load the sources into both sinks and compute the rollups.

    Errors after the run began are in the result (`status`, `error`, `exit_code`), with whatever was
    committed until then. A run asked to stop ends as `stopped`; a cancelled one writes down that it
    stopped, too, and raises `CancelledError`.

    Raises:
        TechmartError: the run could not begin: no record was written.
    """
    journal = Journal(run_id=uuid4(), started=datetime.now(UTC), contract=request.contract)
    stop = Stop(request.stop, grace_seconds=request.settings.pipeline.stop_grace_seconds)
    async with AsyncExitStack() as opened:
        try:
            async with task_group() as tasks:
                watch = tasks.create_task(stop.at_once(), name="watch for a stop")
                finding = await _find(request, journal, opened)
                sinks, behind = await _open(request, journal, opened)
                request.observer.phase("Reading the input for its fingerprints")
                async with recording_refusal(sinks, request, journal):
                    sources = await finding.whole()
                watch.cancel()
        except StopRequested:
            return journal.result(
                RunStatus.STOPPED,
                error="Stopped on request, before anything was loaded.",
                exit_code=ExitCode.INTERRUPTED,
            )
        return await _run_into(sinks, behind, request, journal, sources, stop=stop)


async def _find(request: RunRequest, journal: Journal, opened: AsyncExitStack) -> Finding:
    request.observer.phase("Looking at the input")
    spool = LocalHome(request.settings.home).create().spool
    finding = found(request.sources, contract=request.contract, spool=spool)
    try:
        return await opened.enter_async_context(finding)
    except TechmartError as unreadable:
        await record_unopened(request.settings, journal, unreadable)
        raise


async def _open(
    request: RunRequest, journal: Journal, opened: AsyncExitStack
) -> tuple[Sinks, WarehouseError | None]:
    """Both sinks, with tables as this version needs them; and why the warehouse can't be used."""
    request.observer.phase("Opening PostgreSQL and the warehouse")
    sinks = await opened.enter_async_context(open_sinks(request.settings))
    return sinks, await fit_sinks(sinks, request, journal)


async def _run_into(
    sinks: Sinks,
    behind: WarehouseError | None,
    request: RunRequest,
    journal: Journal,
    sources: Found,
    *,
    stop: Stop,
) -> RunResult:
    async def load(lease: Lease) -> None:
        work = Work(
            journal=journal,
            sinks=sinks,
            lease=lease,
            settings=request.settings,
            stages=request.stages,
            observer=request.observer,
            ordinal=request.ordinal,
            max_rejected=request.max_rejected,
            stop=stop,
        )
        await work.do(sources, behind)

    return await under_lease(sinks, request, journal, load, stop=stop)
