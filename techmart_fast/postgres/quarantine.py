"""Rejected records of a batch: kept with their bytes, resolved once their position is accepted."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import asyncpg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.postgres.encode import copy_bytes
from techmart_fast.postgres.model import BatchWrite, QuarantineFilter, WaitingRecord
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.records import BatchIdentity, Feed, SourceFile

_TEXT_COLUMNS = ("field", "message", "record_key")


async def create_table(session: Session) -> None:
    """Create the connection's temporary table of rejections."""
    await session.script(
        statement("quarantine", "create_rejected"), doing="preparing to quarantine"
    )


async def quarantine(
    session: Session, identity: BatchIdentity, rejections: pa.RecordBatch, batch_no: int
) -> None:
    """Store the rejections of a batch; doing it again changes nothing."""
    if not rejections.num_rows:
        return
    doing = f"quarantining records of {identity.feed}"
    clean = _storable(rejections)
    await session.copy_in(
        "rejected", clean.schema.names, copy_bytes(clean), schema="pg_temp", doing=doing
    )
    source = identity.source
    await session.execute(
        statement("quarantine", "keep"),
        identity.feed.value,
        storable_text(source.name),
        source.ordinal,
        batch_no,
        doing=doing,
    )


async def without_corrected(session: Session, write: BatchWrite) -> tuple[BatchWrite, int]:
    """The batch without records that were accepted in other words; and how many these are.

    They took effect once. What their file says of them, by whatever contract, is no news.
    """
    identity = write.identity
    found = await session.fetch(
        statement("quarantine", "corrected_offsets"),
        identity.feed.value,
        identity.source.ordinal,
        identity.first_byte,
        identity.end_byte,
        doing=f"looking for corrected records of {identity.feed}",
    )
    known = pa.array([row[0] for row in found], pa.int64())

    def others(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.filter(pc.invert(pc.is_in(batch.column("source_offset"), value_set=known)))

    candidates, rejections = others(write.candidates), others(write.rejections)
    kept = candidates.num_rows + rejections.num_rows
    settled = write.candidates.num_rows + write.rejections.num_rows - kept
    return replace(write, candidates=candidates, rejections=rejections), settled


async def resolve(
    session: Session,
    identity: BatchIdentity,
    candidates: pa.RecordBatch,
    batch_no: int,
    *,
    corrected: bool,
) -> int:
    """Mark earlier rejections at the positions of these candidates; returns how many.

    `corrected`: what was accepted stands in other words than in the file.
    """
    doing = f"resolving quarantined records of {identity.feed}"
    feed, ordinal = identity.feed.value, identity.source.ordinal
    found = await session.fetch(
        statement("quarantine", "open_offsets"),
        feed,
        ordinal,
        identity.first_byte,
        identity.end_byte,
        doing=doing,
    )
    if not found:
        return 0
    offsets = candidates.column("source_offset").to_numpy()
    accepted = np.intersect1d(np.array([row[0] for row in found], dtype=np.int64), offsets)
    if not accepted.size:
        return 0
    return await session.execute(
        statement("quarantine", "resolve"),
        feed,
        ordinal,
        accepted.tolist(),
        batch_no,
        corrected,
        doing=doing,
    )


async def waiting(
    session: Session,
    feed: Feed,
    filters: QuarantineFilter,
    *,
    numbers: Collection[int] | None,
    behind: tuple[int, int],
    rows: int,
    size_bytes: int,
) -> list[WaitingRecord]:
    """The next unresolved rejections of a feed behind a position, with their bytes."""
    found = await session.fetch(
        statement("quarantine", "waiting"),
        feed.value,
        filters.code,
        filters.source,
        filters.run_id,
        None if numbers is None else list(numbers),
        *behind,
        rows,
        size_bytes,
        doing="reading the quarantine",
    )
    return [_waiting(feed, row) for row in found]


def _waiting(feed: Feed, row: asyncpg.Record) -> WaitingRecord:
    source = SourceFile(
        feed=feed,
        name=row["source_name"],
        path=Path(row["source_name"]),
        fingerprint=row["fingerprint"] or "",
        size_bytes=0,
        compression="",
        format=row["format"] or "",
        ordinal=row["source_ordinal"],
        header=tuple(row["header"] or ()),
    )
    places = ("number", "source_offset", "source_line", "code", "field", "message", "record_key")
    return WaitingRecord(source=source, raw=row["raw"], **{name: row[name] for name in places})


def reasons(rejections: pa.RecordBatch) -> Mapping[str, int]:
    """How many rejections there are of each code."""
    counts = pc.value_counts(rejections.column("code"))
    return {item["values"]: item["counts"] for item in counts.to_pylist()}


def storable_text(text: str) -> str:
    """Text that a UTF-8 database takes: file names may hold bytes that are not text."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _storable(rejections: pa.RecordBatch) -> pa.RecordBatch:
    # A rejected record's key may hold the very NUL that it was rejected for.
    columns = {name: rejections.column(name) for name in rejections.schema.names}
    for name in _TEXT_COLUMNS:
        columns[name] = pc.replace_substring(columns[name], pattern="\0", replacement="\\x00")
    return pa.RecordBatch.from_pydict(columns)
