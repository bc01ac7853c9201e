"""Runs the blocking client from asyncio: its own threads, polling, deadlines, cancellation.

The client's calls block, so they run in a small thread pool that nothing else uses. Waiting for a
job does not hold a thread: the job is asked for at growing intervals, with `asyncio.sleep` between.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar
from uuid import uuid4

import pyarrow as pa

from techmart_fast.errors import WarehouseError
from techmart_fast.warehouse.clock import Clock
from techmart_fast.warehouse.faults import retry_soon, service_error
from techmart_fast.warehouse.groups import JobCost
from techmart_fast.warehouse.service import Connect, JobState, Service
from techmart_fast.warehouse.statements import Statement
from techmart_fast.warehouse.target import WarehouseTarget

FIRST_POLL_SECONDS = 0.004
"""The stand-in answers in milliseconds; the service takes a second, and growth is there by then.

For each job that is waited for at the time: with fifty of them, asking for each one after
milliseconds would be more work than the jobs are.
"""

POLL_GROWTH = 1.2
"""A job's end is noticed within a fifth of its time: a second of work costs 22 requests."""

LONGEST_POLL_SECONDS = 2.0

ATTEMPTS = 5
"""Of one statement that fails for a passing reason; all statements here are repeatable.

The pauses are 15 seconds together: longer than the ten that BigQuery counts updates of a table in.
"""

FIRST_RETRY_SECONDS = 1.0

POLL_ATTEMPTS = 4
"""Failed looks at a job, one after the other, before it is given up; each has its own retries."""

JOB_UNKNOWN = "jobUnknown"
"""Reason of an error: a job was submitted, and then could not be looked at any more."""

_T = TypeVar("_T")

Confirm = Callable[[], Awaitable[None]]
"""Returns if its caller may still change the warehouse, and raises if not."""


async def _anybody() -> None:
    """Where there is no fence."""


class Jobs:
    """Submits jobs and waits for them. `start` first, `stop` last."""

    def __init__(
        self,
        target: WarehouseTarget,
        *,
        threads: int,
        connect: Connect,
        clock: Clock,
    ) -> None:
        self._target = target
        self._connect = connect
        self._clock = clock
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="warehouse")
        self._service: asyncio.Future[Service] | None = None
        self._confirm: Confirm = _anybody
        self._unfinished = 0
        self.cost = JobCost()

    def __repr__(self) -> str:
        return f"<Jobs of {self._target.project}.{self._target.dataset}, {self.cost.jobs} done>"

    def start(self) -> None:
        """Begin to import and build the client, in a thread."""
        loop = asyncio.get_running_loop()
        self._service = loop.run_in_executor(self._executor, self._connect, self._target)

    async def stop(self) -> None:
        """Wait for the requests under way and close the client."""
        future, self._service = self._service, None
        loop = asyncio.get_running_loop()
        try:
            if future is not None:
                try:
                    service = await future
                except (WarehouseError, asyncio.CancelledError):
                    return  # told to whoever used it; there is nothing to close
                await loop.run_in_executor(self._executor, service.close)
        finally:
            await loop.run_in_executor(None, self._executor.shutdown)

    @contextmanager
    def fenced(self, confirm: Confirm) -> Iterator[None]:
        """Within, `confirm` is awaited right before each job and each change is sent."""
        self._confirm = confirm
        try:
            yield
        finally:
            self._confirm = _anybody

    async def change(self, request: Callable[[Service], _T]) -> _T:
        """Run one blocking request that changes something, unless that is forbidden by now.

        Raises:
            WarehouseError: as the service does; and whatever the fence raises.
        """
        await self._confirm()
        return await self.call(request)

    async def call(self, request: Callable[[Service], _T]) -> _T:
        """Run one blocking request in a thread.

        Raises:
            WarehouseError: as the service does.
        """
        if self._service is None:
            raise RuntimeError("the warehouse sink is used outside its context")
        service = await asyncio.shield(self._service)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, request, service)

    async def pause(self, attempt: int) -> None:
        """Wait before the next attempt of a job whose attempt number `attempt` (from 1) failed."""
        await self._clock.sleep(FIRST_RETRY_SECONDS * 4**attempt)

    async def run(self, statement: Statement) -> JobState:
        """Run a statement to its end, again if it fails for a passing reason.

        Raises:
            WarehouseError: it failed, or did not end within `job_timeout_seconds`.
        """
        labels = {"app": "techmart", "step": statement.step, "subject": statement.subject}
        delay, attempt = FIRST_RETRY_SECONDS, 1
        while True:
            job_id = f"techmart_{statement.step}_{statement.subject}_{uuid4().hex}"

            def submit(service: Service, job_id: str = job_id) -> JobState:
                return service.submit_query(statement, job_id=job_id, labels=labels)

            try:
                # Nobody else knows this id: a job that exists is ours, its answer was lost.
                state = await self._finish(
                    submit, job_id, doing=f"run {statement.name}", is_new=True
                )
            except WarehouseError as error:
                if attempt == ATTEMPTS or not retry_soon(error):
                    raise
            else:
                return state
            await self._clock.sleep(delay)
            delay, attempt = delay * 2, attempt + 1

    async def table(self, statement: Statement) -> pa.Table:
        """The rows of a query.

        Raises:
            WarehouseError: as `run`.
        """
        state = await self.run(statement)
        return await self.call(lambda service: service.result(state.job_id))

    async def load(
        self, submit: Callable[[Service], JobState], *, job_id: str, table: str
    ) -> JobState:
        """Submit a load job and see it to its end. A job that exists is only waited for.

        A submission that fails for a passing reason is sent again under the same id: if the service
        took it the first time, the job is found. `existed` then says so.

        Raises:
            WarehouseError: the job failed (`job_id` is set), or the service did.
        """
        delay, attempt = FIRST_RETRY_SECONDS, 1
        while True:
            try:
                return await self._finish(submit, job_id, doing=f"load {table}")
            except WarehouseError as error:
                # With a job id it is the job that failed: its id is used up.
                if attempt == ATTEMPTS or error.job_id is not None or not retry_soon(error):
                    raise
            await self._clock.sleep(delay)
            delay, attempt = delay * 2, attempt + 1

    async def _finish(
        self,
        submit: Callable[[Service], JobState],
        job_id: str,
        *,
        doing: str,
        is_new: bool = False,
    ) -> JobState:
        await self._confirm()
        deadline = self._clock.monotonic() + self._target.job_timeout_seconds
        submission = asyncio.ensure_future(self.call(submit))
        self._unfinished += 1
        try:
            # Shielded: the thread would go on, and submit a job that nobody cancels.
            first = await asyncio.shield(submission)
            state = await self._end_of(first, job_id, deadline=deadline, doing=doing)
        except asyncio.CancelledError:
            # A job goes on without its caller: it has to be told.
            await asyncio.shield(self._withdraw(submission, job_id))
            raise
        finally:
            self._unfinished -= 1
        if is_new or not first.existed:
            self.cost += JobCost(
                jobs=1,
                bytes_processed=state.bytes_processed,
                bytes_billed=state.bytes_billed,
                bytes_loaded=state.bytes_loaded,
            )
        if state.fault is not None:
            raise service_error(
                reason=state.fault.reason,
                message=state.fault.message,
                doing=doing,
                job_id=job_id,
            )
        return replace(state, existed=first.existed)

    async def _end_of(
        self, state: JobState, job_id: str, *, deadline: float, doing: str
    ) -> JobState:
        """Ask for a job until it is done."""
        delay = FIRST_POLL_SECONDS * self._unfinished
        while not state.done:
            if self._clock.monotonic() >= deadline:
                await self._cancel(job_id)
                raise service_error(
                    reason="timeout",
                    message=f"no end after {self._target.job_timeout_seconds:g} s",
                    doing=doing,
                    job_id=job_id,
                )
            await self._clock.sleep(delay)
            delay = min(delay * POLL_GROWTH, LONGEST_POLL_SECONDS)
            state = await self._look(job_id, doing=doing)
        return state

    async def _look(self, job_id: str, *, doing: str) -> JobState:
        """A job's state. It runs on while nobody can look: it must not be submitted once more."""
        delay, attempt = FIRST_RETRY_SECONDS, 1
        while True:
            try:
                return await self.call(lambda service: service.job(job_id))
            except WarehouseError as error:
                if attempt == POLL_ATTEMPTS or not retry_soon(error):
                    await self._cancel(job_id)
                    raise WarehouseError(
                        f"BigQuery can't {doing}: the job {job_id} was submitted, and then could "
                        f"not be looked at. {error.args[0]}",
                        hint=error.hint,
                        transient=error.transient,
                        reason=JOB_UNKNOWN if retry_soon(error) else error.reason,
                    ) from None
            await self._clock.sleep(delay)
            delay, attempt = delay * 2, attempt + 1

    async def _withdraw(self, submission: asyncio.Future[JobState], job_id: str) -> None:
        """Cancel a job that may just be on its way: a cancel that overtakes it finds nothing."""
        await asyncio.wait([submission])
        if submission.cancelled() or submission.exception() or not submission.result().done:
            await self._cancel(job_id)

    async def _cancel(self, job_id: str) -> None:
        try:
            await self.call(lambda service: service.cancel(job_id))
        except WarehouseError:
            # It may never have arrived, or be done. Either way a rerun finds out by its id.
            return
