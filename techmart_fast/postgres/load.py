"""One batch, one transaction: claim, parents, classification, rows, quarantine, outbox."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.postgres import quarantine, staging
from techmart_fast.postgres.columns import pieces
from techmart_fast.postgres.encode import copy_bytes, with_constants
from techmart_fast.postgres.fold import (
    Mask,
    Rows,
    Shape,
    insertion_order,
    missing_parents,
    rows_up_to,
    shape,
    to_mask,
)
from techmart_fast.postgres.frame import Change, Claim, Frame
from techmart_fast.postgres.model import SPOOLED, BatchOutcome, BatchWrite, Spool
from techmart_fast.postgres.parents import lock_parents
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.staging import NOTHING_STAGED, Judged
from techmart_fast.postgres.statements import statement
from techmart_fast.postgres.tables import Table, table_of
from techmart_fast.records import FeedCounts, SpooledFile

_First = TypeVar("_First")
_Second = TypeVar("_Second")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Row numbers of a batch by what happens to them.

    `fresh` rows are plainly new (their key is in no other version) and have their parents: they go
    straight into the table. `fresh_held` rows are new without parents. `staged` rows are judged.
    """

    fresh: Rows
    fresh_held: Rows
    staged: Rows
    missing: Mask
    chained: Mask


async def load(frame: Frame, write: BatchWrite) -> BatchOutcome:
    """Write one batch; see `PostgresSink.write`."""
    identity, table = write.identity, table_of(write.identity.feed)
    form = await asyncio.to_thread(shape, write.candidates, table)
    gate = "gate" if table.held else None
    async with frame.transaction(identity.batch_id, gate=gate):
        claim = await frame.claim(
            write.lease, identity.batch_id, kind="load", table=table, identity=identity
        )
        if claim is None:
            return _skipped(write)
        parents = await lock_parents(
            frame.session,
            form.parents,
            batch_no=claim.batch_no,
            ordinal=identity.source.ordinal,
        )
        records = with_activity(write.candidates, table, claim.catalogue)
        missing = missing_parents(records, parents.missing)
        plan = await _plan(frame.session, table, records, form, missing, claim)
        judged = await _judge(frame.session, table, records, plan)
        accepted = await asyncio.to_thread(accepted_rows, records, plan.fresh, judged)
        spooled, superseded = await _together(
            spool_rows(write.spool, table, accepted, claim.catalogue),
            _write_rows(frame.session, write, table, records, plan, judged, claim),
        )
        dates = touched_dates(spooled, judged.old_dates)
        if spooled is not None:
            await frame.owe(claim.batch_no, spooled, dates)
        if write.rejected_file is not None:
            await frame.owe(claim.batch_no, write.rejected_file, write.rejected_file.dates)
        counts = _counts(write, plan, judged)
        change = Change(
            table=table.name,
            inserted=plan.fresh.size + judged.inserted,
            updated=judged.updated,
            advanced=judged.advanced,
        )
        await frame.close(
            claim.batch_no, (*parents.created, change), counts=counts, superseded=superseded
        )
        await frame.checkpoint(write.lease, identity)
    return BatchOutcome(
        batch_id=identity.batch_id,
        counts=counts,
        accepted=accepted.num_rows,
        flagged=_flagged(table, records, plan.fresh) + judged.flagged,
        superseded=superseded,
        dates=dates,
    )


def with_activity(records: pa.RecordBatch, table: Table, catalogue: int) -> pa.RecordBatch:
    """Products with `is_active`: named by the newest complete catalogue, or after it."""
    if "is_active" not in table.derived:
        return records
    active = pc.greater_equal(records.column("source_ordinal"), catalogue)
    return records.append_column("is_active", active)


def accepted_rows(records: pa.RecordBatch, fresh: Rows, judged: Judged) -> pa.RecordBatch:
    """The rows whose content is written, in source order, with what is kept of the stored rows."""
    rows = np.sort(np.concatenate([fresh, judged.accepted]))
    accepted = records if rows.size == records.num_rows else records.take(pa.array(rows))
    if not judged.rekept.size:
        return accepted
    name = "processing_priority"
    order = np.argsort(judged.rekept)
    mask = np.zeros(rows.size, dtype=np.bool_)
    mask[np.searchsorted(rows, judged.rekept)] = True
    values = pa.array(judged.rekept_values, type=pa.string()).take(pa.array(order))
    kept = pc.replace_with_mask(accepted.column(name), pa.array(mask), values)
    return accepted.set_column(accepted.schema.get_field_index(name), name, kept)


async def spool_rows(
    spool: Spool, table: Table, accepted: pa.RecordBatch, catalogue: int
) -> SpooledFile | None:
    """Hand accepted rows to the spool callback, shaped as `SPOOLED`; `None` without any."""
    if not accepted.num_rows:
        return None
    schema = SPOOLED[table.feed]
    if "catalogue_ordinal" in schema.names:
        accepted = with_constants(accepted, {"catalogue_ordinal": catalogue})
    columns = [accepted.column(name) for name in schema.names]
    return await spool(pa.RecordBatch.from_arrays(columns, schema=schema))


def touched_dates(spooled: SpooledFile | None, old_dates: Sequence[date]) -> tuple[date, ...]:
    """Every date that a batch touches in the warehouse, sorted."""
    return tuple(sorted({*(spooled.dates if spooled else ()), *old_dates}))


async def _plan(
    session: Session,
    table: Table,
    records: pa.RecordBatch,
    form: Shape,
    missing: Mask,
    claim: Claim,
) -> Plan:
    keys = records.column(table.key)
    stored = np.zeros(len(keys), dtype=np.bool_)
    chained = form.repeated
    asked = rows_up_to(keys, claim.newest_key)
    any_held = table.held and claim.any_held
    if asked.size or any_held or chained.any():
        await session.script(statement("staging", "by_index"), doing="planning")
    if asked.size:
        await _mark(session, table, "known", keys, asked, stored)
    if any_held:
        chained = chained.copy()
        await _mark(session, table, "held_keys", keys, np.arange(len(keys)), chained)
    staged = stored | chained
    fresh = np.flatnonzero(~staged & ~missing)
    order = await asyncio.to_thread(insertion_order, keys.take(pa.array(fresh)))
    return Plan(
        fresh=fresh if order is None else fresh[order],
        fresh_held=np.flatnonzero(~staged & missing),
        staged=np.flatnonzero(staged),
        missing=missing,
        chained=chained,
    )


async def _mark(
    session: Session, table: Table, name: str, keys: pa.Array, asked: Rows, mask: Mask
) -> None:
    """Ask the database about the `asked` rows' keys; set `mask` for those it names."""
    wanted = keys if asked.size == len(keys) else keys.take(pa.array(asked))
    found = await session.fetch(
        statement("staging", name, **pieces(table.feed)),
        wanted.to_pylist(),
        doing=f"looking up {table.name}",
    )
    mask[asked[np.fromiter((row[0] - 1 for row in found), np.int64, len(found))]] = True


async def _judge(session: Session, table: Table, records: pa.RecordBatch, plan: Plan) -> Judged:
    if not plan.staged.size:
        return NOTHING_STAGED
    await staging.stage(
        session, table, records, rows=plan.staged, missing=plan.missing, chained=plan.chained
    )
    chained = plan.chained[plan.staged]
    return await staging.judge(
        session, table, single=not bool(chained.all()), chained=bool(chained.any())
    )


async def _write_rows(
    session: Session,
    write: BatchWrite,
    table: Table,
    records: pa.RecordBatch,
    plan: Plan,
    judged: Judged,
    claim: Claim,
) -> int:
    batch_no = claim.batch_no
    if plan.fresh.size:
        await _copy_rows(session, "public", table.name, records, table.stored, plan.fresh, batch_no)
    if plan.fresh_held.size:
        held = f"held_{table.name}"
        await _copy_rows(
            session, "techmart_loader", held, records, table.staged, plan.fresh_held, batch_no
        )
    superseded = await staging.apply(session, table, judged, batch_no)
    await quarantine.quarantine(session, write.identity, write.rejections, batch_no)
    await quarantine.resolve(session, write.identity, write.candidates, batch_no)
    return superseded


async def _copy_rows(
    session: Session,
    schema: str,
    name: str,
    records: pa.RecordBatch,
    columns: Sequence[str],
    rows: Rows,
    batch_no: int,
) -> None:
    def encode() -> list[bytes]:
        chosen = records.select(list(columns))
        if rows.size < records.num_rows or np.any(np.diff(rows) < 0):
            chosen = chosen.take(pa.array(rows))
        return copy_bytes(with_constants(chosen, {"batch_no": batch_no}))

    await session.copy_in(
        name,
        [*columns, "batch_no"],
        await asyncio.to_thread(encode),
        schema=schema,
        doing=f"writing {name}",
    )


async def _together(
    first: Awaitable[_First], second: Awaitable[_Second]
) -> tuple[_First, _Second]:
    """Both results; when one fails the other is cancelled, and the first error is raised."""

    async def run(awaitable: Awaitable[_First]) -> _First:
        return await awaitable

    async def run_second(awaitable: Awaitable[_Second]) -> _Second:
        return await awaitable

    try:
        async with asyncio.TaskGroup() as group:
            one = group.create_task(run(first), name="spool")
            two = group.create_task(run_second(second), name="write rows")
    except BaseExceptionGroup as errors:
        first_error = errors.exceptions[0]
        raise first_error from first_error.__cause__
    return one.result(), two.result()


def _counts(write: BatchWrite, plan: Plan, judged: Judged) -> FeedCounts:
    return FeedCounts(
        read=write.read,
        loaded=plan.fresh.size + judged.loaded,
        rejected=write.rejections.num_rows,
        held=plan.fresh_held.size + judged.held,
        duplicate=judged.duplicate,
        rejected_by_reason=quarantine.reasons(write.rejections),
        corrected=judged.corrected,
    )


def _skipped(write: BatchWrite) -> BatchOutcome:
    return BatchOutcome(
        batch_id=write.identity.batch_id,
        skipped=True,
        counts=FeedCounts(
            read=write.read,
            rejected=write.rejections.num_rows,
            duplicate=write.candidates.num_rows,
            rejected_by_reason=quarantine.reasons(write.rejections),
        ),
    )


def _flagged(table: Table, records: pa.RecordBatch, rows: Rows) -> int:
    if table.flag is None:
        return 0
    name, value = table.flag
    return int(np.count_nonzero(to_mask(pc.equal(records.column(name), value))[rows]))
