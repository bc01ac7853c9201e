"""Loads the parts of a group into its staging table: one job a part, bytes and rows verified."""

import asyncio
import io
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import pyarrow as pa

from techmart_fast.errors import SpoolError, WarehouseError
from techmart_fast.records import SpooledFile
from techmart_fast.warehouse.faults import service_error
from techmart_fast.warehouse.groups import LoadedPart, LoadGroup, LoadPart, LoadTable
from techmart_fast.warehouse.jobs import Jobs
from techmart_fast.warehouse.schema import declared
from techmart_fast.warehouse.service import JobState, Service
from techmart_fast.warehouse.spool import LOAD_SCHEMAS, parquet_writer, read_spool, spooled_bytes

Submit = Callable[[Service], JobState]

JOB_FAILED = "jobFailed"
STAGING_ROWS = "stagingRows"

ROW_GROUP_BYTES = 16 << 20
"""Of Arrow, which are some 3 MiB of Parquet, where files that can't be joined are encoded again."""


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
        submit = self._of_objects(part) if self._has_bucket else await self._upload(part)
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
        return LoadedPart(
            job_id=part.job_id,
            rows=state.rows,
            repeated=state.existed,
            seconds=time.monotonic() - started,
        )

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

    async def _upload(self, part: LoadPart) -> Submit:
        data = await asyncio.to_thread(packed, part)

        def submit(service: Service) -> JobState:
            return service.submit_load(
                data,
                size_bytes=data.getbuffer().nbytes,
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


def packed(part: LoadPart) -> io.BytesIO:
    """The Parquet that a part's load job carries: its one member as it is, or all members as one.

    Their rows are encoded already, so they are joined; only members that don't fit to each other
    (an upgrade came between them) are encoded again.

    Raises:
        SpoolDamagedError: a member is gone or is not what was written.
        SpoolError: a member has other columns than the table, or joining went wrong.
    """
    if len(part.members) == 1:
        return io.BytesIO(spooled_bytes(part.members[0]))
    # What reads footers takes a tenth of a second to load, and small runs join nothing.
    from techmart_fast.warehouse.joining import joined  # noqa: PLC0415

    members = map(spooled_bytes, part.members)
    return joined(members, LOAD_SCHEMAS[part.table], rows=part.rows) or _encoded_again(part)


def _encoded_again(part: LoadPart) -> io.BytesIO:
    encoded = io.BytesIO()
    with parquet_writer(encoded, LOAD_SCHEMAS[part.table]) as writer:
        # Some members at a time: the whole part as Arrow would be several times its Parquet.
        gathered: list[pa.Table] = []
        for member in part.members:
            gathered.append(_declared_columns(member, part.table))
            if sum(one.nbytes for one in gathered) >= ROW_GROUP_BYTES:
                writer.write_table(pa.concat_tables(gathered))
                gathered.clear()
        if gathered:
            writer.write_table(pa.concat_tables(gathered))
    encoded.seek(0)
    return encoded


def _declared_columns(member: SpooledFile, table: LoadTable) -> pa.Table:
    schema = LOAD_SCHEMAS[table]
    try:
        return read_spool(member).select(schema.names).cast(schema)
    except (LookupError, OSError, ValueError, pa.ArrowException):
        raise SpoolError(
            f"The spool file {member.path} does not have the columns of {table}: another version "
            "wrote it.",
            hint="Delete it and run again: its rows are written again from PostgreSQL.",
        ) from None
