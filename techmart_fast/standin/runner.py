"""Runs jobs: from insertion to the end, and who may run at the same time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import TracebackType
from typing import Self, TypeVar

import duckdb

from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.engine_errors import of_duckdb
from techmart_fast.standin.failure import ServiceError, duplicate, not_found
from techmart_fast.standin.jobs import Job, Outcome, Plan, restored
from techmart_fast.standin.refs import TableRef
from techmart_fast.standin.storage import Storage

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")
_KEPT_AT_HAND = 500
_QUICK_THREADS = 4
_INTERRUPT_AGAIN_SECONDS = 0.05


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
    """All jobs. An async context manager: leaving interrupts what runs and waits for it.

    `on_broken` is called when the engine has failed for good. `before_running` may hold up a job or
    make it fail (faults for tests).
    """

    def __init__(
        self, storage: Storage, *, on_broken: Callable[[], None], threads: int = 8
    ) -> None:
        self._storage = storage
        self._jobs: dict[str, Job] = {}
        self._known = storage.saved_job_ids()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="job")
        # Questions are answered also while every thread for jobs has a long one.
        self._quick = ThreadPoolExecutor(_QUICK_THREADS, thread_name_prefix="request")
        self._tasks = asyncio.TaskGroup()
        self.locks = TableLocks()
        self.before_running: Callable[[Job], Awaitable[None]] | None = None
        self.is_broken = False
        self._on_broken = on_broken

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
            self._quick.shutdown()

    async def in_thread(self, call: Callable[[], Answer]) -> Answer:
        """Run a short blocking call in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._quick, call)

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

    async def all_jobs(self) -> list[Job]:
        """All jobs that are kept, newest first."""
        bodies = await self.in_thread(self._storage.saved_jobs)
        jobs = {job.job_id: job for job in map(restored, bodies)}
        # A job at hand takes the place of its record, at the end where the newest are.
        for name, job in self._jobs.items():
            jobs.pop(name, None)
            jobs[name] = job
        return sorted(jobs.values(), key=lambda job: job.created_ms)[::-1]

    def cancel(self, job: Job) -> None:
        """Ask a job to end. It may still end well."""
        if job.state == "DONE":
            return
        job.cancelled.set()
        if job.cursor is not None:
            # It may be closed at this very moment, in its thread.
            with suppress(duckdb.Error):
                job.cursor.interrupt()
        # DuckDB forgets an interrupt that comes between two statements.
        loop = asyncio.get_running_loop()
        loop.call_later(_INTERRUPT_AGAIN_SECONDS, self.cancel, job)

    async def _run(self, job: Job, prepare: Callable[[], Plan]) -> None:
        try:
            plan = await self.in_thread(prepare)
            async with self.locks.hold(plan.writes):
                job.state, job.started_ms = "RUNNING", now_ms()
                async with self._deadline(job):
                    if self.before_running is not None:
                        await self.before_running(job)
                    loop = asyncio.get_running_loop()
                    outcome = await loop.run_in_executor(self._pool, self._execute, job, plan)
            job.outcome = outcome
        except ServiceError as error:
            await self._fail(job, error)
        except duckdb.Error as error:
            if isinstance(error, duckdb.FatalException):
                # DuckDB can't go on; a new process recovers from the file.
                self.is_broken = True
                self._on_broken()
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

    @asynccontextmanager
    async def _deadline(self, job: Job) -> AsyncIterator[None]:
        """Cancel a job that runs longer than its `jobTimeoutMs`."""
        given = job.configuration.get("jobTimeoutMs")
        loop = asyncio.get_running_loop()
        seconds = int(str(given)) / 1000 if given else None
        timer = None if seconds is None else loop.call_later(seconds, self.cancel, job)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

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
            # From here on it ends well: what an interrupted COMMIT did would be unknown.
            job.cursor = None
            ended = job.finished(outcome, now_ms())
            work.save_job(job.job_id, ended.saved(), began=bool(plan.writes))
        return outcome

    async def _fail(self, job: Job, error: ServiceError) -> None:
        job.error, job.ended_ms, job.state = error.proto(), now_ms(), "DONE"

        def save() -> None:
            with self._storage.work() as work:
                work.save_job(job.job_id, job.saved())

        try:
            await self.in_thread(save)
        except duckdb.Error as trouble:
            # Without its record the job is found as failed after a restart all the same.
            log.error("the end of job %s can't be stored: %s", job.job_id, trouble)

    def _forget_oldest(self) -> None:
        """Keep the newest jobs at hand; the others are in the file."""
        surplus = len(self._jobs) - _KEPT_AT_HAND
        done = [name for name, job in self._jobs.items() if job.state == "DONE"]
        for name in done[: max(0, surplus)]:
            del self._jobs[name]
