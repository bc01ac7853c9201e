"""Hands rows of a batch to the spool, in a thread."""

import asyncio
import time
from uuid import UUID, uuid4

import pyarrow as pa

from techmart_fast.pipeline.meter import Lap, Meter
from techmart_fast.postgres import Spool
from techmart_fast.records import BatchIdentity, Feed, SpooledFile
from techmart_fast.warehouse import LoadTable, SpoolFolder, rejected_rows, write_spool


def spooler(table: LoadTable, folder: SpoolFolder, *, batch_id: UUID, meter: Meter) -> Spool:
    """A callback that writes a batch's accepted rows of `table` durably into `folder`."""

    async def spool(records: pa.RecordBatch) -> SpooledFile:
        began = time.perf_counter()
        file = await asyncio.to_thread(
            write_spool,
            records,
            table=table,
            folder=folder,
            # A batch may be written again after a deadlock: never over a file of its first try.
            name=f"{table}-{uuid4().hex}",
            batch_id=batch_id,
        )
        ended = time.perf_counter()
        meter.add(
            Lap(stage="spool", began=began, ended=ended, rows=file.rows, bytes=file.size_bytes)
        )
        return file

    return spool


async def spool_rejected(
    rejections: pa.RecordBatch, identity: BatchIdentity, *, folder: SpoolFolder, meter: Meter
) -> SpooledFile | None:
    """Rejected transactions count in the quality of their day, so the warehouse needs them."""
    if identity.feed is not Feed.TRANSACTIONS or not rejections.num_rows:
        return None
    rows = rejected_rows(rejections, source_ordinal=identity.source.ordinal)
    if not rows.num_rows:
        return None
    table = LoadTable.REJECTED_TRANSACTIONS
    return await spooler(table, folder, batch_id=identity.batch_id, meter=meter)(rows)
