"""How the warehouse follows PostgreSQL in a run: while rows are committed, and behind them all.

An index that was put off is built at the same time, as soon as all rows are committed.
"""

import asyncio
from collections.abc import Awaitable, Callable

from techmart_fast.errors import SinkError, SpoolError, WarehouseError
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
from techmart_fast.warehouse import SpoolFolder

Behind = WarehouseError | SpoolError
"""Why the warehouse can't be brought up to date."""


def publisher_of(sinks: Sinks, lease: Lease, journal: Journal, settings: Settings) -> Publisher:
    """The publisher of one run, which mends what is damaged in the spool."""
    mender = Mender(
        postgres=sinks.postgres,
        lease=lease,
        enricher=Enricher(journal.contract),
        folder=spool_folder(sinks, lease, settings),
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


def spool_folder(sinks: Sinks, lease: Lease, settings: Settings) -> SpoolFolder:
    """Where the files of a run are spooled."""
    path = sinks.home.spool / str(lease.run_id)
    return SpoolFolder(path, settings.pipeline.spool_compression)


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

    An index that was put off, by this run or an earlier one, is built meanwhile. `behind` says that
    the warehouse can't be used in this run: it stays as it is. Asked to stop, `load` begins nothing
    more, and what is committed is published.

    Raises:
        StopRequested: that left something to the next run.
        SinkError: the index could not be built. PostgreSQL has all rows, and so has the warehouse
            if the notes do not say that it is behind.
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
        following = None
        if behind is None:
            following = tasks.create_task(follow(), name="load the warehouse")
        indexing = _Indexing(sinks, lease, journal)
        try:
            await load()
        except BaseException:
            # Also where the grace time of a stop is over: the task is cancelled then.
            if journal.owes_index:
                indexing.leave()
            raise
        publisher.close()
        if await indexing.is_due(stop):
            tasks.create_task(indexing.build(), name="build an index")
        if following is not None:
            await following
        if behind is None:
            observer.phase("Merging and computing the rollups")
            try:
                refreshed = await publisher.publish()
                if refreshed.expired:
                    journal.notes.append(expired_note(refreshed.expired))
                await remove_leftovers(sinks.postgres, lease, sinks.home.spool)
            except (WarehouseError, SpoolError) as error:
                behind = error
        if indexing.is_building:
            observer.phase("Building the index of users")
    journal.published = publisher.published
    if behind is not None and (stop.cut_short or indexing.failed is not None):
        journal.notes.append(str(behind_error(behind, "The warehouse is behind")))
    if indexing.failed is not None:
        raise indexing.failed
    if behind is not None and not stop.cut_short:
        raise behind_error(behind, "PostgreSQL is loaded, the warehouse is behind")
    stop.tell()


class _Indexing:
    """Builds what was put off. The warehouse goes on meanwhile, whatever becomes of it."""

    def __init__(self, sinks: Sinks, lease: Lease, journal: Journal) -> None:
        self._postgres = sinks.postgres
        self._lease = lease
        self._journal = journal
        self.is_building = False
        self.failed: SinkError | None = None

    async def is_due(self, stop: Stop) -> bool:
        """Whether an index is owed, and this run is to build it; a note says why not."""
        try:
            owed = await self._postgres.owed_index()
        except SinkError as error:
            self.failed = error
            return False
        if owed is None:
            return False
        if not owed.may_build:
            self._journal.notes.append(
                f"The index {owed.name} is put off until a run of a role that may make it: it is "
                "the owner of the table, and may create in the schema."
            )
            return False
        if stop.cuts_short():
            self.leave()
            return False
        self.is_building = True
        return True

    async def build(self) -> None:
        """Build it; what went wrong is kept in `failed`."""
        try:
            with self._journal.meter.lap("postgres index"):
                is_there = await self._postgres.build_index(self._lease)
            if not is_there:
                self._journal.notes.append(
                    "public.transactions_user_id is not the index that the schema has: it stays as "
                    "it is. Queries of transactions by user may read the whole table."
                )
        except SinkError as error:
            self.failed = error
        except asyncio.CancelledError:
            self.leave()
            raise
        finally:
            self.is_building = False

    def leave(self) -> None:
        """Note that the next run has to build it."""
        self._journal.notes.append(
            "The index of transactions by user is still to be built: the next run does it."
        )
