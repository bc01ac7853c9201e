"""Jobs: their life from insertion to the end, who may run at the same time, and what is kept."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self, TypeVar

import duckdb

from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.failure import ServiceError, duplicate, not_found
from techmart_fast.standin.resources import TableRef
from techmart_fast.standin.storage import Storage
from techmart_fast.standin.work import Work

log = logging.getLogger(__name__)

Body = Mapping[str, object]
Answer = TypeVar("Answer")


@dataclass(slots=True)
class Outcome:
    """What a finished job leaves: statistics by job type, and the result of a query."""

    statistics: dict[str, object] = field(default_factory=dict)
    fields: list[dict[str, object]] | None = None
    rows: int | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """A job. Only the event loop's thread changes it; `done` is set with the state DONE."""

    project: str
    job_id: str
    location: str
    configuration: Body
    created_ms: int
    state: str = "PENDING"
    started_ms: int | None = None
    ended_ms: int | None = None
    error: Mapping[str, str] | None = None
    outcome: Outcome = field(default_factory=Outcome)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    cursor: duckdb.DuckDBPyConnection | None = None
    at_end: list[Callable[[], None]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """`query` or `load`."""
        return str(self.configuration["jobType"]).lower()

    def failure(self) -> ServiceError | None:
        """The error that ended the job."""
        if self.error is None:
            return None
        return ServiceError(
            self.error["reason"], self.error["message"], location=self.error.get("location", "")
        )

    def resource(self) -> dict[str, object]:
        """The API's `Job`."""
        status: dict[str, object] = {"state": self.state}
        if self.error is not None:
            status |= {"errorResult": self.error, "errors": [self.error]}
        times = {
            "creationTime": self.created_ms,
            "startTime": self.started_ms,
            "endTime": self.ended_ms,
        }
        statistics = {key: str(value) for key, value in times.items() if value is not None}
        return {
            "kind": "bigquery#job",
            "id": f"{self.project}:{self.location}.{self.job_id}",
            "jobReference": {
                "projectId": self.project,
                "jobId": self.job_id,
                "location": self.location,
            },
            "configuration": self.configuration,
            "status": status,
            "statistics": {**statistics, **self.outcome.statistics},
            "user_email": "nobody@standin.invalid",
        }

    def saved(self) -> dict[str, object]:
        """Everything of the job that is kept."""
        result = {"fields": self.outcome.fields, "rows": self.outcome.rows}
        return self.resource() | {"standin": result}


def restored(body: Mapping[str, object]) -> Job:
    """A job from what `saved` gave; one that was still running has failed with its process."""
    reference, status = _part(body, "jobReference"), _part(body, "status")
    statistics, result = dict(_part(body, "statistics")), _part(body, "standin")
    times = {key: statistics.pop(key, None) for key in ("creationTime", "startTime", "endTime")}
    created = int(str(times["creationTime"]))
    fields, rows, error = result.get("fields"), result.get("rows"), status.get("errorResult")
    job = Job(
        project=str(reference["projectId"]),
        job_id=str(reference["jobId"]),
        location=str(reference["location"]),
        configuration=_part(body, "configuration"),
        created_ms=created,
        state="DONE",
        started_ms=int(str(times["startTime"] or created)),
        ended_ms=int(str(times["endTime"] or created)),
        error={str(k): str(v) for k, v in error.items()} if isinstance(error, Mapping) else None,
        outcome=Outcome(
            statistics=statistics,
            fields=fields if isinstance(fields, list) else None,
            rows=rows if isinstance(rows, int) else None,
        ),
    )
    if status["state"] != "DONE":
        job.error = ServiceError(
            "backendError", "The stand-in ended while the job ran; nothing of it was kept."
        ).proto()
    job.done.set()
    return job


def _part(body: Body, key: str) -> Body:
    value = body.get(key)
    return value if isinstance(value, Mapping) else {}


class Plan(Protocol):
    """A job that was understood and can run."""

    @property
    def writes(self) -> Collection[TableRef]:
        """Tables that it changes; jobs that change the same table run one after the other."""
        ...

    def run(self, work: Work) -> Outcome:
        """Do it within a transaction (a worker thread).

        Raises:
            ServiceError: it fails; the transaction is rolled back.
        """
        ...


class TableLocks:
    """A lock for each table, taken in the order of names so that jobs can't block each other."""

    def __init__(self) -> None:
        self._locks: dict[TableRef, asyncio.Lock] = {}

    @asynccontextmanager
    async def hold(self, tables: Collection[TableRef]) -> AsyncIterator[None]:
        """Be the only writer of these tables."""
        async with AsyncExitStack() as stack:
            for table in sorted(set(tables)):
                lock = self._locks.setdefault(table, asyncio.Lock())
                await stack.enter_async_context(lock)
            yield


class JobRunner:
    """All jobs. An async context manager: leaving interrupts what runs and waits for it."""

    def __init__(self, storage: Storage, *, threads: int = 8) -> None:
        self._storage = storage
        self._jobs: dict[str, Job] = {}
        self._known = storage.saved_job_ids()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="job")
        self._tasks = asyncio.TaskGroup()
        self.locks = TableLocks()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for job in self._jobs.values():
            self.cancel(job)
        try:
            await self._tasks.__aexit__(kind, error, trace)
        finally:
            self._pool.shutdown()

    async def in_thread(self, call: Callable[[], Answer]) -> Answer:
        """Run a blocking call in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def insert(self, job: Job, prepare: Callable[[], Plan]) -> None:
        """Take a job on and start it.

        Raises:
            ServiceError: `duplicate`, the job id was used before (also by a job that failed).
        """
        if job.job_id in self._known:
            name = f"{job.project}:{job.location}.{job.job_id}"
            raise duplicate("Job", name)
        self._known.add(job.job_id)
        self._jobs[job.job_id] = job
        self._tasks.create_task(self._run(job, prepare), name=f"job {job.job_id}")

    async def find(self, job_id: str, *, location: str | None = None) -> Job:
        """A job of this process or an earlier one.

        Raises:
            ServiceError: `notFound`, also for a job in another location.
        """
        job = self._jobs.get(job_id)
        if job is None and job_id in self._known:
            body = await self.in_thread(lambda: self._storage.saved_job(job_id))
            job = restored(body) if body is not None else None
        if job is None or (location and location.upper() != job.location.upper()):
            raise not_found("Job", job_id)
        return job

    async def recent(self, limit: int) -> list[Job]:
        """The newest jobs, newest first."""
        bodies = await self.in_thread(lambda: self._storage.newest_jobs(limit))
        jobs = {job.job_id: job for job in map(restored, bodies)} | self._jobs
        return sorted(jobs.values(), key=lambda job: job.created_ms, reverse=True)[:limit]

    def cancel(self, job: Job) -> None:
        """Ask a job to end. It may still end well."""
        if job.state == "DONE":
            return
        job.cancelled.set()
        if job.cursor is not None:
            job.cursor.interrupt()

    async def _run(self, job: Job, prepare: Callable[[], Plan]) -> None:
        try:
            plan = await self.in_thread(prepare)
            async with self.locks.hold(plan.writes):
                job.state, job.started_ms = "RUNNING", now_ms()
                outcome = await self.in_thread(lambda: self._execute(job, plan))
            job.outcome = outcome
        except ServiceError as error:
            await self._fail(job, error)
        except duckdb.Error as error:
            await self._fail(job, of_duckdb(error, cancelled=job.cancelled.is_set()))
        except Exception as error:
            # A defect of the stand-in must end this job, not the server and its other jobs.
            log.exception("job %s failed unexpectedly", job.job_id)
            text = f"The stand-in failed: {type(error).__name__}."
            await self._fail(job, ServiceError("internalError", text))
        finally:
            job.state, job.ended_ms = "DONE", job.ended_ms or now_ms()
            job.started_ms = job.started_ms or job.ended_ms
            job.cursor = None
            for call in job.at_end:
                call()
            job.done.set()
            self._forget_oldest()

    def _execute(self, job: Job, plan: Plan) -> Outcome:
        if plan.writes:
            with self._storage.work() as work:
                work.save_running_job(job.job_id, job.saved())

        def on_cursor(cursor: duckdb.DuckDBPyConnection) -> None:
            job.cursor = cursor
            if job.cancelled.is_set():
                raise ServiceError("stopped", "Job execution was cancelled.")

        with self._storage.work(on_cursor=on_cursor) as work:
            outcome = plan.run(work)
            work.save_job(job.job_id, _finished(job, outcome).saved())
        return outcome

    async def _fail(self, job: Job, error: ServiceError) -> None:
        job.error, job.ended_ms, job.state = error.proto(), now_ms(), "DONE"

        def save() -> None:
            with self._storage.work() as work:
                work.save_job(job.job_id, job.saved())

        await self.in_thread(save)

    def _forget_oldest(self) -> None:
        """Keep the newest jobs at hand; the others are in the file."""
        surplus = len(self._jobs) - 500
        done = [name for name, job in self._jobs.items() if job.state == "DONE"]
        for name in done[: max(0, surplus)]:
            del self._jobs[name]


def _finished(job: Job, outcome: Outcome) -> Job:
    return Job(
        project=job.project,
        job_id=job.job_id,
        location=job.location,
        configuration=job.configuration,
        created_ms=job.created_ms,
        state="DONE",
        started_ms=job.started_ms,
        ended_ms=now_ms(),
        outcome=outcome,
    )


_OVERLOADED = (duckdb.OutOfMemoryException,)
_INVALID = (
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.InvalidInputException,
    duckdb.ConstraintException,
)


def of_duckdb(error: duckdb.Error, *, cancelled: bool) -> ServiceError:
    """The service's error for one that DuckDB raised while a job ran."""
    first = str(error).partition("\n")[0]
    text = first.split(": ", 1)[-1] if " Error: " in first else first
    if cancelled or isinstance(error, duckdb.InterruptException):
        return ServiceError("stopped", "Job execution was cancelled.")
    if isinstance(error, _OVERLOADED):
        return ServiceError("resourcesExceeded", f"Resources exceeded during execution: {text}")
    if "more than once" in text and "MERGE" in text:
        text = "UPDATE/MERGE must match at most one source row for each target row"
    if isinstance(error, _INVALID):
        return ServiceError("invalidQuery", text, location="query")
    if isinstance(error, duckdb.TransactionException):
        return ServiceError(
            "invalidQuery", f"Transaction is aborted due to concurrent update: {text}"
        )
    log.error("DuckDB refused a translated statement: %s", error)
    return ServiceError("internalError", f"The stand-in's engine refused the statement: {text}")
