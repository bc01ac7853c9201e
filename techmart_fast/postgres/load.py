"""One batch, one transaction: claim, parents, plan, rows, quarantine, outbox, checkpoint."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.errors import RefusedRowError
from techmart_fast.postgres import quarantine, staging
from techmart_fast.postgres.encode import copy_bytes, with_constants
from techmart_fast.postgres.fold import Rows, missing_parents, shape, to_mask
from techmart_fast.postgres.frame import Change, Frame, TakenIn
from techmart_fast.postgres.model import SPOOLED, BatchOutcome, BatchWrite, Spool
from techmart_fast.postgres.parents import lock_parents
from techmart_fast.postgres.plan import Plan, make_plan
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.staging import Judged
from techmart_fast.postgres.tables import Table, table_of
from techmart_fast.records import FeedCounts, SpooledFile
from techmart_fast.together import both


class _TakenBackError(Exception):
    """The batch could be written, and was only tried."""


async def try_rows(frame: Frame, write: BatchWrite, rows: Rows) -> RefusedRowError | None:
    """Write these rows of a batch, and take them back; the error, if PostgreSQL refuses one.

    Raises:
        SinkError: they can't be written for another reason.
    """
    some = replace(
        write,
        candidates=write.candidates.take(pa.array(rows)),
        rejections=write.rejections.slice(0, 0),
        read=int(rows.size),
        rejected_file=None,
    )
    try:
        await load(frame, some, keep=False)
    except _TakenBackError:
        return None
    except RefusedRowError as error:
        return error
    return None


async def load(frame: Frame, write: BatchWrite, *, keep: bool = True) -> BatchOutcome:
    """Write one batch; see `PostgresSink.write`. Without `keep` it is taken back at the end."""
    identity, table = write.identity, table_of(write.identity.feed)
    form = await asyncio.to_thread(shape, write.candidates, table)
    async with frame.transaction(identity.batch_id, gate="gate" if table.held else None):
        claim = await frame.claim(
            write.lease, identity.batch_id, kind=write.kind, table=table, identity=identity
        )
        if claim is None:
            return _skipped(write, await frame.judge(write.lease, identity.batch_id))
        settled = 0
        if claim.any_corrected:
            write, settled = await quarantine.without_corrected(frame.session, write)
            form = await asyncio.to_thread(shape, write.candidates, table)
        parents = await lock_parents(
            frame.session, form.parents, batch_no=claim.batch_no, ordinal=identity.source.ordinal
        )
        records = _with_activity(write.candidates, table, claim.catalogue)
        missing = missing_parents(records, parents.missing)
        plan = await make_plan(
            frame.session, table, records, form=form, missing=missing, claim=claim
        )
        accepted = await asyncio.to_thread(_accepted, table, records, plan)
        writer = _Writer(
            session=frame.session, table=table, records=records, batch_no=claim.batch_no
        )
        spooled, superseded = await both(
            ("spool", "write rows"),
            spool_rows(write.spool, table, accepted, claim.catalogue) if keep else _no_file(),
            writer.write(write, plan),
        )
        dates = touched_dates(spooled, plan.judged.old_dates)
        if spooled is not None:
            await frame.owe(claim.batch_no, spooled, dates)
        if write.rejected_file is not None:
            await frame.owe(claim.batch_no, write.rejected_file, write.rejected_file.dates)
        counts = _counts(write, plan, settled)
        change = Change(
            table=table.name,
            inserted=plan.fresh.size + plan.judged.inserted,
            updated=plan.judged.updated,
            advanced=plan.judged.advanced,
        )
        flagged = _flagged(table, records, plan.fresh) + plan.judged.flagged
        await frame.close(
            claim.batch_no,
            (*parents.created, change),
            counts=counts,
            superseded=superseded,
            flagged=flagged,
            resent=plan.judged.resent,
            seen=orjson.dumps({"reasons": counts.rejected_by_reason, **write.seen}).decode(),
        )
        if write.kind == "load":
            await frame.checkpoint(write.lease, identity)
        if not keep:
            raise _TakenBackError
    return BatchOutcome(
        batch_id=identity.batch_id,
        counts=counts,
        judged=counts,
        accepted=accepted.num_rows,
        flagged=flagged,
        resent=plan.judged.resent,
        superseded=superseded,
        dates=dates,
    )


async def _no_file() -> None:
    """What is taken back leaves no file."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writer:
    """Puts the planned rows of a batch into their tables."""

    session: Session
    table: Table
    records: pa.RecordBatch
    batch_no: int

    async def write(self, write: BatchWrite, plan: Plan) -> int:
        """Write rows, held rows and the quarantine; returns how many held rows were superseded."""
        table, session = self.table, self.session
        await self._copy("public", table.name, table.stored, plan.fresh)
        await self._copy("techmart_loader", f"held_{table.name}", table.staged, plan.fresh_held)
        superseded = await staging.apply(session, table, plan.judged, self.batch_no)
        await quarantine.quarantine(session, write.identity, write.rejections, self.batch_no)
        await quarantine.resolve(
            session,
            write.identity,
            write.candidates,
            self.batch_no,
            corrected=write.is_corrected,
        )
        return superseded

    async def _copy(self, schema: str, name: str, columns: Sequence[str], rows: Rows) -> None:
        if not rows.size:
            return
        await self.session.copy_in(
            name,
            [*columns, "batch_no"],
            await asyncio.to_thread(self._encode, columns, rows),
            schema=schema,
            doing=f"writing {name}",
        )

    def _encode(self, columns: Sequence[str], rows: Rows) -> list[bytes]:
        chosen = self.records.select(list(columns))
        if rows.size < chosen.num_rows or np.any(np.diff(rows) < 0):
            chosen = chosen.take(pa.array(rows))
        return copy_bytes(with_constants(chosen, {"batch_no": self.batch_no}))


def _with_activity(records: pa.RecordBatch, table: Table, catalogue: int) -> pa.RecordBatch:
    """Products with `is_active`: named by the newest complete catalogue, or after it."""
    if "is_active" not in table.derived:
        return records
    active = pc.greater_equal(records.column("source_ordinal"), catalogue)
    return records.append_column("is_active", active)


def _accepted(table: Table, records: pa.RecordBatch, plan: Plan) -> pa.RecordBatch:
    """The rows whose content is written, in source order, with what is kept of the stored rows."""
    rows = np.sort(np.concatenate([plan.fresh, plan.judged.accepted]))
    accepted = records if rows.size == records.num_rows else records.take(pa.array(rows))
    if table.kept is None or not plan.judged.rekept.size:
        return accepted
    return _with_kept(accepted, table.kept, rows, plan.judged)


def _with_kept(accepted: pa.RecordBatch, name: str, rows: Rows, judged: Judged) -> pa.RecordBatch:
    order = np.argsort(judged.rekept)
    mask = np.zeros(rows.size, dtype=np.bool_)
    mask[np.searchsorted(rows, judged.rekept)] = True
    values = pa.array(judged.rekept_values, type=pa.string()).take(pa.array(order))
    kept = pc.replace_with_mask(accepted.column(name), pa.array(mask), values)
    return accepted.set_column(accepted.schema.get_field_index(name), name, kept)


def _counts(write: BatchWrite, plan: Plan, settled: int) -> FeedCounts:
    return FeedCounts(
        read=write.read,
        loaded=plan.fresh.size + plan.judged.loaded,
        rejected=write.rejections.num_rows,
        held=plan.fresh_held.size + plan.judged.held,
        duplicate=plan.judged.duplicate + settled,
        rejected_by_reason=quarantine.reasons(write.rejections),
        corrected=plan.judged.corrected,
    )


def _skipped(write: BatchWrite, then: TakenIn | None) -> BatchOutcome:
    counts = FeedCounts(
        read=write.read,
        rejected=write.rejections.num_rows,
        duplicate=write.candidates.num_rows,
        rejected_by_reason=quarantine.reasons(write.rejections),
    )
    judged = None
    if then is not None:
        judged = replace(
            counts,
            loaded=then.loaded,
            corrected=then.corrected,
            duplicate=then.duplicate,
            held=then.held,
        )
    return BatchOutcome(
        batch_id=write.identity.batch_id,
        skipped=True,
        counts=counts,
        judged=judged,
        flagged=then.flagged if then else 0,
        resent=then.resent if then else 0,
    )


def _flagged(table: Table, records: pa.RecordBatch, rows: Rows) -> int:
    if table.flag is None:
        return 0
    name, value = table.flag
    return int(np.count_nonzero(to_mask(pc.equal(records.column(name), value))[rows]))
