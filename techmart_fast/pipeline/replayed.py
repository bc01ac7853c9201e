"""What a replay of quarantined records did."""

from dataclasses import dataclass

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
    known. `not_waiting`: of the numbers asked for, those that are unknown or resolved.
    """

    run: RunResult
    refused: tuple[StillRejected, ...] = ()
    cut_off: int = 0
    without_header: int = 0
    not_waiting: int = 0

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
                f"{self.cut_off:,} records over the size limit were left out: only their beginning "
                "is kept. Correct them (quarantine export, replay --rows) to load them."
            )
        if self.without_header:
            notes.append(
                f"{self.without_header:,} records of CSV files were left out: an earlier version "
                "did not store their headers. Run with these files again, then replay."
            )
        if self.not_waiting:
            notes.append(
                f"{self.not_waiting:,} of the numbers asked for do not wait in the quarantine: "
                "unknown, or resolved before."
            )
        return tuple(notes)

    def to_dict(self) -> dict[str, object]:
        """What `quarantine replay --json` prints."""
        run = self.run.to_dict()
        told = ("run_id", "status", "seconds", "feeds", "published", "error", "exit_code")
        return {
            **{name: run[name] for name in told},
            "resolved": self.resolved,
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
            "notes": list(self.notes),
        }
