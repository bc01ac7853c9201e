"""The synchronous façade: one object, one call, plain dictionaries for scripts and notebooks."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from techmart_fast.api import DataSources, reconcile, replay, run, sync
from techmart_fast.contract import Contract
from techmart_fast.errors import TechmartError
from techmart_fast.pipeline.corrections import read_corrections
from techmart_fast.pipeline.progress import FeedProgress, FetchProgress
from techmart_fast.results import RunResult, RunStatus
from techmart_fast.settings import Settings

_Result = TypeVar("_Result")


class PipelineReport(TypedDict):
    """What `run_pipeline` returns. `status` is `completed` or `failed`.

    `counts` has the counts of each feed, `data_quality_scores` the score of each dimension,
    `performance_metrics` seconds, rows_per_second and peak_memory_bytes; `stages` lists rows, bytes
    and times by stage.
    """

    status: str
    run_id: str | None
    stages: object
    counts: object
    data_quality_scores: object
    performance_metrics: dict[str, object]
    error: str | None


class PipelineStatus(TypedDict):
    """What `get_pipeline_status` returns. `status`: idle, running, completed or failed."""

    status: str
    phase: str | None
    records_read: int
    last_run: PipelineReport | None


class ECommerceAnalyticsPipeline:
    """Loads the shop's feeds and computes the analytics, from synchronous code.

    One run at a time for each object; `get_pipeline_status` may be called from another thread.
    """

    def __init__(
        self, *, settings: Settings | None = None, contract: Contract | None = None
    ) -> None:
        self._settings = settings
        self._contract = contract
        self._guard = threading.Lock()
        self._following = _Following()
        self._last: PipelineReport | None = None
        self._running = False

    def run_pipeline(
        self, data_sources: Mapping[str, str | Path | list[str | Path]] | None = None
    ) -> PipelineReport:
        """Run the whole pipeline and wait for it.

        `data_sources` maps `users`, `products`, `transactions` to a path, glob or folder, or a list
        of them; without it the bundled sample is loaded. Works inside a running event loop too
        (a notebook): the run then has a thread and a loop of its own.

        Raises:
            RuntimeError: this object is already running.
        """
        with self._guard:
            if self._running:
                raise RuntimeError("This pipeline is already running.")
            self._running = True
        try:
            self._following = _Following()
            with ThreadPoolExecutor(1, thread_name_prefix="techmart-run") as own_thread:
                report = own_thread.submit(self._run, data_sources).result()
            self._last = report
            return report
        finally:
            self._running = False

    def reconcile(self) -> dict[str, object]:
        """Whether both sinks hold the same rows; see `techmart_fast.reconcile`.

        `standing` is `equal`, `behind` or `differs`, `tables` says more.

        Raises:
            TechmartError: a sink can't be reached or asked.
        """
        return self._alone(lambda: reconcile(settings=self._settings)).to_dict()

    def sync(self, *, rebuild: bool = False, republish: bool = False) -> dict[str, object]:
        """Bring the warehouse up to date without loading anything; see `techmart_fast.sync`.

        Raises:
            TechmartError: it could not begin; nothing was changed.
        """
        return self._alone(
            lambda: sync(
                settings=self._settings,
                contract=self._contract,
                rebuild=rebuild,
                republish=republish,
            )
        ).to_dict()

    def replay(self, corrections: str | Path | None = None) -> dict[str, object]:
        """Load the quarantine's records again; see `techmart_fast.replay`.

        `corrections` is a file of them (see `quarantine export`); without it all that wait are
        read again, by this object's contract.

        Raises:
            TechmartError: it could not begin; nothing was changed.
        """
        given = None if corrections is None else read_corrections(Path(corrections))
        return self._alone(
            lambda: replay(settings=self._settings, contract=self._contract, corrections=given)
        ).to_dict()

    def get_pipeline_status(self) -> PipelineStatus:
        """What the pipeline is doing, and the report of its last run."""
        last = self._last
        status = "running" if self._running else (last["status"] if last else "idle")
        return PipelineStatus(
            status=status,
            phase=self._following.phase_name if self._running else None,
            records_read=self._following.records_read,
            last_run=last,
        )

    def _alone(self, work: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        """The result of a coroutine in a thread and a loop of its own, as `run_pipeline`."""
        with ThreadPoolExecutor(1, thread_name_prefix="techmart-ask") as own_thread:
            return own_thread.submit(lambda: asyncio.run(work())).result()

    def _run(
        self, data_sources: Mapping[str, str | Path | list[str | Path]] | None
    ) -> PipelineReport:
        try:
            sources = None if data_sources is None else DataSources.of(data_sources)
            result = asyncio.run(
                run(
                    sources,
                    settings=self._settings,
                    contract=self._contract,
                    observer=self._following,
                )
            )
        except TechmartError as error:
            return _failed(str(error))
        return _report(result)


class _Following:
    """Remembers where a run is."""

    def __init__(self) -> None:
        self.phase_name: str | None = None
        self._read: dict[str, int] = {}

    @property
    def records_read(self) -> int:
        """Records committed so far, all feeds."""
        return sum(self._read.values())

    def phase(self, name: str) -> None:
        """Remember the phase."""
        self.phase_name = name

    def fetching(self, progress: FetchProgress) -> None:
        """Pages are no records yet."""

    def progress(self, progress: FeedProgress) -> None:
        """Remember the counts."""
        self._read[progress.feed] = progress.counts.read


def _report(result: RunResult) -> PipelineReport:
    facts = result.to_dict()
    completed = result.status is RunStatus.COMPLETED
    return PipelineReport(
        status="completed" if completed else "failed",
        run_id=str(result.run_id),
        stages=facts["stages"],
        counts=facts["feeds"],
        data_quality_scores=facts["quality"],
        performance_metrics={
            "seconds": facts["seconds"],
            "rows_per_second": facts["rows_per_second"],
            "peak_memory_bytes": facts["peak_memory_bytes"],
        },
        error=result.error,
    )


def _failed(error: str) -> PipelineReport:
    return PipelineReport(
        status="failed",
        run_id=None,
        stages=[],
        counts={},
        data_quality_scores={},
        performance_metrics={},
        error=error,
    )
