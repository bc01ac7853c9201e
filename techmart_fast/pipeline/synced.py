"""What a sync did: rows published, parts repaired, figures computed anew."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from techmart_fast.results import RunResult
from techmart_fast.warehouse import Refreshed


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """Parts of a table that were replaced by PostgreSQL's rows, and how many rows that are."""

    parts: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """How a sync ended. `run` has status, error, exit code and cost; it read no records.

    `repaired` is by table. `refreshed` is None if it did not come to that.
    """

    run: RunResult
    repaired: Mapping[str, Repaired] = field(default_factory=dict)
    refreshed: Refreshed | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to note; that no record is new is not."""
        return tuple(note for note in self.run.notes if not note.startswith("Nothing new"))

    def to_dict(self) -> dict[str, object]:
        """What `sync --json` prints."""
        run, refreshed = self.run, self.refreshed
        return {
            "run_id": str(run.run_id),
            "status": run.status.value,
            "seconds": round(run.seconds, 3),
            "published": dict(run.published),
            "repaired": {
                table: {"parts": one.parts, "rows": one.rows}
                for table, one in self.repaired.items()
            },
            "computed": None
            if refreshed is None
            else {
                "as_of": refreshed.as_of,
                "days": refreshed.days,
                "periods": refreshed.periods,
            },
            "warehouse_cost": None if run.cost is None else run.cost.to_dict(),
            "notes": list(self.notes),
            "error": run.error,
            "exit_code": int(run.exit_code),
        }
