"""What a run reports: typed values, and the one JSON object that scripts rely on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from techmart_fast.errors import ExitCode
from techmart_fast.quality import QualityScore, QualityStatus
from techmart_fast.records import Feed, FeedCounts

MEGABYTE = 1_000_000
TEBIBYTE = 1 << 40
MICRO_DOLLAR = Decimal("0.000001")


class RunStatus(StrEnum):
    """How a run ended (or that it has not)."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMetrics:
    """One stage's work: records and bytes that went through, and the time it was busy.

    `busy_seconds` adds up over threads and writers; `wall_seconds` runs from the stage's first
    item to its last.
    """

    name: str
    rows: int
    bytes: int
    busy_seconds: float
    wall_seconds: float

    @property
    def rows_per_second(self) -> float:
        """Records by wall time."""
        return self.rows / self.wall_seconds if self.wall_seconds > 0 else 0.0

    @property
    def megabytes_per_second(self) -> float:
        """Megabytes (10^6 bytes) by wall time."""
        return self.bytes / MEGABYTE / self.wall_seconds if self.wall_seconds > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPeaks:
    """Peak resident memory in bytes; None where the part is not on this machine."""

    loader: int
    database: int | None = None
    stand_in: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where the data is, in words for people, and the command that looks at it."""

    name: str
    place: str
    look: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WarehouseCost:
    """What a run's jobs in the warehouse took, by their own statistics, up to its end.

    `bytes_billed` are those of queries, as load jobs are free. `modelled`: the stand-in's figures,
    which behave like BigQuery's and are no bill.
    """

    jobs: int
    bytes_billed: int
    price_per_tib: Decimal
    modelled: bool

    @property
    def usd(self) -> Decimal:
        """US dollars on demand: billed bytes ÷ 2^40 × price, to the millionth."""
        return (self.bytes_billed * self.price_per_tib / TEBIBYTE).quantize(MICRO_DOLLAR)

    def to_dict(self) -> dict[str, object]:
        """Plain values, with the US dollars they come to."""
        return {
            "jobs": self.jobs,
            "bytes_billed": self.bytes_billed,
            "usd": self.usd,
            "modelled": self.modelled,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """How a feed came from an API.

    Attributes:
        where: host and path of the API.
        records, pages: fetched in this run; `requests` counts retries and redirects.
        waited_seconds: for retries and for pauses that the service asked for.
        resumed: an interrupted fetch, or its loading, was gone on with.
        unchanged: the service, or what came, says that nothing has changed since the last fetch.
        complete: everything that the service has came.
        shifted: records came or went while their pages were fetched.
        missing: records that the service announced, and that did not come.
        doubtful: the list ended without a word of the service where it could have gone on.
        repeated: records that came twice, or whose id nobody can read.
        unmarked: no record had a time of its change that can be read: everything is fetched again.
        changes: how the shape of the records differs from before, as sentences.
    """

    where: str
    records: int = 0
    pages: int = 0
    requests: int = 0
    retries: int = 0
    waited_seconds: float = 0.0
    resumed: bool = False
    unchanged: bool = False
    complete: bool = False
    shifted: bool = False
    missing: int = 0
    doubtful: bool = False
    repeated: int = 0
    unmarked: bool = False
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The outcome of one run.

    `quality` is scored over all feeds of the run, `quality_by_feed` by feed; `verdict` is the
    worst status of the former. `published` counts rows merged into each warehouse table.
    """

    run_id: UUID
    status: RunStatus
    started: datetime
    ended: datetime
    feeds: Mapping[Feed, FeedCounts]
    quality: Mapping[str, QualityScore]
    quality_by_feed: Mapping[Feed, Mapping[str, QualityScore]]
    verdict: QualityStatus
    stages: tuple[StageMetrics, ...]
    memory: MemoryPeaks
    released: int = 0
    deactivated: int = 0
    published: Mapping[str, int] = field(default_factory=dict)
    fetched: Mapping[Feed, FetchReport] = field(default_factory=dict)
    cost: WarehouseCost | None = None
    unknown_fields: Mapping[Feed, Mapping[str, int]] = field(default_factory=dict)
    destinations: tuple[Destination, ...] = ()
    notes: tuple[str, ...] = ()
    error: str | None = None
    exit_code: ExitCode = ExitCode.DONE

    @property
    def seconds(self) -> float:
        """Wall time of the run."""
        return (self.ended - self.started).total_seconds()

    @property
    def rows_read(self) -> int:
        """Records read, all feeds."""
        return sum(counts.read for counts in self.feeds.values())

    @property
    def rows_per_second(self) -> float:
        """Records read by wall time, all feeds."""
        return self.rows_read / self.seconds if self.seconds > 0 else 0.0

    @property
    def nothing_new(self) -> bool:
        """Whether the run changed nothing in either sink."""
        unchanged = all(counts.loaded == 0 and counts.held == 0 for counts in self.feeds.values())
        changed_beside = self.released or self.deactivated
        return self.status is RunStatus.COMPLETED and unchanged and not changed_beside

    def to_dict(self) -> dict[str, object]:
        """The object that `run --json` prints."""
        return {
            "status": self.status.value,
            "run_id": str(self.run_id),
            "started": self.started.isoformat(),
            "ended": self.ended.isoformat(),
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.rows_per_second, 1),
            "exit_code": int(self.exit_code),
            "feeds": {feed.value: _counts(self.feeds.get(feed, FeedCounts())) for feed in Feed},
            "released": self.released,
            "deactivated": self.deactivated,
            "quality": _scores(self.quality),
            "quality_verdict": self.verdict.value,
            "quality_by_feed": {
                feed.value: _scores(scores) for feed, scores in self.quality_by_feed.items()
            },
            "quality_details": {
                name: {
                    "value": _number(quality.value),
                    "threshold": _number(quality.threshold),
                    "status": quality.status.value,
                }
                for name, quality in self.quality.items()
            },
            "published": dict(self.published),
            "fetched": {feed.value: asdict(report) for feed, report in self.fetched.items()},
            "warehouse_cost": None if self.cost is None else self.cost.to_dict(),
            "stages": [
                {
                    "name": stage.name,
                    "rows": stage.rows,
                    "bytes": stage.bytes,
                    "busy_seconds": round(stage.busy_seconds, 3),
                    "wall_seconds": round(stage.wall_seconds, 3),
                    "rows_per_second": round(stage.rows_per_second, 1),
                    "megabytes_per_second": round(stage.megabytes_per_second, 2),
                }
                for stage in self.stages
            ],
            "peak_memory_bytes": {
                "loader": self.memory.loader,
                "database": self.memory.database,
                "stand_in": self.memory.stand_in,
            },
            "unknown_fields": {
                feed.value: dict(names) for feed, names in self.unknown_fields.items() if names
            },
            "destinations": [
                {"name": place.name, "place": place.place, "look": place.look}
                for place in self.destinations
            ],
            "notes": list(self.notes),
            "error": self.error,
        }


def _counts(counts: FeedCounts) -> dict[str, object]:
    return {
        "read": counts.read,
        "loaded": counts.loaded,
        "rejected": counts.rejected,
        "held": counts.held,
        "duplicate": counts.duplicate,
        "rejected_by_reason": dict(sorted(counts.rejected_by_reason.items())),
        "corrected": counts.corrected,
        "repaired": counts.repaired,
    }


def _scores(scores: Mapping[str, QualityScore]) -> dict[str, float | None]:
    return {name: _number(quality.value) for name, quality in scores.items()}


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
