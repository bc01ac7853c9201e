"""Records that are not plainly new: staged, judged against the versions before them, applied."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import asyncpg
import numpy as np
import pyarrow as pa

from techmart_fast.postgres.columns import pieces
from techmart_fast.postgres.encode import copy_bytes, with_marks
from techmart_fast.postgres.fold import Mask, Rows
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.postgres.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the staged records come to.

    `loaded`, `held`, `duplicate` count records (`corrected` and `flagged` are parts of `loaded`,
    `resent`, which another file had before, of `duplicate`);
    `inserted`, `updated`, `advanced`, `put_on_hold` count rows; `passed_over` are held records that
    a newer one of the same batch made pointless. `accepted` are the row numbers, in
    the batch, whose content is written; for those in `rekept` the `rekept_values` are kept.
    """

    loaded: int = 0
    held: int = 0
    duplicate: int = 0
    corrected: int = 0
    resent: int = 0
    flagged: int = 0
    inserted: int = 0
    updated: int = 0
    advanced: int = 0
    put_on_hold: int = 0
    passed_over: int = 0
    accepted: Rows
    rekept: Rows
    rekept_values: tuple[str, ...] = ()
    old_dates: tuple[date, ...] = ()


NOTHING_STAGED = Judged(accepted=np.empty(0, np.int64), rekept=np.empty(0, np.int64))


async def create_tables(session: Session, table: Table) -> None:
    """Create the connection's own temporary tables; they empty themselves at COMMIT.

    Outside a transaction, so that one that fails does not take them along. One of each for a
    connection, used again and again: the catalog does not bloat.
    """
    parts = pieces(table.feed)
    doing = f"preparing to stage {table.name}"
    await session.script(statement("staging", "create_staged", **parts), doing=doing)
    await session.script(statement("staging", "create_judged", **parts), doing=doing)


async def stage(
    session: Session,
    table: Table,
    records: pa.RecordBatch,
    *,
    rows: Rows,
    marks: Mapping[str, Mask],
) -> None:
    """COPY the given rows of a batch into the staging table, each with its number and marks."""
    chosen = records.select(list(table.staged)).take(pa.array(rows))
    marked = with_marks(chosen, {"n": rows.astype(np.int32), **marks})
    await session.copy_in(
        f"staged_{table.name}",
        marked.schema.names,
        copy_bytes(marked),
        schema="pg_temp",
        doing=f"staging {table.name}",
    )


async def judge(session: Session, table: Table, *, single: bool, chained: bool) -> Judged:
    """Judge what is staged: records that stand alone, records of a chain, or both."""
    parts = pieces(table.feed)
    doing = f"judging {table.name}"
    if single:
        await session.script(statement("staging", "judge_single", **parts), doing=doing)
    if chained:
        await session.script(statement("staging", "judge_chained", **parts), doing=doing)
    row = await session.fetchrow(statement("staging", "summarise", **parts), doing=doing)
    return NOTHING_STAGED if row is None else _judged(row)


async def apply(session: Session, table: Table, judged: Judged, batch_no: int) -> int:
    """Write what was judged; returns how many held versions were superseded."""
    parts = pieces(table.feed)
    doing = f"writing {table.name}"
    if judged.inserted:
        await session.execute(statement("staging", "insert", **parts), batch_no, doing=doing)
    if judged.updated:
        await session.execute(statement("staging", "correct", **parts), batch_no, doing=doing)
    if judged.advanced:
        await session.execute(statement("staging", "advance", **parts), doing=doing)
    if judged.put_on_hold:
        await session.execute(statement("staging", "hold", **parts), batch_no, doing=doing)
    if table.held and judged.inserted + judged.updated + judged.advanced:
        dropped = await session.fetchrow(statement("staging", "supersede", **parts), doing=doing)
        return judged.passed_over + (dropped["counted"] if dropped else 0)
    return judged.passed_over


def _judged(row: asyncpg.Record) -> Judged:
    return Judged(
        loaded=row["loaded"],
        held=row["held"],
        duplicate=row["duplicate"],
        corrected=row["corrected"],
        resent=row["resent"],
        flagged=row["flagged"],
        inserted=row["inserted"],
        updated=row["updated"],
        advanced=row["advanced"],
        put_on_hold=row["put_on_hold"],
        passed_over=row["passed_over"],
        accepted=np.sort(np.array(row["accepted"], dtype=np.int64)),
        rekept=np.array(row["rekept"], dtype=np.int64),
        rekept_values=tuple(row["rekept_values"]),
        old_dates=tuple(row["old_dates"]),
    )
