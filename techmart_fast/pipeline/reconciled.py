"""What a reconciliation found: whether both sinks hold the same rows, and where they do not."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from techmart_fast.errors import ExitCode
from techmart_fast.fingerprints import Fingerprint, Part
from techmart_fast.postgres import Books
from techmart_fast.results import WarehouseCost


class Standing(StrEnum):
    """How the sinks stand to each other.

    `behind`: what is not equal touches rows that PostgreSQL committed and the warehouse was not
    told of yet. `differs`: something is not equal that should be.
    """

    EQUAL = "equal"
    BEHIND = "behind"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unequal:
    """A day, or a bucket of keys, of which the sinks tell otherwise.

    `batches` wrote rows that are not the same in both. `missing` of them are not in the warehouse,
    `extra` only there, `changed` in both with another content; None where nobody counted.
    """

    part: Part
    standing: Standing
    postgres: Fingerprint
    warehouse: Fingerprint
    batches: tuple[str, ...] = ()
    missing: int | None = None
    extra: int | None = None
    changed: int | None = None

    def to_dict(self) -> dict[str, object]:
        """Plain values: days as ISO 8601, sums of hashes as text (they exceed JSON's numbers)."""
        return {
            "part": self.part.isoformat() if isinstance(self.part, date) else self.part,
            "standing": self.standing.value,
            "postgres": _plain(self.postgres),
            "warehouse": _plain(self.warehouse),
            "waiting_rows": self.postgres.waiting,
            "missing": self.missing,
            "extra": self.extra,
            "changed": self.changed,
            "batches": list(self.batches),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReconciled:
    """One table: its rows in both sinks, and the parts that are not equal, in order.

    `parts` counts all that were compared. `waiting_rows` in `waiting_files` wait in the outbox.
    """

    table: str
    parts: int
    postgres_rows: int
    warehouse_rows: int
    waiting_rows: int
    waiting_files: int
    unequal: tuple[Unequal, ...] = ()

    @property
    def standing(self) -> Standing:
        """The worst of its parts."""
        found = {one.standing for one in self.unequal}
        for standing in (Standing.DIFFERS, Standing.BEHIND):
            if standing in found:
                return standing
        return Standing.BEHIND if self.waiting_files else Standing.EQUAL

    def to_dict(self) -> dict[str, object]:
        """Plain values."""
        return {
            "standing": self.standing.value,
            "parts": self.parts,
            "postgres_rows": self.postgres_rows,
            "warehouse_rows": self.warehouse_rows,
            "waiting_rows": self.waiting_rows,
            "waiting_files": self.waiting_files,
            "unequal": [one.to_dict() for one in self.unequal],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """Both sinks compared at one moment of PostgreSQL. `since` and `until` bounded the days."""

    tables: tuple[TableReconciled, ...]
    books: Books
    since: date | None
    until: date | None
    seconds: float
    cost: WarehouseCost | None

    @property
    def standing(self) -> Standing:
        """The worst of the tables; accounting that does not add up is a difference, too."""
        found = {table.standing for table in self.tables}
        if Standing.DIFFERS in found or not self.books.balance:
            return Standing.DIFFERS
        return Standing.BEHIND if Standing.BEHIND in found else Standing.EQUAL

    @property
    def exit_code(self) -> ExitCode:
        """0 if all is equal, else 5."""
        equal = self.standing is Standing.EQUAL
        return ExitCode.DONE if equal else ExitCode.SINKS_DIFFER

    def to_dict(self) -> dict[str, object]:
        """What `reconcile --json` prints."""
        return {
            "standing": self.standing.value,
            "since": self.since,
            "until": self.until,
            "tables": {table.table: table.to_dict() for table in self.tables},
            "accounting": _accounting(self.books),
            "seconds": round(self.seconds, 3),
            "warehouse_cost": None if self.cost is None else self.cost.to_dict(),
            "exit_code": int(self.exit_code),
        }


def _plain(fingerprint: Fingerprint) -> Mapping[str, object]:
    plain: dict[str, object] = {"rows": fingerprint.rows}
    if fingerprint.amount is not None or fingerprint.amount_usd is not None:
        plain |= {"amount": fingerprint.amount, "amount_usd": fingerprint.amount_usd}
    return {**plain, "row_hash": str(fingerprint.row_hash)}


def _accounting(books: Books) -> Mapping[str, object]:
    return {
        "adds_up": books.balance,
        "gaps": [
            {
                "feed": gap.feed,
                "file": gap.file,
                "lane": gap.lane,
                "first_byte": gap.first_byte,
                "end_byte": gap.end_byte,
            }
            for gap in books.gaps
        ],
        "batches": [str(batch) for batch in books.batches],
        "runs": [{"run_id": str(run), "feed": feed} for run, feed in books.runs],
        "held_expected": books.held_expected,
        "held": books.held_actual,
    }
