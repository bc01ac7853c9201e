"""What the tests of the command line share: calls of `main`, and results of runs that never ran."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from techmart_fast.cli.main import main
from techmart_fast.contract import default_contract
from techmart_fast.errors import ExitCode
from techmart_fast.quality import QualityTally, score, verdict
from techmart_fast.records import Feed, FeedCounts
from techmart_fast.results import Destination, MemoryPeaks, RunResult, RunStatus, StageMetrics

CHECKOUT = Path(__file__).parents[2]
RUN_ID = UUID("12345678-0000-4000-8000-000000000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What one call of the command line left: exit code and both outputs."""

    code: int
    out: str
    err: str


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> Called:
    """Call `main` in this process."""
    code = main(arguments)
    said = capsys.readouterr()
    return Called(code=code, out=said.out, err=said.err)


def spawn(
    *arguments: str,
    home: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Call `python -m techmart_fast` as a process, with none of this one's settings."""
    return subprocess.run(
        [sys.executable, "-m", "techmart_fast", *arguments],
        capture_output=True,
        input=stdin,
        text=True,
        check=False,
        timeout=120,
        cwd=cwd,
        env={**environment(home), **(env or {})},
    )


def environment(home: Path) -> dict[str, str]:
    """This process's environment without its settings, with a home of the test's own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TECHMART_", "POSTGRES_", "BIGQUERY_", "GOOGLE_"))
    }
    return {**kept, "TECHMART_HOME": str(home), "PYTHONPATH": str(CHECKOUT)}


def run_result(
    *, status: RunStatus = RunStatus.COMPLETED, exit_code: ExitCode = ExitCode.DONE
) -> RunResult:
    """A run of three feeds with something in every place of the summary."""
    feeds = {
        Feed.USERS: FeedCounts(
            read=512, loaded=503, rejected=2, duplicate=7, rejected_by_reason={"invalid_email": 2}
        ),
        Feed.PRODUCTS: FeedCounts(
            read=203,
            loaded=200,
            rejected=1,
            duplicate=2,
            rejected_by_reason={"price_not_positive": 1},
        ),
        Feed.TRANSACTIONS: FeedCounts(
            read=1_005_123,
            loaded=990_000,
            rejected=9_000,
            held=5_023,
            duplicate=1_100,
            rejected_by_reason={"unknown_currency": 8_000, "timestamp_without_offset": 1_000},
            corrected=44,
            repaired=120,
        ),
    }
    thresholds = default_contract().quality
    tallies = {
        feed: QualityTally(counts=counts, completeness={"a": (counts.read, counts.read)})
        for feed, counts in feeds.items()
    }
    overall = score(sum(tallies.values(), QualityTally()), thresholds)
    began = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    return RunResult(
        run_id=RUN_ID,
        status=status,
        started=began,
        ended=began + timedelta(seconds=6.25),
        feeds=feeds,
        quality=overall,
        quality_by_feed={feed: score(tally, thresholds) for feed, tally in tallies.items()},
        verdict=verdict(overall),
        stages=tuple(
            StageMetrics(
                name=name, rows=1_005_123, bytes=211_000_000, busy_seconds=2.2, wall_seconds=3.1
            )
            for name in ("decode", "validate", "warehouse load", "rollups")
        ),
        memory=MemoryPeaks(loader=312_000_000, database=190_000_000, stand_in=260_000_000),
        released=3,
        published={"users": 503},
        unknown_fields={Feed.TRANSACTIONS: {"note": 3}},
        destinations=(
            Destination(name="PostgreSQL", place="[home]/server", look="psql " + "x" * 200),
            Destination(name="Warehouse", place="stand-in", look="techmart-fast report users"),
        ),
        exit_code=exit_code,
    )


def empty_result() -> RunResult:
    """A run that found nothing new."""
    nothing = FeedCounts(read=5, duplicate=5)
    return replace(run_result(), feeds={Feed.USERS: nothing}, released=0, notes=("Nothing new.",))
