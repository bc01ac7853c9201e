"""What a replay of quarantined records did."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from techmart_fast.records import Feed
from techmart_fast.results import RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class StillRejected:
    """A corrected record that is rejected again; the quarantine keeps it as it came."""

    number: int
    feed: Feed
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """How a replay ended. `run` has status, counts by feed, error, exit code and cost.

    `refused`: the first corrected records that are rejected again. `cut_off`: records over the size
    limit, of which only the beginning is kept. `without_header`: of CSV files whose header is not
    known. `not_waiting`: of the numbers asked for, those that are unknown, resolved, or left out by
    the filters. `unfit`: records of CSV files that lack a column of the contract, by what is said.
    """

    run: RunResult
    refused: tuple[StillRejected, ...] = ()
    cut_off: int = 0
    without_header: int = 0
    not_waiting: int = 0
    unfit: Mapping[str, int] = field(default_factory=dict)

    @property
    def resolved(self) -> int:
        """Records that are in the quarantine no more: loaded, held, or known already."""
        return sum(counts.read - counts.rejected for counts in self.run.feeds.values())

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to note."""
        notes = [note for note in self.run.notes if not note.startswith("Nothing new")]
        if self.cut_off:
            notes.append(
                f"Records over the size limit were left out: {self.cut_off:,}. Only their "
                "beginning is kept. Correct them (quarantine export, replay --rows) to load them."
            )
        if self.without_header:
            notes.append(
                f"Records of CSV files were left out: {self.without_header:,}. An earlier version "
                "did not store their headers. Run with these files again, then replay."
            )
        if self.not_waiting:
            notes.append(
                f"Of the numbers asked for, {self.not_waiting:,} were not replayed: unknown, "
                "resolved before, or left out by the filters."
            )
        notes += [f"Records left out: {count:,}. {why}" for why, count in self.unfit.items()]
        return tuple(notes)

    def to_dict(self) -> dict[str, object]:
        """What `quarantine replay --json` prints."""
        run = self.run.to_dict()
        told = ("run_id", "status", "seconds", "feeds", "published", "error", "exit_code")
        return {
            **{name: run[name] for name in told},
            "resolved": self.resolved,
            "released": self.run.released,
            "refused": [
                {
                    "number": one.number,
                    "feed": one.feed.value,
                    "code": one.code,
                    "message": one.message,
                }
                for one in self.refused
            ],
            "cut_off": self.cut_off,
            "without_header": self.without_header,
            "not_waiting": self.not_waiting,
            "unfit": dict(self.unfit),
            "notes": list(self.notes),
        }
