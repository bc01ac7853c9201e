"""What is known of a run so far, and the result it adds up to."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from techmart_fast.contract import Contract
from techmart_fast.errors import ExitCode
from techmart_fast.pipeline.load import FeedOutcome
from techmart_fast.pipeline.meter import Meter
from techmart_fast.pipeline.sinks import Sinks
from techmart_fast.quality import QualityStatus, QualityTally, score, verdict
from techmart_fast.records import Feed
from techmart_fast.results import FetchReport, MemoryPeaks, RunResult, RunStatus, WarehouseCost


@dataclass(slots=True)
class Journal:
    """What is known of a run so far; the only changing state of a run."""

    run_id: UUID
    started: datetime
    contract: Contract
    began: float = field(default_factory=time.monotonic)
    meter: Meter = field(default_factory=Meter)
    outcomes: dict[Feed, FeedOutcome] = field(default_factory=dict)
    released: int = 0
    deactivated: int = 0
    published: Mapping[str, int] = field(default_factory=dict)
    fetched: dict[Feed, FetchReport] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    sinks: Sinks | None = None
    cost: WarehouseCost | None = None
    owes_index: bool = False
    memory: MemoryPeaks = field(default_factory=lambda: MemoryPeaks(loader=0))

    def result(
        self, status: RunStatus, *, error: str | None = None, exit_code: ExitCode = ExitCode.DONE
    ) -> RunResult:
        """The run's result as of now."""
        thresholds = self.contract.quality
        tallies = {feed: outcome.judged for feed, outcome in self.outcomes.items()}
        overall = score(sum(tallies.values(), QualityTally()), thresholds)
        by_feed = {feed: score(tally, thresholds) for feed, tally in tallies.items()}
        worst = verdict(overall)
        if exit_code is ExitCode.DONE and worst is QualityStatus.FAIL:
            exit_code = ExitCode.QUALITY_FAIL
        result = RunResult(
            run_id=self.run_id,
            status=status,
            started=self.started,
            # By the clock that does not jump.
            ended=self.started + timedelta(seconds=time.monotonic() - self.began),
            feeds={feed: outcome.counts for feed, outcome in self.outcomes.items()},
            quality=overall,
            quality_by_feed=by_feed,
            verdict=worst,
            stages=self.meter.metrics(),
            memory=self.memory,
            released=self.released,
            deactivated=self.deactivated,
            published=self.published,
            fetched=dict(self.fetched),
            cost=self.cost,
            unknown_fields={
                feed: outcome.unknown_fields for feed, outcome in self.outcomes.items()
            },
            destinations=self.sinks.destinations if self.sinks else (),
            notes=(*self.notes, *self._retried(), *self._of_fetches(), *self._swallowed()),
            error=error,
            exit_code=exit_code,
        )
        if result.nothing_new:
            result = replace(result, notes=(*result.notes, "Nothing new: nothing was changed."))
        return result

    def _retried(self) -> Iterator[str]:
        if self.sinks is not None and (note := self.sinks.retries.note) is not None:
            yield note

    def _of_fetches(self) -> Iterator[str]:
        for feed, report in self.fetched.items():
            for said in _said(report):
                yield f"{feed}: {said}"

    def _swallowed(self) -> Iterator[str]:
        for feed, outcome in self.outcomes.items():
            if outcome.swallowed:
                yield (
                    f"{feed}: rejected records reach over {outcome.swallowed:,} more lines. Is a "
                    "quote never closed there? It takes the lines up to the next quote with it."
                )

    @property
    def bytes_read(self) -> int:
        """Decompressed bytes of all feeds."""
        return sum(outcome.bytes_read for outcome in self.outcomes.values())


def _said(report: FetchReport) -> Iterator[str]:
    """What is worth knowing of a fetch."""
    where = report.where
    if report.unchanged:
        yield f"nothing has changed at {where} since the last fetch."
    if report.resumed and not report.requests:
        yield f"what an earlier run had fetched from {where}, and could not load, was loaded."
    if report.complete and not report.records and not report.resumed:
        yield f"the list at {where} is empty. Nothing was changed for it."
    again = "It is not taken for whole; the next run asks for all of it again."
    if report.shifted:
        yield f"records came or went at {where} while their pages were fetched. {again}"
    elif report.missing:
        yield f"{where} announced {report.missing:,} more records than came. {again}"
    elif report.doubtful:
        yield f"the list at {where} ended where it could have gone on. {again}"
    if report.repeated:
        yield (
            f"{report.repeated:,} of the records from {where} came twice or have no readable id. "
            "Some product may not be named, so none was marked inactive."
        )
    if report.unmarked:
        yield (
            f"no record from {where} has a time of its change that can be read (incremental.field "
            "and incremental.format in the contract): everything is fetched each time."
        )
    for change in report.changes:
        yield f"{change}."
