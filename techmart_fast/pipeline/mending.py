"""Writes spool files again that are gone or damaged: their rows are in PostgreSQL.

A row that a later batch wrote over is left out, as that batch has a file of its own. So the files
may hold fewer rows than before, and the warehouse ends in the same state.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from techmart_fast.errors import SpoolDamagedError
from techmart_fast.postgres import EXPORTED, Lease, OutboxEntry, OutboxGroup, PostgresSink
from techmart_fast.records import SpooledFile
from techmart_fast.transform import Enricher
from techmart_fast.warehouse import LoadTable, SpoolFolder, spooled_bytes, write_spool

FILE_BYTES = 64 << 20
"""Of Arrow in one file, unless there are too few entries to give files to."""


class Mender:
    """Mends the spool files of one run's publishing, in `folder`; what it mended is in `notes`."""

    def __init__(
        self,
        *,
        postgres: PostgresSink,
        lease: Lease,
        enricher: Enricher,
        folder: SpoolFolder,
        notes: list[str],
    ) -> None:
        self._postgres = postgres
        self._lease = lease
        self._enricher = enricher
        self._folder = folder
        self._notes = notes
        self._mended: set[int] = set()

    async def mended(self, group: OutboxGroup) -> OutboxGroup:
        """The same group, with files that are what was written.

        Raises:
            SpoolDamagedError: a file was mended before, or none is damaged any more: the disk is.
            SpoolError: a file can't be written.
            LeaseHeldError: another run took over.
        """
        damaged: dict[int, str] = {}
        for entry in group.entries:
            if (complaint := await asyncio.to_thread(_damage, entry)) is not None:
                damaged[entry.entry_id] = complaint
        if not damaged or self._mended & damaged.keys():
            folder = self._folder.path
            raise SpoolDamagedError(
                next(iter(damaged.values()), f"Files in {folder} can be read now and then."),
                hint="It was written again in this run: check the disk of TECHMART_HOME.",
            )
        files = await self._write(LoadTable(group.table), list(damaged))
        self._mended |= files.keys()
        self._notes += [
            f"{complaint} Its rows were written again from PostgreSQL."
            for complaint in damaged.values()
        ]
        now = {one.entry_id: one for one in await self._postgres.replace_files(self._lease, files)}
        return replace(
            group, entries=tuple(now.get(entry.entry_id, entry) for entry in group.entries)
        )

    async def _write(self, table: LoadTable, entries: Sequence[int]) -> dict[int, SpooledFile]:
        """Files for all entries; together they hold the rows of all of them, in any order."""
        waiting, files = list(entries), {}
        gathered: list[pa.Table] = []
        async with (
            self._postgres.snapshot() as snapshot,
            aclosing(snapshot.owed_pages(table, entries)) as pages,
        ):
            async for page in pages:
                gathered.append(page)
                if len(waiting) > 1 and sum(one.nbytes for one in gathered) >= FILE_BYTES:
                    files[waiting.pop()] = await asyncio.to_thread(self._file, table, gathered)
                    gathered = []
        while waiting:
            files[waiting.pop()] = await asyncio.to_thread(self._file, table, gathered)
            gathered = []
        return files

    def _file(self, table: LoadTable, pages: Sequence[pa.Table]) -> SpooledFile:
        rows = pa.concat_tables(pages or [EXPORTED[table].empty_table()])
        if table is LoadTable.TRANSACTIONS:
            rows = self._enricher.restore(rows)
        return write_spool(
            rows, table=table, folder=self._folder, name=f"{table}-{uuid4().hex}", batch_id=None
        )


def spooled(entry: OutboxEntry) -> SpooledFile:
    """The file of an outbox entry."""
    return SpooledFile(
        table=entry.table,
        path=Path(entry.path),
        sha256=entry.sha256,
        rows=entry.rows,
        size_bytes=entry.size_bytes,
        dates=entry.dates,
    )


def _damage(entry: OutboxEntry) -> str | None:
    try:
        spooled_bytes(spooled(entry))
    except SpoolDamagedError as error:
        return str(error.args[0])
    return None
