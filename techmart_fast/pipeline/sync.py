"""Brings the warehouse up to date without loading any feed: publish, rebuild, repair."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from techmart_fast.contract import Contract, default_contract
from techmart_fast.errors import ConfigError, SinksDifferError, SpoolError, WarehouseError
from techmart_fast.pipeline.behind import behind_error, expired_note
from techmart_fast.pipeline.following import publisher_of, spool_folder
from techmart_fast.pipeline.journal import Journal
from techmart_fast.pipeline.leased import fit_sinks, refuse_other_contract, under_lease
from techmart_fast.pipeline.leftovers import make_run_folder, remove_leftovers
from techmart_fast.pipeline.progress import RunObserver
from techmart_fast.pipeline.publish import abandon_repairs
from techmart_fast.pipeline.reconcile import MOST_BYTES, Comparison
from techmart_fast.pipeline.repair import Repair
from techmart_fast.pipeline.sinks import Sinks, open_sinks
from techmart_fast.pipeline.stopping import Stop
from techmart_fast.pipeline.synced import SyncResult
from techmart_fast.postgres import Lease
from techmart_fast.settings import Settings
from techmart_fast.transform import Enricher
from techmart_fast.warehouse import LoadTable, Refreshed

_BEHIND = "The warehouse is not up to date"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """What a sync is asked to do, besides publishing what waits.

    `rebuild` computes all partials and rollups. `republish` replaces what differs from PostgreSQL;
    with `whole` everything, and also in a dataset that lacks rows that were published. Without a
    `contract` it is the default one, if the last run had that, too.
    """

    settings: Settings
    observer: RunObserver
    contract: Contract | None = None
    rebuild: bool = False
    republish: bool = False
    whole: bool = False
    stop: asyncio.Event | None = None


async def sync_sinks(request: SyncRequest) -> SyncResult:
    """Bring the warehouse up to date. Errors after it began are in the result.

    Raises:
        TechmartError: it could not begin: nothing was changed.
        ConfigError: the last run had another contract than the default one, and none is given.
    """
    if request.whole and not request.republish:
        raise ConfigError("--all goes with --republish only.")
    contract = request.contract or default_contract()
    journal = Journal(run_id=uuid4(), started=datetime.now(UTC), contract=contract)
    stop = Stop(request.stop, grace_seconds=request.settings.pipeline.stop_grace_seconds)
    async with AsyncExitStack() as opened:
        request.observer.phase("Opening PostgreSQL and the warehouse")
        sinks = await opened.enter_async_context(open_sinks(request.settings))
        await sinks.postgres.migrate()
        if request.contract is None:
            await refuse_other_contract(sinks, contract)
        behind = await fit_sinks(sinks, request, journal, anew=request.whole)
        work = _Sync(request, journal, sinks)

        async def bring(lease: Lease) -> None:
            if behind is not None:
                raise behind_error(behind, _BEHIND)
            await work.do(lease)

        run = await under_lease(sinks, request, journal, bring, stop=stop)
    repaired = work.repair.done if work.repair is not None else {}
    return SyncResult(run=run, repaired=repaired, refreshed=work.refreshed)


class _Sync:
    """The work of a sync, under its lease."""

    def __init__(self, request: SyncRequest, journal: Journal, sinks: Sinks) -> None:
        self._request = request
        self._journal = journal
        self._sinks = sinks
        self.repair: Repair | None = None
        self.refreshed: Refreshed | None = None
        # What was published, but not computed by a run that died, is known to the outbox only.
        self._uncomputed = request.whole or request.rebuild

    async def do(self, lease: Lease) -> None:
        """Publish, and repair if asked to.

        Raises:
            WarehouseBehindError: the warehouse could not be brought up to date.
            SinksDifferError: it was, and differs all the same.
        """
        spool, postgres = self._sinks.home.spool, self._sinks.postgres
        await remove_leftovers(postgres, lease, spool)
        await asyncio.to_thread(make_run_folder, spool, lease.run_id)
        try:
            await abandon_repairs(postgres, self._sinks.warehouse, lease)
            if not self._request.whole:
                await self._publish(lease)
            if self._request.republish:
                self.repair = Repair(
                    sinks=self._sinks,
                    lease=lease,
                    enricher=Enricher(self._journal.contract),
                    observer=self._request.observer,
                    meter=self._journal.meter,
                    folder=spool_folder(self._sinks, lease, self._request.settings),
                    load_job_bytes=self._request.settings.bigquery.load_job_bytes,
                )
                await self._republish(self.repair)
            await remove_leftovers(postgres, lease, spool)
        except SinksDifferError:
            raise
        except (WarehouseError, SpoolError) as error:
            raise behind_error(error, _BEHIND) from error
        if self.refreshed is not None and self.refreshed.expired:
            self._journal.notes.append(expired_note(self.refreshed.expired))

    async def _publish(self, lease: Lease) -> None:
        publisher = publisher_of(self._sinks, lease, self._journal, self._request.settings)
        self._request.observer.phase("Publishing what waits in the outbox")
        try:
            publisher.close()
            await publisher.load_until_closed()
            self._request.observer.phase("Merging and computing the rollups")
            self.refreshed = await publisher.publish(everything=self._request.rebuild)
        except SpoolError as error:
            if not self._request.republish:
                raise
            self._uncomputed = True
            self._journal.notes.append(
                f"{error.args[0]} Its rows were sent again from PostgreSQL instead."
            )
        self._journal.published = publisher.published

    async def _republish(self, repair: Repair) -> None:
        request = self._request
        comparison = Comparison(
            self._sinks,
            observer=request.observer,
            most_bytes=min(MOST_BYTES, request.settings.bigquery.maximum_bytes_billed),
        )
        async with self._sinks.postgres.snapshot() as snapshot:
            groups = await repair.replace(comparison, snapshot, whole=request.whole)
        if groups or self._uncomputed:
            request.observer.phase("Computing the rollups")
            warehouse = self._sinks.warehouse
            self.refreshed = await warehouse.refresh(
                groups,
                self._journal.contract.analytics,
                everything=self._uncomputed,
            )
            await warehouse.forget([LoadTable(table) for table in repair.done])
        await repair.end(groups)
