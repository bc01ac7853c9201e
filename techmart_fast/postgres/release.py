"""Held transactions whose parents have arrived: released in bounded batches, "only if newer"."""

from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.postgres import staging
from techmart_fast.postgres.arrow_out import fetch_arrow
from techmart_fast.postgres.columns import column_list, pieces
from techmart_fast.postgres.fold import ParentKeys, to_mask
from techmart_fast.postgres.frame import Change, Frame
from techmart_fast.postgres.load import spool_rows, touched_dates
from techmart_fast.postgres.model import SPOOLED, Lease, Release, Spool
from techmart_fast.postgres.parents import lock_parents
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.postgres.tables import Table, table_of
from techmart_fast.records import Feed, FeedCounts
from techmart_fast.together import both

_DOING = "releasing held transactions"


async def release_batch(
    frame: Frame, lease: Lease, spool: Spool, *, start: str, max_rows: int
) -> tuple[Release | None, str | None]:
    """Release rows of ids after `start`, `max_rows` at most; what was released, if anything.

    The second item is where the next batch starts; `None` after the last one.
    """
    session, table, batch_id = frame.session, table_of(Feed.TRANSACTIONS), uuid4()
    async with frame.transaction(batch_id, gate="gate_alone"):
        staged = await session.execute(
            statement("release", "stage", **_stage_pieces(table)), start, max_rows, doing=_DOING
        )
        if not staged:
            return None, None
        claim = await frame.claim(lease, batch_id, kind="release", table=table)
        if claim is None:
            raise AssertionError("a fresh random batch id was known")
        await _lock(session, table, batch_no=claim.batch_no)
        last = await session.fetchrow(statement("release", "last"), doing=_DOING)
        judged = await staging.judge(session, table, single=False, chained=True)
        accepted = await _accepted(session, table)
        gone = await session.fetchrow(statement("release", "let_go"), doing=_DOING)
        released = int(gone["counted"]) if gone else 0
        spooled, superseded = await both(
            ("spool", "write rows"),
            spool_rows(spool, table, accepted, claim.catalogue),
            staging.apply(session, table, judged, claim.batch_no),
        )
        dates = touched_dates(spooled, judged.old_dates)
        if spooled is not None:
            await frame.owe(claim.batch_no, spooled, dates)
        change = Change(
            table=table.name,
            inserted=judged.inserted,
            updated=judged.updated,
            advanced=judged.advanced,
        )
        await frame.close(
            claim.batch_no, [change], counts=FeedCounts(released=released), superseded=superseded
        )
    flags = to_mask(pc.equal(accepted.column("payment_method_risk"), "high"))
    done = Release(
        batch_id=batch_id,
        released=released,
        accepted=accepted.num_rows,
        superseded=superseded,
        flagged=int(np.count_nonzero(flags)),
        dates=dates,
    )
    return done, last["last"] if last and staged == max_rows else None


async def _lock(session: Session, table: Table, *, batch_no: int) -> None:
    named: list[ParentKeys] = []
    for parent in table.parents:
        rows = await session.fetch(
            statement("release", "parents", column=parent.column), doing=_DOING
        )
        keys = pa.array([row["key"] for row in rows], type=pa.string())
        named.append(ParentKeys(parent=parent, keys=keys, offsets=[]))
    found = await lock_parents(session, tuple(named), batch_no=batch_no, ordinal=0)
    for parent, missing in found.missing:
        await session.execute(
            statement("release", "orphan", column=parent.column), list(missing), doing=_DOING
        )


async def _accepted(session: Session, table: Table) -> pa.RecordBatch:
    schema = SPOOLED[table.feed]
    spooled = ", ".join(
        f'coalesce(j.kept, s."{name}") AS "{name}"' if name == table.kept else f's."{name}"'
        for name in schema.names
    )
    query = statement("release", "accepted", spooled=spooled)
    rows = await fetch_arrow(session, query, schema, doing=_DOING)
    batches = rows.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=schema)


def _stage_pieces(table: Table) -> dict[str, str]:
    priority = statement("release", "priority").split("\n", 1)[1]
    decided = ", ".join(
        f'{priority} AS "{name}"' if name == table.kept else f'h."{name}"' for name in table.staged
    )
    return {**pieces(table.feed), "staged": column_list(table.staged), "decided": decided}
