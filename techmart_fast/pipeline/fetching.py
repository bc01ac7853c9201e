"""Feeds that come from an API: fetched into a file, loaded like any file, remembered afterwards.

    API ─▶ pages ─▶ capture (a file) ─▶ the same way as files ─▶ checkpoint

The checkpoint says how far the API was read. It is stored when all rows up to there are committed.
"""

import asyncio
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from techmart_fast.contract import Contract
from techmart_fast.contract.endpoint import Endpoint
from techmart_fast.pipeline.progress import FetchProgress, RunObserver
from techmart_fast.postgres import ApiCheckpoint, Lease, PostgresSink
from techmart_fast.records import FIELDS, Feed, SourceFile
from techmart_fast.results import FetchReport
from techmart_fast.sources import api
from techmart_fast.sources.api import (
    Captures,
    ChangeKind,
    Checkpoint,
    Event,
    Fetched,
    KeptCapture,
    PageFetched,
    Paused,
    Resumed,
    Retrying,
)
from techmart_fast.sources.sniff import NDJSON
from techmart_fast.sources.stream import PLAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFeed:
    """What an API gave for a feed: a file to load, None if nothing is new; and what to remember."""

    feed: Feed
    endpoint: Endpoint
    report: FetchReport
    reached: ApiCheckpoint
    file: SourceFile | None = None
    kept: KeptCapture | None = None
    captures: Captures

    @property
    def lists_everything(self) -> bool:
        """Whether what is missing from the file is nowhere."""
        complete = self.kept is not None and self.kept.complete
        return complete and self.endpoint.lists_everything


async def fetch_feed(
    feed: Feed,
    endpoint: Endpoint,
    *,
    contract: Contract,
    postgres: PostgresSink,
    folder: Path,
    observer: RunObserver,
) -> FetchedFeed:
    """Fetch what is new of a feed's API, or take what an earlier run fetched and did not load.

    `folder` is the database's own. Call it under the lease.

    Raises:
        SourceError, ConfigError, SpoolError: see `sources.api.fetch`.
        SinkError: how far the API was read can't be told.
    """
    observer.phase(f"Fetching {feed} from {endpoint.where}")
    captures = Captures(folder / feed.value)
    stored = await postgres.api_checkpoint(feed, endpoint.selection)
    kept = await asyncio.to_thread(
        captures.waiting,
        endpoint.selection,
        contract_version=contract.version,
        newest=timedelta(seconds=endpoint.limits.resume_seconds),
        now=datetime.now(UTC),
    )
    if kept is not None:
        return FetchedFeed(
            feed=feed,
            endpoint=endpoint,
            report=FetchReport(
                where=endpoint.where, records=kept.records, resumed=True, complete=kept.complete
            ),
            reached=_reached(kept.checkpoint, kept.sha256, contract),
            captures=captures,
            kept=kept,
            file=await asyncio.to_thread(_file_of, kept, feed, endpoint, captures),
        )
    fetched = await _fetch(
        feed, endpoint, contract, captures.folder, observer, since=_since(stored, contract)
    )
    same = (
        stored is not None
        and stored.is_newest
        and stored.sha256 == fetched.sha256
        and stored.contract_version == contract.version
        and endpoint.incremental is None
    )
    file = None
    if fetched.path is not None:
        kept = await asyncio.to_thread(
            captures.keep, fetched, contract_version=contract.version, now=datetime.now(UTC)
        )
        if not same:
            file = await asyncio.to_thread(_file_of, kept, feed, endpoint, captures)
    return FetchedFeed(
        feed=feed,
        endpoint=endpoint,
        report=_report(endpoint, fetched, same=same, read=_read_names(feed, contract)),
        reached=_reached(fetched.checkpoint, fetched.sha256 or None, contract),
        captures=captures,
        kept=kept,
        file=file,
    )


async def fetch_to_look(
    feed: Feed, endpoint: Endpoint, *, contract: Contract, folder: Path, observer: RunObserver
) -> SourceFile | None:
    """Everything that the API has, in a file in `folder`; nothing is remembered.

    Raises:
        SourceError, ConfigError, SpoolError: see `sources.api.fetch`.
    """
    observer.phase(f"Fetching {feed} from {endpoint.where}")
    fetched = await _fetch(feed, endpoint, contract, folder / feed.value, observer)
    if fetched.path is None:
        return None
    return await asyncio.to_thread(_source_file, feed, endpoint, fetched.path, fetched.sha256)


async def remember(fetched: FetchedFeed, *, postgres: PostgresSink, lease: Lease) -> None:
    """Store how far the API was read: all rows of the file are committed.

    Raises:
        LeaseHeldError: another run took over.
    """
    await postgres.store_api_checkpoint(
        lease, fetched.feed, fetched.endpoint.selection, fetched.reached
    )
    await forget(fetched)


async def forget(fetched: FetchedFeed) -> None:
    """Remove a capture that is loaded, or can't be: the next run fetches anew."""
    if fetched.kept is not None:
        await asyncio.to_thread(fetched.captures.drop, fetched.kept)


def _since(stored: ApiCheckpoint | None, contract: Contract) -> Checkpoint | None:
    """What the fetch goes on from.

    Under another contract everything is wanted again, as it may accept what was rejected, but the
    shape of the records is still what it was.
    """
    if stored is None:
        return None
    checkpoint = Checkpoint.model_validate_json(stored.text)
    if stored.contract_version != contract.version:
        return Checkpoint(selection=checkpoint.selection, shape=checkpoint.shape)
    if not stored.is_newest:
        # Other records came since: that nothing has changed here does not mean that it stands.
        return checkpoint.model_copy(update={"validators": None})
    return checkpoint


async def _fetch(
    feed: Feed,
    endpoint: Endpoint,
    contract: Contract,
    folder: Path,
    observer: RunObserver,
    *,
    since: Checkpoint | None = None,
) -> Fetched:
    rules = contract.rules(feed)
    return await api.fetch(
        endpoint,
        folder=folder,
        since=since,
        required=[rules.source_name(field) for field in rules.required],
        fields=_read_names(feed, contract),
        observer=_Watch(feed, endpoint, observer),
    )


def _reached(checkpoint: Checkpoint, sha256: str | None, contract: Contract) -> ApiCheckpoint:
    return ApiCheckpoint(
        text=checkpoint.model_dump_json(), sha256=sha256, contract_version=contract.version
    )


def _file_of(
    kept: KeptCapture, feed: Feed, endpoint: Endpoint, captures: Captures
) -> SourceFile | None:
    # Not the content alone: a catalogue that is again as it was a week ago is news.
    fingerprint = hashlib.sha256(f"{kept.fetch_id} {kept.sha256}".encode()).hexdigest()
    return _source_file(feed, endpoint, captures.path_of(kept), fingerprint)


def _source_file(feed: Feed, endpoint: Endpoint, path: Path, fingerprint: str) -> SourceFile | None:
    """The file as the pipeline takes it; None if it is empty."""
    status = path.stat()
    if not status.st_size:
        return None
    return SourceFile(
        feed=feed,
        name=endpoint.where,
        path=path,
        fingerprint=fingerprint,
        size_bytes=status.st_size,
        compression=PLAIN,
        format=NDJSON,
        inode=status.st_ino,
        modified_ns=status.st_mtime_ns,
    )


def _read_names(feed: Feed, contract: Contract) -> frozenset[str]:
    """The names that the feed's fields have at the service."""
    return frozenset(contract.rules(feed).source_name(field) for field in FIELDS[feed])


def _report(
    endpoint: Endpoint, fetched: Fetched, *, same: bool, read: Collection[str]
) -> FetchReport:
    return FetchReport(
        where=endpoint.where,
        records=fetched.records,
        pages=fetched.pages,
        requests=fetched.requests,
        retries=fetched.retries,
        waited_seconds=round(fetched.waited_seconds, 3),
        resumed=fetched.resumed_pages > 0,
        unchanged=fetched.unchanged or same,
        complete=fetched.complete,
        shifted=fetched.shifted,
        missing=fetched.missing,
        doubtful=fetched.doubtful,
        unmarked=bool(
            endpoint.incremental and fetched.records and fetched.checkpoint.watermark is None
        ),
        # A field that is read and was seldom there before is no news.
        changes=tuple(
            str(change)
            for change in fetched.changes
            if change.kind is not ChangeKind.NEW_FIELD or change.name not in read
        ),
    )


class _Watch:
    """Tells the run's observer how a fetch gets on."""

    def __init__(self, feed: Feed, endpoint: Endpoint, observer: RunObserver) -> None:
        self._feed = feed
        self._where = endpoint.where
        self._observer = observer
        self._pages = self._records = self._retries = 0
        self._total: int | None = None

    def saw(self, event: Event) -> None:
        """Pass it on."""
        match event:
            case Resumed(pages=pages, records=records):
                self._count(pages, records, None)
            case PageFetched(records=records, total_records=total):
                self._count(1, records, total)
            case Retrying():
                self._retries += 1
                self._tell()
            case Paused(reason=reason, seconds=seconds):
                self._observer.phase(f"{self._where}: {reason}, waiting {seconds:.0f} s")
            case _:
                return

    def _count(self, pages: int, records: int, total: int | None) -> None:
        self._pages += pages
        self._records += records
        self._total = total if total is not None else self._total
        self._tell()

    def _tell(self) -> None:
        self._observer.fetching(
            FetchProgress(
                feed=self._feed,
                pages=self._pages,
                records=self._records,
                total_records=self._total,
                retries=self._retries,
            )
        )
