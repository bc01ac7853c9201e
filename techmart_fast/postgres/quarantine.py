"""Rejected records of a batch: kept with their bytes, resolved once their position is accepted."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.postgres.encode import copy_bytes
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.records import BatchIdentity

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


async def resolve(
    session: Session, identity: BatchIdentity, candidates: pa.RecordBatch, batch_no: int
) -> int:
    """Mark earlier rejections at the positions of these candidates; returns how many."""
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
        statement("quarantine", "resolve"), feed, ordinal, accepted.tolist(), batch_no, doing=doing
    )


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
