"""Work under the lease: heartbeat, stopping, what went wrong, and the run's end written down."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

from techmart_fast.contract import Contract
from techmart_fast.errors import (
    ConfigError,
    ExitCode,
    LeaseHeldError,
    SinkError,
    SpoolError,
    TechmartError,
    WarehouseBehindError,
    WarehouseError,
    WrongWarehouseError,
)
from techmart_fast.monitoring.memory import MemoryWatch
from techmart_fast.pipeline.journal import Journal
from techmart_fast.pipeline.progress import RunObserver
from techmart_fast.pipeline.sinks import Sinks
from techmart_fast.pipeline.stopping import Stop, StopRequested
from techmart_fast.pipeline.write_down import record_refused, run_start, write_down
from techmart_fast.postgres import Lease
from techmart_fast.results import RunResult, RunStatus
from techmart_fast.settings import Settings
from techmart_fast.warehouse import Owner

_CONFIRM_SECONDS = 10.0
"""To find out whether a lost connection means a lost lease; the error is told either way."""


class Opening(Protocol):
    """What is asked of whoever opens the sinks."""

    @property
    def settings(self) -> Settings:
        """The settings."""

    @property
    def observer(self) -> RunObserver:
        """Who follows."""


async def fit_sinks(
    sinks: Sinks, opening: Opening, journal: Journal, *, anew: bool = False
) -> WarehouseError | None:
    """Bring both sinks' tables up to this version; why the warehouse can't be used now, if so.

    PostgreSQL does not wait for a warehouse that is down, or that no longer lets this database in.
    One that was never reached is probably not set up right: that is told before anything is loaded.
    `anew`: the warehouse will be filled anew, whatever it lacks.
    """
    async with recording_refusal(sinks, opening, journal):
        await sinks.postgres.migrate()
        known = await sinks.postgres.publication()
        try:
            await sinks.warehouse.ensure(
                Owner(database_id=known.database_id, has_published=known.has_published), anew=anew
            )
        except WrongWarehouseError:
            raise
        except WarehouseError as error:
            if not (error.transient or known.has_published):
                raise
            return error
    return None


async def refuse_other_contract(sinks: Sinks, contract: Contract) -> None:
    """Refuse the default contract where the last run had another one: it was forgotten.

    Raises:
        ConfigError: it had.
    """
    last = await sinks.postgres.runs(1)
    if last and last[0].contract_name != contract.name:
        raise ConfigError(
            f"The last run had the contract '{last[0].contract_name}', and none is named now.",
            hint="Name it: --contract FILE.",
        )


async def under_lease(
    sinks: Sinks,
    opening: Opening,
    journal: Journal,
    work: Callable[[Lease], Awaitable[None]],
    *,
    stop: Stop,
) -> RunResult:
    """Take the lease, do the work, and write down how it ended.

    Errors of the work are in the result, with whatever it did until then. A `stop` is the work's to
    see; when its grace time is over, the work is cancelled.

    Raises:
        LeaseHeldError: another run is alive; nothing was done.
        CancelledError: the task was cancelled; that is written down, too.
    """
    journal.sinks = sinks
    async with recording_refusal(sinks, opening, journal):
        lease = await sinks.postgres.start_run(run_start(journal, opening.settings))
    async with MemoryWatch(sinks.local) as memory:
        status, error, exit_code = RunStatus.COMPLETED, None, ExitCode.DONE
        cancelled = False
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(stop.at_the_latest(), name="watch for a stop")
                beat = tasks.create_task(sinks.postgres.keep_alive(lease), name="keep the lease")
                # A run that was paused and replaced learns of it before it changes the warehouse.
                with sinks.warehouse.fenced(partial(sinks.postgres.confirm, lease)):
                    await work(lease)
                watch.cancel()
                beat.cancel()
        except* StopRequested:
            status, exit_code = RunStatus.STOPPED, ExitCode.INTERRUPTED
            error = "Stopped on request: what was committed stays, and the next run carries on."
        except* TechmartError as group:
            first = sinks.cause(await _of_the_lease(sinks, lease, _first(group)))
            status, error, exit_code = RunStatus.FAILED, str(first), first.exit_code
        except* asyncio.CancelledError:
            status, error = RunStatus.STOPPED, "Cancelled."
            cancelled = True
        journal.memory, journal.cost = memory.peaks(), sinks.cost
    result = journal.result(status, error=error, exit_code=exit_code)
    in_haste = cancelled or status is RunStatus.STOPPED
    written = await asyncio.shield(write_down(sinks, lease, journal, result, in_haste=in_haste))
    if cancelled:
        # As itself: raised in an `except*` it would be a group, which nobody takes for it.
        raise asyncio.CancelledError
    return written


@asynccontextmanager
async def recording_refusal(
    sinks: Sinks, opening: Opening, journal: Journal
) -> AsyncIterator[None]:
    """Store the row of a run that is refused within."""
    try:
        yield
    except TechmartError as error:
        await record_refused(sinks, opening.settings, journal, error)
        raise


async def _of_the_lease(sinks: Sinks, lease: Lease, error: TechmartError) -> TechmartError:
    """The error, or that the lease was lost.

    Whoever takes it over ends the connections, too, and clears the spool of what nobody owes.
    """
    if isinstance(error, SpoolError) or (isinstance(error, SinkError) and error.transient):
        try:
            async with asyncio.timeout(_CONFIRM_SECONDS):
                await sinks.postgres.confirm(lease)
        except LeaseHeldError as lost:
            return lost
        except (SinkError, TimeoutError):
            return error
    return error


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
