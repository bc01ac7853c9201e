"""What a run does between its lease and its report: the feeds in order, then the warehouse."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from techmart_fast.contract.endpoint import Endpoint
from techmart_fast.decode import blocks
from techmart_fast.errors import TechmartError
from techmart_fast.pipeline.changed import refuse_changed
from techmart_fast.pipeline.fetching import FetchedFeed, fetch_feed, forget, remember
from techmart_fast.pipeline.find import Found
from techmart_fast.pipeline.following import (
    Behind,
    load_and_publish,
    publisher_of,
    spool_folder,
)
from techmart_fast.pipeline.journal import Journal
from techmart_fast.pipeline.limits import Most, RejectionLimit
from techmart_fast.pipeline.load import FeedLoad, LoadPlan
from techmart_fast.pipeline.prepare import Stages
from techmart_fast.pipeline.progress import RunObserver
from techmart_fast.pipeline.release import release_held
from techmart_fast.pipeline.sinks import Sinks, writer_count
from techmart_fast.pipeline.spooling import spooler
from techmart_fast.pipeline.stopping import Stop, StopRequested
from techmart_fast.postgres import Lease
from techmart_fast.records import Cut, Feed, SourceFile
from techmart_fast.settings import Settings
from techmart_fast.together import task_group, together
from techmart_fast.warehouse import LoadTable

_MOST_THREADS = 4


class Work:
    """The work of one run, under its lease."""

    def __init__(
        self,
        *,
        journal: Journal,
        sinks: Sinks,
        lease: Lease,
        settings: Settings,
        stages: Stages,
        observer: RunObserver,
        ordinal: int | None,
        max_rejected: Most | None,
        stop: Stop,
    ) -> None:
        self._journal = journal
        self._sinks = sinks
        self._lease = lease
        self._settings = settings
        self._stages = stages
        self._observer = observer
        self._ordinal = ordinal
        self._max_rejected = max_rejected
        self._stop = stop
        self._spool_folder = spool_folder(sinks, lease, settings)
        self._publisher = publisher_of(sinks, lease, journal, settings)

    async def do(self, sources: Found, behind: Behind | None) -> None:
        """Load every feed, then bring the warehouse and its rollups up to date.

        `behind` says that the warehouse can't be used in this run: it stays as it is. Asked to
        stop, it loads nothing more, and publishes what is committed.

        Raises:
            StopRequested: that left something to the next run.
            TechmartError: what stopped the run; `WarehouseBehindError` if PostgreSQL has all of it
                and only the warehouse is behind.
        """
        await load_and_publish(
            lambda: self._load_feeds(sources),
            publisher=self._publisher,
            sinks=self._sinks,
            lease=self._lease,
            journal=self._journal,
            observer=self._observer,
            behind=behind,
            stop=self._stop,
        )

    async def _load_feeds(self, sources: Found) -> None:
        await refuse_changed(
            sources.files, contract=self._journal.contract, postgres=self._sinks.postgres
        )
        files, fetched = sources.files, await self._fetch_unless_stopped(sources.endpoints)
        for feed in Feed:
            if self._stop.cuts_short():
                return
            if feed is Feed.TRANSACTIONS:
                await release_held(
                    self._sinks.postgres,
                    self._lease,
                    folder=self._spool_folder,
                    journal=self._journal,
                    committed=self._publisher.wake,
                    stop=self._stop,
                )
            of_api = fetched.get(feed)
            if files.get(feed) or (of_api is not None and of_api.file is not None):
                if feed is Feed.TRANSACTIONS:
                    owes = await self._sinks.postgres.put_off_index(self._lease)
                    self._journal.owes_index = owes
                try:
                    await self._load(feed, files.get(feed, ()), of_api)
                except* TechmartError as errors:
                    if of_api is not None and not _may_pass(errors):
                        await forget(of_api)
                    raise
            if of_api is not None and not self._stop.cut_short:
                await remember(of_api, postgres=self._sinks.postgres, lease=self._lease)

    async def _fetch_unless_stopped(
        self, endpoints: Mapping[Feed, Endpoint]
    ) -> Mapping[Feed, FetchedFeed]:
        """The same as `_fetch`; nothing once the run is to stop: the next one goes on with it."""
        try:
            async with task_group() as tasks:
                watch = tasks.create_task(self._stop.at_once(), name="watch for a stop")
                fetched = await self._fetch(endpoints)
                watch.cancel()
        except StopRequested:
            return {}
        return fetched

    async def _fetch(self, endpoints: Mapping[Feed, Endpoint]) -> Mapping[Feed, FetchedFeed]:
        """What the APIs have, all of it before anything is loaded: a list is whole or not there.

        Hosts are asked at the same time, feeds of one host in turn: its limit is for all of them.
        """
        if not endpoints:
            return {}
        known = await self._sinks.postgres.publication()
        folder = self._sinks.home.fetches / known.database_id.hex
        fetched: dict[Feed, FetchedFeed] = {}

        async def from_host(feeds: Mapping[Feed, Endpoint]) -> None:
            for feed, endpoint in feeds.items():
                fetched[feed] = await fetch_feed(
                    feed,
                    endpoint,
                    contract=self._journal.contract,
                    postgres=self._sinks.postgres,
                    folder=folder,
                    observer=self._observer,
                )
                self._journal.fetched[feed] = fetched[feed].report

        hosts: dict[str, dict[Feed, Endpoint]] = {}
        for feed, endpoint in endpoints.items():
            hosts.setdefault(endpoint.host, {})[feed] = endpoint
        await together({f"fetch from {host}": from_host(feeds) for host, feeds in hosts.items()})
        return fetched

    async def _load(
        self, feed: Feed, found: Sequence[SourceFile], of_api: FetchedFeed | None
    ) -> None:
        self._observer.phase(f"Loading {feed}")
        contract, pipeline = self._journal.contract, self._settings.pipeline
        writers = writer_count(self._settings) if feed is Feed.TRANSACTIONS else 1
        registered = await self._register(feed, found, of_api, writers=writers)
        tiers = None
        if feed is Feed.TRANSACTIONS:
            tiers = await self._sinks.postgres.premium_users(contract.users.default_customer_tier)
        files = tuple(sorted(registered, key=lambda file: file.ordinal))
        done = await self._sinks.postgres.done_parts(self._lease, files)
        enricher = self._stages.enricher(contract, tiers)
        for cut, group in groupby(files, key=lambda file: file.cut):
            of_cut = tuple(group)
            # Files cut otherwise share out ids to writers otherwise: never at the same time.
            plan = LoadPlan(
                feed=feed,
                files=of_cut,
                contract=contract,
                lease=self._lease,
                stages=self._stages,
                enricher=enricher,
                run_started=self._journal.started,
                cut=cut,
                writers=writers,
                threads=pipeline.decode_threads or min(os.cpu_count() or 1, _MOST_THREADS),
                channel_bytes=pipeline.channel_bytes,
                max_record_bytes=pipeline.max_record_bytes,
                spool_folder=self._spool_folder,
                limit=self._limit(feed),
                done={
                    file.fingerprint: done[file.fingerprint]
                    for file in of_cut
                    if file.fingerprint in done
                },
                resends=frozenset({of_api.file.fingerprint})
                if of_api is not None and of_api.file is not None
                else frozenset(),
            )
            await self._load_group(plan)
        whole = feed is Feed.PRODUCTS and not self._stop.cut_short
        if whole and await self._is_whole(of_api, files):
            await self._deactivate(files)

    async def _is_whole(self, of_api: FetchedFeed | None, files: Sequence[SourceFile]) -> bool:
        """Whether a product that these files do not name is not sold any more."""
        if of_api is None or of_api.kept is None:
            return self._journal.contract.products.catalogue == "complete"
        if not of_api.lists_everything:
            return False
        named = await self._sinks.postgres.products_named(files[-1].ordinal)
        repeated = of_api.kept.records - named
        report = replace(of_api.report, repeated=max(0, repeated))
        self._journal.fetched[Feed.PRODUCTS] = report
        return not report.repeated

    async def _register(
        self,
        feed: Feed,
        found: Sequence[SourceFile],
        of_api: FetchedFeed | None,
        *,
        writers: int,
    ) -> list[SourceFile]:
        """The feed's files with their ordinals; what came from an API comes after the others."""
        cut = Cut(block_bytes=self._settings.pipeline.block_bytes, lanes=writers)
        postgres, ordinal = self._sinks.postgres, self._ordinal
        policy = self._journal.contract.rules(feed).ordinal
        files = await postgres.register_files(
            self._lease, found, policy=policy, cut=cut, explicit=ordinal
        )
        if of_api is not None and of_api.file is not None:
            # An address has no number in its name.
            files += await postgres.register_files(
                self._lease,
                [of_api.file],
                policy="run",
                cut=cut,
                explicit=None if ordinal is None else ordinal + len(files),
            )
        return files

    def _limit(self, feed: Feed) -> RejectionLimit | None:
        if self._max_rejected is None:
            return None
        others = [load.counts for of, load in self._journal.outcomes.items() if of is not feed]
        return RejectionLimit(
            most=self._max_rejected,
            before=sum(counts.rejected for counts in others),
            read_before=sum(counts.read for counts in others),
        )

    async def _load_group(self, plan: LoadPlan) -> None:
        load = FeedLoad(
            plan,
            blocks=blocks,
            sink=self._sinks.postgres,
            meter=self._journal.meter,
            observer=self._observer,
            committed=self._publisher.wake,
            stop=self._stop,
            so_far=self._journal.outcomes.get(plan.feed),
        )
        try:
            await load.run()
        finally:
            self._journal.outcomes[plan.feed] = load.outcome
        if load.lengths:
            await self._sinks.postgres.store_lengths(self._lease, plan.feed, load.lengths)

    async def _deactivate(self, files: Sequence[SourceFile]) -> None:
        spool = spooler(
            LoadTable.PRODUCTS,
            self._spool_folder,
            batch_id=self._lease.run_id,
            meter=self._journal.meter,
        )
        self._journal.deactivated = await self._sinks.postgres.deactivate_products(
            self._lease, spool, since_ordinal=min(file.ordinal for file in files)
        )


def _may_pass(errors: BaseExceptionGroup[TechmartError]) -> bool:
    """Whether the same file may be loaded later."""
    return (
        errors.split(lambda error: isinstance(error, TechmartError) and not error.transient)[0]
        is None
    )
