"""How the warehouse follows PostgreSQL in a run: while rows are committed, and behind them all."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from techmart_fast.errors import SpoolError, WarehouseError
from techmart_fast.pipeline.behind import behind_error, expired_note
from techmart_fast.pipeline.journal import Journal
from techmart_fast.pipeline.leftovers import make_run_folder, remove_leftovers
from techmart_fast.pipeline.mending import Mender
from techmart_fast.pipeline.progress import RunObserver
from techmart_fast.pipeline.publish import Publisher
from techmart_fast.pipeline.sinks import Sinks
from techmart_fast.pipeline.stopping import Stop
from techmart_fast.postgres import Lease
from techmart_fast.settings import Settings
from techmart_fast.transform import Enricher

Behind = WarehouseError | SpoolError
"""Why the warehouse can't be brought up to date."""


def publisher_of(sinks: Sinks, lease: Lease, journal: Journal, settings: Settings) -> Publisher:
    """The publisher of one run, which mends what is damaged in the spool."""
    mender = Mender(
        postgres=sinks.postgres,
        lease=lease,
        enricher=Enricher(journal.contract),
        folder=spool_folder(sinks, lease),
        notes=journal.notes,
    )
    return Publisher(
        postgres=sinks.postgres,
        warehouse=sinks.warehouse,
        lease=lease,
        contract=journal.contract,
        load_job_bytes=settings.bigquery.load_job_bytes,
        meter=journal.meter,
        mender=mender,
    )


def spool_folder(sinks: Sinks, lease: Lease) -> Path:
    """Where the files of a run are spooled."""
    return sinks.home.spool / str(lease.run_id)


async def load_and_publish(
    load: Callable[[], Awaitable[None]],
    *,
    publisher: Publisher,
    sinks: Sinks,
    lease: Lease,
    journal: Journal,
    observer: RunObserver,
    behind: Behind | None,
    stop: Stop,
) -> None:
    """Commit what `load` does, with the warehouse close behind; then merge and compute.

    `behind` says that the warehouse can't be used in this run: it stays as it is. Asked to stop,
    `load` begins nothing more, and what is committed is published.

    Raises:
        StopRequested: that left something to the next run.
        TechmartError: what stopped the loading; `WarehouseBehindError` if PostgreSQL has all of it
            and only the warehouse is behind.
    """
    await remove_leftovers(sinks.postgres, lease, sinks.home.spool)
    await asyncio.to_thread(make_run_folder, sinks.home.spool, lease.run_id)

    async def follow() -> None:
        # The warehouse must not stop PostgreSQL, which is the authority and loses nothing.
        nonlocal behind
        try:
            await publisher.load_until_closed()
        except (WarehouseError, SpoolError) as error:
            behind = error

    async with asyncio.TaskGroup() as tasks:
        if behind is None:
            tasks.create_task(follow(), name="load the warehouse")
        await load()
        publisher.close()
    if behind is None:
        observer.phase("Merging and computing the rollups")
        try:
            refreshed = await publisher.publish()
            if refreshed.expired:
                journal.notes.append(expired_note(refreshed.expired))
            await remove_leftovers(sinks.postgres, lease, sinks.home.spool)
        except (WarehouseError, SpoolError) as error:
            behind = error
    journal.published = publisher.published
    if behind is not None and stop.cut_short:
        journal.notes.append(str(behind_error(behind, "The warehouse is behind")))
    elif behind is not None:
        raise behind_error(behind, "PostgreSQL is loaded, the warehouse is behind")
    stop.tell()
