"""BigQuery in memory, behind the official client's place: jobs by id, staging tables, MERGE.

What a statement does follows from its name; of its text only the tables and the literal dates are
read. Rollups are not computed here; which days they should be computed of again is kept.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from techmart_fast.errors import WarehouseError
from techmart_fast.records import KEY_FIELD, Feed
from techmart_fast.warehouse import LoadTable
from techmart_fast.warehouse.schema import APP, APP_LABEL, VERSION_LABEL, Column, declared
from techmart_fast.warehouse.service import JobFault, JobState, Place
from techmart_fast.warehouse.statements import Statement
from techmart_fast.warehouse.target import WarehouseTarget
from tests.properties.fake_postgres import Row, Trouble

_DAY = r"DATE '(\d{4}-\d{2}-\d{2})'"
_RANGE = re.compile(rf"BETWEEN {_DAY} AND {_DAY}")
_MATCHING = re.compile(r"AND T\.transaction_date (.*?)\nWHEN ", re.DOTALL)
_STAGING = re.compile(r"FROM (staging_\w+)")
_RESULTS: Mapping[str, pa.Schema] = {
    "changed_dates": pa.schema([("transaction_date", pa.date32())]),
    "touched": pa.schema([("kind", pa.string()), ("bucket", pa.int64())]),
    "buyers": pa.schema([("bucket", pa.int64())]),
    "bases": pa.schema([("basis", pa.string())]),
}


@dataclass(slots=True)
class Job:
    """A job that was submitted. It takes effect when it was asked for often enough."""

    name: str
    work: Callable[[], int]
    looks: int = 0
    state: JobState | None = None


@dataclass(slots=True)
class BigQuery:
    """What the service holds."""

    rows: dict[LoadTable, list[Row]] = field(
        default_factory=lambda: {table: [] for table in LoadTable}
    )
    staging: dict[str, list[Row]] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(
        default_factory=lambda: {
            one.name: {APP_LABEL: APP, VERSION_LABEL: str(one.version)}
            for one in declared().values()
        }
    )
    jobs: dict[str, Job] = field(default_factory=dict)
    dirty: set[date] = field(default_factory=set)
    """Days whose partials are older than their facts."""
    trouble: Trouble = field(default_factory=Trouble)
    looks: int = 0
    """How often a new job is asked for before it takes effect; it may be held for longer."""
    holds: str = ""
    """Statements of this name wait in a queue, however often they are asked for."""
    fail_jobs: list[bool] = field(default_factory=list)
    """For the next load jobs: they fail, and (True) only after they took effect."""

    def connect(self, target: WarehouseTarget) -> "FakeService":
        """The client of one process."""
        return FakeService(self)

    def finish_jobs(self) -> None:
        """Whatever was submitted takes effect now, oldest first."""
        for job_id in list(self.jobs):
            self.run(job_id)

    def run(self, job_id: str) -> JobState:
        """A job takes effect."""
        job = self.jobs[job_id]
        if job.state is None:
            try:
                done = JobState(job_id=job_id, done=True, rows=job.work())
            except WarehouseError as error:
                fault = JobFault(reason=error.reason, message=str(error))
                done = JobState(job_id=job_id, done=True, fault=fault)
            job.state = done
        return job.state

    def load(self, table: str, rows: Sequence[Row]) -> int:
        """Append to a staging table."""
        fails = self.fail_jobs.pop(0) if self.fail_jobs else None
        if fails is not None:
            raise WarehouseError("The job failed.", reason="backendError")
        self._staged(table).extend(rows)
        return len(rows)

    def _staged(self, table: str) -> list[Row]:
        if table not in self.staging:
            raise WarehouseError(f"Not found: {table}.", reason="notFound")
        return self.staging[table]

    def execute(self, statement: Statement) -> int:
        """Run a statement."""
        if statement.step == "merge":
            return self._merge(LoadTable(statement.subject), statement.sql)
        if statement.name == "partials/totals":
            self.dirty -= dates_in(statement.sql)
        return 0

    def _merge(self, table: LoadTable, sql: str) -> int:
        staging = _STAGING.search(sql)
        assert staging is not None, sql
        matching = _MATCHING.search(sql)
        days = dates_in(matching[1]) if matching else None
        newest: dict[object, Row] = {}
        for row in sorted(self._staged(staging[1]), key=position):
            newest[identity_of(table, row)] = row
        return sum(self._merge_row(table, row, days) for row in newest.values())

    def _merge_row(self, table: LoadTable, row: Row, days: frozenset[date] | None) -> int:
        there = self.rows[table]
        for number, stored in enumerate(there):
            visible = days is None or stored["transaction_date"] in days
            if visible and identity_of(table, stored) == identity_of(table, row):
                if position(row) <= position(stored):
                    return 0
                self._touch(stored, row)
                there[number] = row
                return 1
        self._touch(row)
        there.append(row)
        return 1

    def _touch(self, *rows: Row) -> None:
        for row in rows:
            if "transaction_id" in row:
                day = row["transaction_date"]
                assert isinstance(day, date)
                self.dirty.add(day)


class FakeService:
    """The blocking client: every call is a turn of its process already."""

    def __init__(self, bigquery: BigQuery) -> None:
        self._bigquery = bigquery

    def _call(self) -> BigQuery:
        if self._bigquery.trouble.before():
            raise _unreachable()
        return self._bigquery

    def _answer(self) -> None:
        if self._bigquery.trouble.after():
            raise _unreachable()

    def tables(self) -> Mapping[str, Mapping[str, str]] | None:
        return {name: dict(labels) for name, labels in self._call().labels.items()}

    def place(self) -> Place | None:
        self._call()
        return Place(location="US")

    def set_label(self, table: str, name: str, value: str) -> None:
        self._call().labels[table][name] = value
        self._answer()

    def create_staging(self, table: str, columns: Sequence[Column]) -> None:
        self._call().staging.setdefault(table, [])
        self._answer()

    def row_count(self, table: str) -> int | None:
        bigquery = self._call()
        if table in bigquery.staging:
            return len(bigquery.staging[table])
        return len(bigquery.rows[LoadTable(table)]) if table in set(LoadTable) else None

    def drop_table(self, table: str) -> None:
        self._call().staging.pop(table, None)
        self._answer()

    def submit_query(
        self, statement: Statement, *, job_id: str, labels: Mapping[str, str]
    ) -> JobState:
        return self._submit(job_id, statement.name, lambda: self._bigquery.execute(statement))

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
        data.seek(0)  # as the client does
        rows: list[Row] = pq.read_table(pa.BufferReader(data.read())).to_pylist()
        return self._submit(job_id, f"load/{table}", lambda: self._bigquery.load(table, rows))

    def _submit(self, job_id: str, name: str, work: Callable[[], int]) -> JobState:
        bigquery = self._call()
        existed = job_id in bigquery.jobs
        if not existed:
            bigquery.jobs[job_id] = Job(name=name, work=work, looks=bigquery.looks)
            if name == bigquery.holds:
                bigquery.jobs[job_id].looks = 1 << 30
        state = self._look(job_id)
        self._answer()
        return replace(state, existed=existed)

    def _look(self, job_id: str) -> JobState:
        job = self._bigquery.jobs[job_id]
        if job.state is None and job.looks > 0:
            job.looks -= 1
            return JobState(job_id=job_id, done=False)
        return self._bigquery.run(job_id)

    def job(self, job_id: str) -> JobState:
        self._call()
        state = self._look(job_id)
        self._answer()
        return state

    def cancel(self, job_id: str) -> None:
        # It may come too late, and does here.
        self._call()

    def result(self, job_id: str) -> pa.Table:
        bigquery = self._call()
        subject = bigquery.jobs[job_id].name.partition("/")[2]
        if subject in {"as_of", "daily_sums"}:
            days = {row["transaction_date"] for row in bigquery.rows[LoadTable.TRANSACTIONS]}
            return pa.table({"transaction_date": pa.array(sorted(days, key=str), pa.date32())})
        return _RESULTS[subject].empty_table()

    def close(self) -> None:
        """Nothing to close."""


def _unreachable() -> WarehouseError:
    return WarehouseError("It does not answer.", transient=True, reason="backendError")


def identity_of(table: LoadTable, row: Row) -> object:
    """What makes a row the same row."""
    if table is LoadTable.REJECTED_TRANSACTIONS:
        return position(row)
    return row[KEY_FIELD[Feed(table.value)]]


def position(row: Row) -> tuple[int, int]:
    """Where a row's record stands in its feed."""
    ordinal, offset = row["source_ordinal"], row["source_offset"]
    assert isinstance(ordinal, int)
    assert isinstance(offset, int)
    return ordinal, offset


def dates_in(sql: str) -> frozenset[date]:
    """The literal dates of a predicate, ranges included."""
    days = {date.fromisoformat(day) for day in re.findall(_DAY, sql)}
    for first, last in _RANGE.findall(sql):
        start, end = date.fromisoformat(first), date.fromisoformat(last)
        days |= {start + timedelta(days=number) for number in range((end - start).days)}
    return frozenset(days)
