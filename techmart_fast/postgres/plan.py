"""What happens to each record of a batch: plainly new, held, or to be judged."""

import asyncio
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from techmart_fast.postgres import staging
from techmart_fast.postgres.columns import pieces
from techmart_fast.postgres.fold import Mask, Rows, Shape, insertion_order, rows_up_to
from techmart_fast.postgres.frame import Claim
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.staging import NOTHING_STAGED, Judged
from techmart_fast.postgres.statements import statement
from techmart_fast.postgres.tables import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Row numbers of a batch by what happens to them.

    `fresh` rows are plainly new (their key is in no other version) and have their parents: they go
    straight into the table, in this order. `fresh_held` rows are new without parents. The rest was
    `judged`.
    """

    fresh: Rows
    fresh_held: Rows
    judged: Judged


async def make_plan(
    session: Session,
    table: Table,
    records: pa.RecordBatch,
    *,
    form: Shape,
    missing: Mask,
    claim: Claim,
) -> Plan:
    """Ask which keys have other versions; stage and judge those records, and repeated ones.

    A key that the database has no version of, and that the batch has once, needs no judgement: that
    is most of a first load.
    """
    keys = records.column(table.key)
    stored = np.zeros(len(keys), dtype=np.bool_)
    chained = form.repeated.copy()
    asked = rows_up_to(keys, claim.newest_key)
    any_held = table.held and claim.any_held
    if asked.size:
        stored[await _found(session, table, keys, "known", asked)] = True
    if any_held:
        chained[await _found(session, table, keys, "held_keys", np.arange(len(keys)))] = True
    staged = stored | chained
    fresh = np.flatnonzero(~staged & ~missing)
    order = await asyncio.to_thread(insertion_order, keys.take(pa.array(fresh)))
    judged = NOTHING_STAGED
    if staged.any():
        rows = np.flatnonzero(staged)
        marks: dict[str, Mask] = {"missing": missing[rows], "chained": chained[rows]}
        await staging.stage(session, table, records, rows=rows, marks=marks)
        judged = await staging.judge(
            session,
            table,
            single=not bool(marks["chained"].all()),
            chained=bool(marks["chained"].any()),
        )
    return Plan(
        fresh=fresh if order is None else fresh[order],
        fresh_held=np.flatnonzero(~staged & missing),
        judged=judged,
    )


async def _found(
    session: Session, table: Table, keys: pa.Array, question: str, asked: Rows
) -> Rows:
    """Which of the `asked` rows have a key that the database names in answer to the question."""
    wanted = keys if asked.size == len(keys) else keys.take(pa.array(asked))
    answer = await session.fetch(
        statement("staging", question, **pieces(table.feed)),
        wanted.to_pylist(),
        doing=f"looking up {table.name}",
    )
    numbers = np.fromiter((row[0] for row in answer), dtype=np.int64, count=len(answer))
    rows: Rows = asked[numbers - 1]
    return rows
