"""Writes down how a run ended: in PostgreSQL, and from there in the warehouse.

What can't be stored is a note, never another failure: the next run tells the warehouse.
"""

import asyncio
from contextlib import suppress

from techmart_fast.errors import TechmartError, WrongWarehouseError
from techmart_fast.local import LocalHome
from techmart_fast.monitoring.runs import run_end, warehouse_metrics, warehouse_run
from techmart_fast.pipeline.journal import Journal
from techmart_fast.pipeline.sinks import Sinks, open_sinks
from techmart_fast.postgres import Lease, RunStart
from techmart_fast.results import RunResult
from techmart_fast.settings import Settings
from techmart_fast.version import VERSION

_SECONDS = 30.0
"""For each sink. A run must end, whatever is the matter with them."""

_HASTY_SECONDS = 4.0
"""The same where somebody waits for the end: both fit between the grace time and a SIGKILL."""


def run_start(journal: Journal, settings: Settings) -> RunStart:
    """What the run's row says at its start."""
    return RunStart(
        run_id=journal.run_id,
        started_at=journal.started,
        contract_name=journal.contract.name,
        contract_version=journal.contract.version,
        loader_version=VERSION,
        lease_seconds=settings.pipeline.lease_seconds,
    )


async def write_down(
    sinks: Sinks, lease: Lease, journal: Journal, result: RunResult, *, in_haste: bool = False
) -> RunResult:
    """Store the run's end in both sinks; returns the result with what there is to note."""
    seconds = _HASTY_SECONDS if in_haste else _SECONDS
    try:
        async with asyncio.timeout(seconds):
            await sinks.postgres.finish_run(lease, run_end(result, journal.bytes_read))
    except (TechmartError, TimeoutError) as error:
        journal.notes.append(f"The end of the run could not be stored in PostgreSQL: {error}")
    else:
        try:
            await _tell(sinks, seconds)
            journal.cost = sinks.cost
            await sinks.postgres.store_cost(lease.run_id, journal.cost)
        except (TechmartError, TimeoutError) as error:
            note = f"The end of the run could not be stored in the warehouse: {error}"
            journal.notes.append(f"{note} The next run does it.")
    return journal.result(result.status, error=result.error, exit_code=result.exit_code)


async def record_refused(
    sinks: Sinks, settings: Settings, journal: Journal, error: TechmartError
) -> None:
    """Store the row of a run that did not get as far as its lease, if the sinks take it."""
    with suppress(TechmartError, TimeoutError):
        async with asyncio.timeout(_SECONDS):
            await sinks.postgres.record_refused_run(run_start(journal, settings), str(error))
        if not isinstance(error, WrongWarehouseError):
            await _tell(sinks, _SECONDS)


async def record_unopened(settings: Settings, journal: Journal, error: TechmartError) -> None:
    """The same for a run that failed before its sinks were opened.

    Neither a database nor its tables are made for this: a mistyped file name is not a first run.
    """
    if settings.embedded_postgres and LocalHome(settings.home).is_unused:
        return
    with suppress(TechmartError):
        async with open_sinks(settings) as sinks:
            await record_refused(sinks, settings, journal, error)


async def _tell(sinks: Sinks, seconds: float) -> None:
    """Tell the warehouse of this run and of those that it has not heard of."""
    async with asyncio.timeout(seconds):
        for run in await sinks.postgres.untold_runs():
            await sinks.warehouse.record_run(
                warehouse_run(run.row), warehouse_metrics(run.row, run.metrics)
            )
            await sinks.postgres.mark_told(run.row)
