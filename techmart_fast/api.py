"""The library's front door: run the pipeline, async or sync, with your own settings and stages."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Self

from techmart_fast.bundled import bundled
from techmart_fast.contract import Contract, default_contract
from techmart_fast.errors import ConfigError
from techmart_fast.pipeline.corrections import Correction
from techmart_fast.pipeline.prepare import Stages
from techmart_fast.pipeline.progress import RunObserver, SilentObserver
from techmart_fast.pipeline.reconcile import Span, reconcile_sinks
from techmart_fast.pipeline.reconciled import Reconciliation
from techmart_fast.pipeline.rehearsal import RunPlan, rehearse
from techmart_fast.pipeline.replay import ReplayRequest, replay_quarantine
from techmart_fast.pipeline.replayed import ReplayResult
from techmart_fast.pipeline.run import RunRequest, run_pipeline
from techmart_fast.pipeline.sync import SyncRequest, sync_sinks
from techmart_fast.pipeline.synced import SyncResult
from techmart_fast.postgres import QuarantineFilter
from techmart_fast.records import Feed
from techmart_fast.results import RunResult
from techmart_fast.settings import Settings, load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSources:
    """What to load: for each feed files, globs, folders, `-` (standard input), or an API's address.

    The API of a feed is fetched as the contract describes it; one that the contract describes is
    fetched, too, where the feed has no sources here.
    """

    users: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    transactions: tuple[str, ...] = ()

    @classmethod
    def sample(cls) -> Self:
        """The small shop that ships with the project."""
        return cls(
            users=(str(bundled("data", "sample_users.csv")),),
            products=(str(bundled("data", "sample_products.json")),),
            transactions=(str(bundled("data", "sample_transactions.json")),),
        )

    @classmethod
    def of(cls, sources: Mapping[str, str | Path | list[str | Path]]) -> Self:
        """From a mapping of feed names to a path, or a list of paths.

        Raises:
            ConfigError: it is no mapping, or a name is not that of a feed.
        """
        if not isinstance(sources, Mapping):
            raise ConfigError(
                "The data sources are no mapping.",
                hint='Give one of feeds to files, like {"users": "users.csv"}.',
            )
        if unknown := sorted(sources.keys() - set(Feed)):
            raise ConfigError(
                f"There is no feed '{unknown[0]}'.", hint=f"The feeds are {', '.join(Feed)}."
            )
        specs = {
            Feed(name).value: tuple(
                str(one) for one in (given if isinstance(given, list) else [given])
            )
            for name, given in sources.items()
        }
        return cls(**specs)

    def by_feed(self) -> dict[Feed, tuple[str, ...]]:
        """The specs of each feed."""
        return {
            Feed.USERS: self.users,
            Feed.PRODUCTS: self.products,
            Feed.TRANSACTIONS: self.transactions,
        }


async def run(
    sources: DataSources | None = None,
    *,
    settings: Settings | None = None,
    contract: Contract | None = None,
    observer: RunObserver | None = None,
    stages: Stages | None = None,
    ordinal: int | None = None,
    max_rejected: int | Decimal | None = None,
    stop: asyncio.Event | None = None,
) -> RunResult:
    """Load `sources` (the bundled sample by default) into PostgreSQL and the warehouse.

    `stages` replaces decode, validate or the enricher. `ordinal` orders the files of this run among
    those of other runs (the first file gets it, the next ones count on). More than `max_rejected`
    rejected records, or (a Decimal, 0 to 1) that share of them, end the run (exit code 4). Setting
    `stop` ends it cleanly: it reads no more, and commits and publishes what it has read, within
    `stop_grace_seconds` of the settings. Cancelling the task stops it at once. Either way the next
    run carries on.

    Returns:
        The run's result, also when it failed after it began (see `status` and `error`).

    Raises:
        TechmartError: the run could not begin; no record was written.
    """
    return await run_pipeline(
        RunRequest(
            sources=(sources or DataSources.sample()).by_feed(),
            settings=settings or load_settings(),
            contract=contract or default_contract(),
            observer=observer or SilentObserver(),
            stages=stages or Stages(),
            ordinal=ordinal,
            max_rejected=max_rejected,
            stop=stop,
        )
    )


async def plan(
    sources: DataSources | None = None,
    *,
    settings: Settings | None = None,
    contract: Contract | None = None,
    observer: RunObserver | None = None,
) -> RunPlan:
    """What loading `sources` would take: rows, Parquet, jobs, bytes and price. Loads nothing.

    Raises:
        TechmartError: the sources can't be read, or the warehouse does not answer.
    """
    return await rehearse(
        (sources or DataSources.sample()).by_feed(),
        settings=settings or load_settings(),
        contract=contract or default_contract(),
        observer=observer or SilentObserver(),
    )


async def reconcile(
    *,
    settings: Settings | None = None,
    since: date | None = None,
    until: date | None = None,
    observer: RunObserver | None = None,
) -> Reconciliation:
    """Whether PostgreSQL and the warehouse hold the same rows; where not, which days and batches.

    `since` and `until` (inclusive) bound the days of transactions; users and products are compared
    in any case. Changes nothing, needs no lease, and may be used while a run is at work: what that
    has not published yet is `behind`.

    Raises:
        TechmartError: a sink can't be reached or asked, or is not the other one's.
    """
    return await reconcile_sinks(
        settings or load_settings(),
        observer=observer or SilentObserver(),
        span=Span(since=since, until=until),
    )


async def sync(
    *,
    settings: Settings | None = None,
    contract: Contract | None = None,
    rebuild: bool = False,
    republish: bool = False,
    everything: bool = False,
    observer: RunObserver | None = None,
    stop: asyncio.Event | None = None,
) -> SyncResult:
    """Bring the warehouse up to date without loading anything: publish what waits in the outbox.

    `rebuild` computes all partials and rollups anew. `republish` sends PostgreSQL's rows of all
    days and keys that `reconcile` finds unequal again, and takes out what PostgreSQL does not have;
    with `everything` it sends all there is, into another or a new dataset, too. Needs the lease.
    Setting `stop` leaves it the grace time of the settings to come to its end. Whenever it is
    interrupted, it can be run again.

    Returns:
        What was done, also when it failed after it began (see `run.status` and `run.error`).

    Raises:
        TechmartError: it could not begin; nothing was changed.
    """
    return await sync_sinks(
        SyncRequest(
            settings=settings or load_settings(),
            observer=observer or SilentObserver(),
            contract=contract,
            rebuild=rebuild,
            republish=republish,
            whole=everything,
            stop=stop,
        )
    )


async def replay(
    *,
    settings: Settings | None = None,
    contract: Contract | None = None,
    filters: QuarantineFilter | None = None,
    numbers: Collection[int] | None = None,
    corrections: Mapping[int, Correction] | None = None,
    observer: RunObserver | None = None,
    stages: Stages | None = None,
    stop: asyncio.Event | None = None,
) -> ReplayResult:
    """Load records of the quarantine again: by a mended contract, or in mended words.

    All that wait and fit the `filters`, or those of `numbers`; with `corrections` these records
    only, by their number. A record keeps the position that it had in its file: newer versions of
    its id stay. What is accepted is marked as resolved; what is not stays in the quarantine.
    Decoding is the built-in one; `stages` may replace validation and the enricher. Needs the lease.

    Returns:
        What was done, also when it failed after it began (see `run.status` and `run.error`).

    Raises:
        TechmartError: it could not begin; nothing was changed.
    """
    return await replay_quarantine(
        ReplayRequest(
            settings=settings or load_settings(),
            observer=observer or SilentObserver(),
            stages=stages or Stages(),
            contract=contract,
            filters=filters or QuarantineFilter(),
            numbers=numbers,
            corrections=corrections,
            stop=stop,
        )
    )
