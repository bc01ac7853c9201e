"""Replays records of the quarantine: read again, by a mended contract or in mended words.

    quarantine ─▶ decode, validate, enrich ─▶ PostgreSQL, at the position of old ─▶ warehouse

A record keeps the position that it had in its file, so the state is the one that there would be had
it been right from the start: newer versions of its id stay. (The quality of its day goes on telling
that it was rejected.) What is accepted is marked as resolved in the transaction that stores it, and
what was corrected is settled: whoever reads its file again leaves that record out. Whenever a
replay is interrupted, it can be run again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from uuid import uuid4

import pyarrow as pa

from techmart_fast.contract import Contract, default_contract
from techmart_fast.errors import ConfigError, DecodeError, RefusedRowError
from techmart_fast.pipeline.corrections import Correction
from techmart_fast.pipeline.following import load_and_publish, publisher_of, spool_folder
from techmart_fast.pipeline.identity import identify_replay
from techmart_fast.pipeline.journal import Journal
from techmart_fast.pipeline.leased import fit_sinks, refuse_other_contract, under_lease
from techmart_fast.pipeline.load import FeedOutcome
from techmart_fast.pipeline.prepare import Stages
from techmart_fast.pipeline.progress import FeedProgress, RunObserver
from techmart_fast.pipeline.read_again import ReadAgain, read_again
from techmart_fast.pipeline.refused import without
from techmart_fast.pipeline.release import release_held
from techmart_fast.pipeline.replayed import ReplayResult, StillRejected
from techmart_fast.pipeline.sinks import Sinks, open_sinks
from techmart_fast.pipeline.spooling import spool_rejected, spooler
from techmart_fast.pipeline.stopping import Stop
from techmart_fast.postgres import BatchWrite, Lease, QuarantineFilter, WaitingRecord
from techmart_fast.reasons import LARGEST_NUMBER
from techmart_fast.records import Feed, FeedCounts, SourceFile
from techmart_fast.settings import Settings
from techmart_fast.sources.sniff import CSV
from techmart_fast.transform import Enricher
from techmart_fast.warehouse import LoadTable

_CUT_OFF = "record_too_large"
_MOST_TOLD = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """What is to be replayed: all that waits and fits the filters, or some numbers of it.

    With `corrections` these records only, each in its new words. Without a `contract` it is the
    default one, if the last run had that, too.
    """

    settings: Settings
    observer: RunObserver
    stages: Stages
    contract: Contract | None = None
    filters: QuarantineFilter = field(default_factory=QuarantineFilter)
    numbers: Collection[int] | None = None
    corrections: Mapping[int, Correction] | None = None
    stop: asyncio.Event | None = None

    @property
    def asked(self) -> Collection[int] | None:
        """The numbers of the records that are asked for; None for all that wait."""
        choices = [set(one) for one in (self.corrections, self.numbers) if one is not None]
        if not choices:
            return None
        given = set.intersection(*choices)
        return {number for number in given if 0 <= number <= LARGEST_NUMBER}


async def replay_quarantine(request: ReplayRequest) -> ReplayResult:
    """Replay rejected records. Errors after it began are in the result.

    Raises:
        TechmartError: it could not begin: nothing was changed.
        ConfigError: the last run had another contract than the default one, and none is given.
    """
    contract = request.contract or default_contract()
    journal = Journal(run_id=uuid4(), started=datetime.now(UTC), contract=contract)
    async with AsyncExitStack() as opened:
        request.observer.phase("Opening PostgreSQL and the warehouse")
        sinks = await opened.enter_async_context(open_sinks(request.settings))
        await sinks.postgres.migrate()
        if request.contract is None:
            await refuse_other_contract(sinks, contract)
        behind = await fit_sinks(sinks, request, journal)
        stop = Stop(request.stop, grace_seconds=request.settings.pipeline.stop_grace_seconds)
        told = _Told()

        async def work(lease: Lease) -> None:
            publisher = publisher_of(sinks, lease, journal, request.settings)
            replay = _Replay(
                request,
                journal=journal,
                sinks=sinks,
                lease=lease,
                told=told,
                stop=stop,
                committed=publisher.wake,
            )
            await load_and_publish(
                replay.do,
                publisher=publisher,
                sinks=sinks,
                lease=lease,
                journal=journal,
                observer=request.observer,
                behind=behind,
                stop=stop,
            )

        run = await under_lease(sinks, request, journal, work, stop=stop)
    asked = request.asked
    return ReplayResult(
        run=run,
        refused=tuple(told.refused),
        cut_off=told.cut_off,
        without_header=told.without_header,
        unfit=dict(told.unfit),
        not_waiting=0 if asked is None or run.error else len(asked) - told.seen,
    )


@dataclass(slots=True)
class _Told:
    """What a replay has to tell besides its counts; it grows as the replay goes on."""

    refused: list[StillRejected] = field(default_factory=list)
    seen: int = 0
    cut_off: int = 0
    without_header: int = 0
    unfit: dict[str, int] = field(default_factory=dict)


class _Replay:
    """The work of a replay, under its lease."""

    def __init__(
        self,
        request: ReplayRequest,
        *,
        journal: Journal,
        sinks: Sinks,
        lease: Lease,
        told: _Told,
        stop: Stop,
        committed: Callable[[], None],
    ) -> None:
        self._request = request
        self._journal = journal
        self._postgres = sinks.postgres
        self._lease = lease
        self._told = told
        self._stop = stop
        self._committed = committed
        self._folder = spool_folder(sinks, lease, request.settings)
        self._corrections = request.corrections or {}

    async def do(self) -> None:
        """Commit what is accepted, parents first; what they release comes before transactions.

        Raises:
            ConfigError: corrections are of other records than the numbers say; nothing was changed.
        """
        await self._check_corrections()
        for feed in Feed:
            if feed is Feed.TRANSACTIONS:
                await release_held(
                    self._postgres,
                    self._lease,
                    folder=self._folder,
                    journal=self._journal,
                    committed=self._committed,
                    stop=self._stop,
                )
            await self._feed(feed)

    async def _check_corrections(self) -> None:
        if not self._corrections:
            return
        for feed in Feed:
            async for waiting in self._waiting(feed):
                for record in waiting:
                    if not self._corrections[record.number].is_of(record):
                        raise ConfigError(
                            f"The correction of record {record.number} is of another one: here "
                            "that number stands for a record of another file or place.",
                            hint="Is it of this database? Export the records again.",
                        )

    async def _waiting(self, feed: Feed) -> AsyncIterator[list[WaitingRecord]]:
        """What is to be replayed of a feed, page by page, until a stop is asked for."""
        pages = self._postgres.waiting_pages(
            feed, self._request.filters, numbers=self._request.asked
        )
        async for waiting in pages:
            if self._stop.cuts_short():
                return
            yield waiting

    async def _feed(self, feed: Feed) -> None:
        self._request.observer.phase(f"Replaying {feed}")
        enricher = None
        async for waiting in self._waiting(feed):
            if enricher is None:
                enricher = await self._enricher(feed)
            self._told.seen += len(waiting)
            readable = [record for record in waiting if self._is_readable(record)]
            for source, records in groupby(readable, key=self._source):
                await self._write(source, list(records), enricher)

    async def _enricher(self, feed: Feed) -> Enricher:
        contract, tiers = self._journal.contract, None
        if feed is Feed.TRANSACTIONS:
            tiers = await self._postgres.premium_users(contract.users.default_customer_tier)
        return self._request.stages.enricher(contract, tiers)

    def _is_readable(self, record: WaitingRecord) -> bool:
        corrected = self._corrections.get(record.number)
        if corrected is None and record.code == _CUT_OFF:
            self._told.cut_off += 1
            return False
        file_format = (corrected and corrected.format) or record.source.format
        if not file_format or (file_format == CSV and not record.source.header):
            self._told.without_header += 1
            return False
        return True

    def _source(self, record: WaitingRecord) -> SourceFile:
        corrected = self._corrections.get(record.number)
        if corrected is None or not corrected.format:
            return record.source
        return replace(record.source, format=corrected.format)

    async def _write(
        self, source: SourceFile, records: Sequence[WaitingRecord], enricher: Enricher
    ) -> None:
        texts = [
            corrected.raw if (corrected := self._corrections.get(one.number)) else one.raw
            for one in records
        ]
        try:
            found = await asyncio.to_thread(
                read_again,
                records,
                texts,
                source=source,
                contract=self._journal.contract,
                validate=self._request.stages.validate,
                enricher=enricher,
                run_started=self._journal.started,
            )
        except DecodeError as unfit:
            left_out = self._told.unfit.get(str(unfit), 0)
            self._told.unfit[str(unfit)] = left_out + len(records)
            return
        identity = identify_replay(
            source,
            self._journal.contract,
            self._lease.run_id,
            first_byte=records[0].source_offset,
            end_byte=records[-1].source_offset + 1,
        )
        spool = spooler(
            LoadTable(source.feed),
            self._folder,
            batch_id=identity.batch_id,
            meter=self._journal.meter,
        )
        write = BatchWrite(
            lease=self._lease,
            identity=identity,
            candidates=found.candidates,
            rejections=found.rejections,
            read=len(records),
            spool=spool,
            kind="replay",
            is_corrected=bool(self._corrections),
        )
        with self._journal.meter.lap("postgres", rows=len(records), size_bytes=found.size_bytes):
            counts = await self._commit(write, found)
        so_far = self._journal.outcomes.get(source.feed, FeedOutcome())
        self._journal.outcomes[source.feed] = replace(
            so_far,
            counts=so_far.counts + counts,
            bytes_read=so_far.bytes_read + found.size_bytes,
        )
        self._committed()
        self._request.observer.progress(_progress(source.feed, self._journal))

    async def _commit(self, write: BatchWrite, found: ReadAgain) -> FeedCounts:
        """Store a batch; of corrected records rejected again the quarantine stays as it is."""
        kept, set_aside = self._apart(write, found)
        try:
            outcome = await self._postgres.write(0, await self._with_file(kept))
        except RefusedRowError:
            refused = await self._postgres.refused_rows(0, kept)
            if not refused:
                raise
            kept, more = self._apart(without(kept, refused, found.places), found)
            set_aside += more
            outcome = await self._postgres.write(0, await self._with_file(kept))
        return outcome.counts + set_aside

    def _apart(self, write: BatchWrite, found: ReadAgain) -> tuple[BatchWrite, FeedCounts]:
        corrected = {
            offset: number
            for offset, number in found.numbers.items()
            if number in self._corrections
        }
        kept: list[int] = []
        dropped: list[int] = []
        for place, offset in enumerate(write.rejections.column("source_offset").to_pylist()):
            (dropped if offset in corrected else kept).append(place)
        again = write.rejections.take(pa.array(dropped, pa.int64())).to_pylist()
        room = max(0, _MOST_TOLD - len(self._told.refused))
        self._told.refused += [
            StillRejected(
                number=corrected[one["source_offset"]],
                feed=write.identity.feed,
                code=one["code"],
                message=one["message"],
            )
            for one in again[:room]
        ]
        reasons: dict[str, int] = {}
        for one in again:
            reasons[one["code"]] = reasons.get(one["code"], 0) + 1
        counts = FeedCounts(read=len(again), rejected=len(again), rejected_by_reason=reasons)
        rest = replace(
            write,
            rejections=write.rejections.take(pa.array(kept, pa.int64())),
            read=write.read - len(again),
        )
        return rest, counts

    async def _with_file(self, write: BatchWrite) -> BatchWrite:
        file = await spool_rejected(
            write.rejections, write.identity, folder=self._folder, meter=self._journal.meter
        )
        return replace(write, rejected_file=file)


def _progress(feed: Feed, journal: Journal) -> FeedProgress:
    counts, read = journal.outcomes[feed].counts, journal.outcomes[feed].bytes_read
    return FeedProgress(
        feed=feed, bytes_done=read, bytes_total=read, counts=counts, waiting_bytes=0
    )
