"""A service in memory whose jobs end as the test says, and a clock that nobody waits for."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import BinaryIO

import pyarrow as pa

from techmart_fast.errors import WarehouseError
from techmart_fast.warehouse.schema import Column
from techmart_fast.warehouse.service import JobFault, JobState, Place
from techmart_fast.warehouse.statements import Statement
from techmart_fast.warehouse.target import WarehouseTarget

TARGET = WarehouseTarget(
    project="p", dataset="d", location="US", job_timeout_seconds=60.0, request_timeout_seconds=5.0
)

Step = JobState | WarehouseError | Callable[[], JobState]


class FakeClock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class FakeService:
    """Answers submissions and polls from `script`, one step each; then jobs are done."""

    script: Iterator[Step] = field(default_factory=lambda: iter(()))
    done: JobState = field(default_factory=lambda: JobState(job_id="", done=True))
    existing: Mapping[str, Mapping[str, str]] | None = None
    counts: dict[str, int] = field(default_factory=dict)
    columns_of: dict[str, frozenset[str]] = field(default_factory=dict)
    sent: list[tuple[str, str]] = field(default_factory=list)
    labels: list[Mapping[str, str]] = field(default_factory=list)
    on_poll: threading.Event = field(default_factory=threading.Event)
    where: str = "US"
    days_of: dict[str, frozenset[date]] = field(default_factory=dict)
    closed: bool = False

    def connect(self, target: WarehouseTarget) -> "FakeService":
        assert target is TARGET
        return self

    def _step(self, job_id: str) -> JobState:
        step = next(self.script, self.done)
        if isinstance(step, WarehouseError):
            raise step
        return replace(step() if callable(step) else step, job_id=job_id)

    def tables(self) -> Mapping[str, Mapping[str, str]] | None:
        self.sent.append(("tables", ""))
        return self.existing

    def place(self) -> Place | None:
        self.sent.append(("place", ""))
        return None if self.existing is None else Place(location=self.where)

    def days(self, table: str) -> frozenset[date]:
        return self.days_of.get(table, frozenset())

    def create_dataset(self) -> None:
        self.sent.append(("create_dataset", ""))

    def column_names(self, table: str) -> frozenset[str]:
        return self.columns_of[table]

    def set_label(self, table: str, name: str, value: str) -> None:
        self.sent.append(("label", f"{table} {name}={value}"))

    def create_staging(self, table: str, columns: Sequence[Column]) -> None:
        self.sent.append(("create_staging", table))

    def row_count(self, table: str) -> int | None:
        return self.counts.get(table)

    def drop_table(self, table: str) -> None:
        self.sent.append(("drop", table))

    def submit_query(
        self, statement: Statement, *, job_id: str, labels: Mapping[str, str]
    ) -> JobState:
        self.sent.append(("query", statement.sql))
        self.labels.append(labels)
        return self._step(job_id)

    def dry_run(self, statement: Statement) -> int:
        self.sent.append(("plan", statement.sql))
        return len(statement.sql)

    def submit_load(
        self,
        data: BinaryIO,
        *,
        size_bytes: int,
        table: str,
        columns: Sequence[Column],
        job_id: str,
        labels: Mapping[str, str],
    ) -> JobState:
        self.sent.append(("load", job_id))
        self.labels.append(labels)
        return self._step(job_id)

    def put_object(self, name: str, data: bytes) -> str:
        self.sent.append(("object", name))
        return f"gs://bucket/{name}"

    def delete_objects(self, names: Sequence[str]) -> None:
        self.sent.extend(("delete", name) for name in names)

    def submit_object_load(
        self,
        uris: Sequence[str],
        *,
        table: str,
        columns: Sequence[Column],
        job_id: str,
        labels: Mapping[str, str],
    ) -> JobState:
        self.sent.append(("load", job_id))
        self.labels.append(labels)
        return self._step(job_id)

    def job(self, job_id: str) -> JobState:
        self.sent.append(("poll", job_id))
        self.on_poll.set()
        return self._step(job_id)

    def cancel(self, job_id: str) -> None:
        self.sent.append(("cancel", job_id))

    def result(self, job_id: str) -> pa.Table:
        return pa.table({"transaction_date": pa.array([], pa.date32())})

    def close(self) -> None:
        self.closed = True

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.sent]


def running() -> JobState:
    return JobState(job_id="", done=False)


def ended(**values: int) -> JobState:
    return JobState(job_id="", done=True, **values)


def failed(reason: str, message: str = "it did not work") -> JobState:
    return JobState(job_id="", done=True, fault=JobFault(reason=reason, message=message))
