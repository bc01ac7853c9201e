"""Loads the parts of a group into its staging table: one job a part, bytes and rows verified."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import IO

from techmart_fast.errors import WarehouseError
from techmart_fast.warehouse.faults import service_error
from techmart_fast.warehouse.groups import LoadedPart, LoadGroup, LoadPart
from techmart_fast.warehouse.jobs import Jobs
from techmart_fast.warehouse.packing import packed, scratch_file
from techmart_fast.warehouse.schema import declared
from techmart_fast.warehouse.service import JobState, Service
from techmart_fast.warehouse.spool import spooled_bytes

Submit = Callable[[Service], JobState]

JOB_FAILED = "jobFailed"
STAGING_ROWS = "stagingRows"


class Staging:
    """The staging tables of this process's groups."""

    def __init__(self, jobs: Jobs, *, has_bucket: bool) -> None:
        self._jobs = jobs
        self._has_bucket = has_bucket
        self._made: set[str] = set()
        self._making = asyncio.Lock()

    async def load(self, part: LoadPart) -> LoadedPart:
        """Load one part; see `WarehouseSink.load`."""
        started = time.monotonic()
        await self._make(part)
        async with self._submission(part) as submit:
            state = await self._loaded(part, submit)
        return LoadedPart(
            job_id=part.job_id,
            rows=state.rows,
            repeated=state.existed,
            seconds=time.monotonic() - started,
        )

    async def _loaded(self, part: LoadPart, submit: Submit) -> JobState:
        try:
            state = await self._jobs.load(submit, job_id=part.job_id, table=part.staging_table)
        except WarehouseError as error:
            if error.job_id is None:
                raise
            raise WarehouseError(
                str(error.args[0]),
                hint="The next attempt loads the group again.",
                transient=error.transient,
                reason=JOB_FAILED,
                job_id=error.job_id,
            ) from error
        if state.rows != part.rows:
            raise service_error(
                reason=JOB_FAILED,
                message=f"the job wrote {state.rows} of {part.rows} rows",
                doing=f"load {part.staging_table}",
                job_id=part.job_id,
            )
        if self._has_bucket:
            with suppress(WarehouseError):  # the bucket's own rule deletes what stays
                await self._jobs.call(lambda service: service.delete_objects(object_names(part)))
        return state

    async def check(self, group: LoadGroup) -> None:
        """Make sure that the staging table holds exactly the group's rows.

        Raises:
            WarehouseError: it does not (`STAGING_ROWS`).
        """
        rows = await self._jobs.call(lambda service: service.row_count(group.staging_table))
        if rows != group.rows:
            found = "is gone" if rows is None else f"holds {rows} rows"
            raise WarehouseError(
                f"The staging table {group.staging_table} {found}, not the group's {group.rows}.",
                hint="The next attempt loads the group again.",
                transient=True,
                reason=STAGING_ROWS,
            )

    async def drop(self, group: LoadGroup) -> None:
        """Drop the group's staging table, if it is there."""
        self._made.discard(group.staging_table)
        await self._jobs.change(lambda service: service.drop_table(group.staging_table))

    @asynccontextmanager
    async def _submission(self, part: LoadPart) -> AsyncIterator[Submit]:
        """What sends the part. Within the block it can be called again."""
        if self._has_bucket:
            yield self._of_objects(part)
            return
        with scratch_file(part) as file:
            size = await asyncio.to_thread(packed, part, file)
            yield self._of_upload(part, file, size)

    def _of_upload(self, part: LoadPart, file: IO[bytes], size_bytes: int) -> Submit:
        def submit(service: Service) -> JobState:
            return service.submit_load(
                file,
                size_bytes=size_bytes,
                table=part.staging_table,
                columns=declared()[part.table].columns,
                job_id=part.job_id,
                labels=_labels(part),
            )

        return submit

    def _of_objects(self, part: LoadPart) -> Submit:
        def submit(service: Service) -> JobState:
            uris = [
                # One file at a time in memory.
                service.put_object(name, spooled_bytes(member))
                for name, member in zip(object_names(part), part.members, strict=True)
            ]
            return service.submit_object_load(
                uris,
                table=part.staging_table,
                columns=declared()[part.table].columns,
                job_id=part.job_id,
                labels=_labels(part),
            )

        return submit

    async def _make(self, part: LoadPart) -> None:
        columns = declared()[part.table].columns
        async with self._making:
            if part.staging_table not in self._made:
                await self._jobs.change(
                    lambda service: service.create_staging(part.staging_table, columns)
                )
                self._made.add(part.staging_table)


def object_names(part: LoadPart) -> list[str]:
    """Names of a part's files in the staging bucket, the same whenever the part is loaded."""
    return [f"techmart/{part.job_id}/{member.path.name}" for member in part.members]


def _labels(part: LoadPart) -> Mapping[str, str]:
    return {"app": "techmart", "step": "load", "subject": part.table.value}
