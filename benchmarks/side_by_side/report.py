"""All figures of one measurement."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from benchmarks.side_by_side.machine import Machine
from benchmarks.side_by_side.model import Measured, Outcome
from benchmarks.side_by_side.rounds import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The outcomes of a case, compared with those of the way `base`; sizes in bytes."""

    title: str
    rows: int
    raw_bytes: int
    clean_bytes: int
    base: str
    outcomes: tuple[Outcome, ...]

    @property
    def base_figures(self) -> Measured | None:
        """The figures that the others are compared with, if there are any."""
        return next((median(one) for one in self.outcomes if one.way.name == self.base), None)

    def ratio(self, figures: Measured) -> float | None:
        """How many times as fast as the base, by rows a second."""
        base = self.base_figures
        return figures.rate / base.rate if base else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was measured, where, and with which settings of the server."""

    machine: Machine
    settings: Mapping[str, str]
    repeat: int
    sections: tuple[Section, ...]


def as_json(report: Report) -> str:
    """Every run's figures, and why there are none; times in seconds, sizes in bytes."""
    figures = asdict(report)
    for section in figures["sections"]:
        for outcome in section["outcomes"]:
            del outcome["way"]["run"]
    return json.dumps(figures, default=str, indent=1)
