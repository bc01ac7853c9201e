"""Measures the stages of a run: what went through, and for how long each was busy."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from techmart_fast.results import StageMetrics


@dataclass(slots=True)
class _Stage:
    rows: int = 0
    bytes: int = 0
    busy_seconds: float = 0.0
    first: float | None = None
    last: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lap:
    """One piece of work of one stage: began and ended on the monotonic clock, in seconds."""

    stage: str
    began: float
    ended: float
    rows: int
    bytes: int


@dataclass(slots=True)
class Meter:
    """Adds up laps by stage. Stages are listed in the order of their first lap."""

    _stages: dict[str, _Stage] = field(default_factory=dict)

    def add(self, lap: Lap) -> None:
        """Count one piece of work."""
        stage = self._stages.setdefault(lap.stage, _Stage())
        stage.rows += lap.rows
        stage.bytes += lap.bytes
        stage.busy_seconds += lap.ended - lap.began
        stage.first = lap.began if stage.first is None else min(stage.first, lap.began)
        stage.last = max(stage.last, lap.ended)

    @contextmanager
    def lap(self, stage: str, *, rows: int = 0, size_bytes: int = 0) -> Iterator[None]:
        """Measure the body as one piece of work, if it succeeds."""
        began = time.perf_counter()
        yield
        ended = time.perf_counter()
        self.add(Lap(stage=stage, began=began, ended=ended, rows=rows, bytes=size_bytes))

    def metrics(self) -> tuple[StageMetrics, ...]:
        """The stages so far."""
        return tuple(
            StageMetrics(
                name=name,
                rows=stage.rows,
                bytes=stage.bytes,
                busy_seconds=stage.busy_seconds,
                wall_seconds=stage.last - (stage.first or 0.0),
            )
            for name, stage in self._stages.items()
        )
