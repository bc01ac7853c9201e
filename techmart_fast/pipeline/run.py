"""The whole journey of a run: plan, open the sinks, load the feeds, publish, report.

    sources ─▶ decode ─▶ validate ─▶ transform ─▶ PostgreSQL ─▶ outbox ─▶ warehouse ─▶ rollups

Feeds load one after another, parents first (users, products, transactions); the warehouse follows
while they do.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from techmart_fast.contract import Contract
from techmart_fast.errors import (
    ExitCode,
    TechmartError,
    WarehouseBehindError,
    WarehouseError,
    WrongWarehouseError,
)
from techmart_fast.local import LocalHome
from techmart_fast.monitoring.memory import MemoryWatch
from techmart_fast.pipeline.find import Found, found
from techmart_fast.pipeline.journal import Journal
from techmart_fast.pipeline.prepare import Stages
from techmart_fast.pipeline.progress import RunObserver
from techmart_fast.pipeline.sinks import Sinks, open_sinks
from techmart_fast.pipeline.work import Work
from techmart_fast.pipeline.write_down import record_refused, record_unopened, run_start, write_down
from techmart_fast.records import Feed
from techmart_fast.results import RunResult, RunStatus
from techmart_fast.settings import Settings
from techmart_fast.together import task_group
from techmart_fast.warehouse import Owner


class _StopRequested(Exception):  # noqa: N818 - a request, not an error
    """The caller asked the run to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a run is asked to do.

    `sources` are the specs of each feed. `ordinal` orders the files of this run among those of
    other runs. More than `max_rejected` rejected records end the run. Setting `stop` ends it, too.
    """

    sources: Mapping[Feed, Sequence[str]]
    settings: Settings
    contract: Contract
    observer: RunObserver
    stages: Stages
    ordinal: int | None = None
    max_rejected: int | None = None
    stop: asyncio.Event | None = None


async def run_pipeline(request: RunRequest) -> RunResult:
    """Load the sources into both sinks and compute the rollups.

    Errors after the run began are in the result (`status`, `error`, `exit_code`), with whatever was
    committed until then. A run asked to stop ends as `stopped`; a cancelled one writes down that it
    stopped, too, and raises `CancelledError`.

    Raises:
        TechmartError: the run could not begin: nothing was written.
    """
    journal = Journal(run_id=uuid4(), started=datetime.now(UTC), contract=request.contract)
    async with AsyncExitStack() as opened:
        try:
            async with task_group() as tasks:
                watch = tasks.create_task(_watch(request.stop), name="watch for a stop")
                sources = await _find(request, journal, opened)
                sinks, behind = await _open(request, journal, opened)
                watch.cancel()
        except _StopRequested:
            return journal.result(
                RunStatus.STOPPED,
                error="Stopped on request, before anything was loaded.",
                exit_code=ExitCode.INTERRUPTED,
            )
        return await _run_into(sinks, behind, request, journal, sources)


async def _find(request: RunRequest, journal: Journal, opened: AsyncExitStack) -> Found:
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
    """Both sinks, with tables as this version needs them; and why the warehouse can't be used now.

    PostgreSQL does not wait for a warehouse that is down, or that no longer lets this database in.
    One that was never reached is probably not set up right: that is told before anything is loaded.
    """
    request.observer.phase("Opening PostgreSQL and the warehouse")
    sinks = await opened.enter_async_context(open_sinks(request.settings))
    async with _recording_refusal(sinks, request, journal):
        await sinks.postgres.migrate()
        known = await sinks.postgres.publication()
        try:
            await sinks.warehouse.ensure(
                Owner(database_id=known.database_id, has_published=known.has_published)
            )
        except WrongWarehouseError:
            raise
        except WarehouseError as error:
            if not (error.transient or known.has_published):
                raise
            return sinks, error
    return sinks, None


async def _run_into(
    sinks: Sinks,
    behind: WarehouseError | None,
    request: RunRequest,
    journal: Journal,
    sources: Found,
) -> RunResult:
    journal.sinks = sinks
    async with _recording_refusal(sinks, request, journal):
        lease = await sinks.postgres.start_run(run_start(journal, request.settings))
    work = Work(
        journal=journal,
        sinks=sinks,
        lease=lease,
        settings=request.settings,
        stages=request.stages,
        observer=request.observer,
        ordinal=request.ordinal,
        max_rejected=request.max_rejected,
    )
    async with MemoryWatch(sinks.local) as memory:
        status, error, exit_code = RunStatus.COMPLETED, None, ExitCode.DONE
        cancelled = False
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(_watch(request.stop), name="watch for a stop")
                beat = tasks.create_task(sinks.postgres.keep_alive(lease), name="keep the lease")
                await work.do(sources, behind)
                watch.cancel()
                beat.cancel()
        except* _StopRequested:
            status, exit_code = RunStatus.STOPPED, ExitCode.INTERRUPTED
            error = "Stopped on request: what was committed stays, and the next run carries on."
        except* TechmartError as group:
            first = sinks.cause(_first(group))
            status, error, exit_code = RunStatus.FAILED, str(first), first.exit_code
        except* asyncio.CancelledError:
            status, error = RunStatus.STOPPED, "Cancelled."
            cancelled = True
        journal.memory, journal.cost = memory.peaks(), sinks.cost
    result = journal.result(status, error=error, exit_code=exit_code)
    written = await asyncio.shield(write_down(sinks, lease, journal, result))
    if cancelled:
        # As itself: raised in an `except*` it would be a group, which nobody takes for it.
        raise asyncio.CancelledError
    return written


async def _watch(stop: asyncio.Event | None) -> None:
    if stop is not None:
        await stop.wait()
        raise _StopRequested


@asynccontextmanager
async def _recording_refusal(
    sinks: Sinks, request: RunRequest, journal: Journal
) -> AsyncIterator[None]:
    try:
        yield
    except TechmartError as error:
        await record_refused(sinks, request.settings, journal, error)
        raise


def _first(group: BaseExceptionGroup[TechmartError]) -> TechmartError:
    """The error that came first: the one that made the others stop."""
    errors = list(_leaves(group))
    # PostgreSQL's own failure outweighs the warehouse's, which loses nothing.
    return next(
        (error for error in errors if not isinstance(error, WarehouseBehindError)), errors[0]
    )


def _leaves(group: BaseExceptionGroup[TechmartError]) -> list[TechmartError]:
    leaves: list[TechmartError] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            leaves += _leaves(error)
        else:
            leaves.append(error)
    return leaves
