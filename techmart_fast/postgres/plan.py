"""What happens to each record of a batch: plainly new, held, or to be judged."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.postgres import staging
from techmart_fast.postgres.columns import pieces
from techmart_fast.postgres.fold import Mask, Rows, Shape, to_mask, up_to
from techmart_fast.postgres.frame import Claim
from techmart_fast.postgres.keys import join_keys
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.staging import NOTHING_STAGED, Judged
from techmart_fast.postgres.statements import statement
from techmart_fast.postgres.tables import Table

_HELD_LISTED = 5_000
"""Up to so many held keys are fetched and compared here; beyond, the batch's keys are looked up.

A list costs about 1 µs a held key, a look-up as much a record of the batch.
"""


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
    keys, order = records.column(table.key), form.order
    stored = np.zeros(len(keys), dtype=np.bool_)
    chained = form.repeated.copy()
    asked = order[up_to(keys, claim.newest_key)[order]]
    if asked.size:
        stored[await _found(session, table, keys, "known", asked)] = True
    if table.held and claim.any_held:
        chained[await _with_held_versions(session, table, keys, order)] = True
    staged = stored | chained
    judged = NOTHING_STAGED
    if staged.any():
        rows = order[staged[order]]
        marks: dict[str, Mask] = {"missing": missing[rows], "chained": chained[rows]}
        await staging.stage(session, table, records, rows=rows, marks=marks)
        judged = await staging.judge(
            session,
            table,
            single=not bool(marks["chained"].all()),
            chained=bool(marks["chained"].any()),
        )
    return Plan(
        fresh=order[~(staged | missing)[order]],
        fresh_held=order[(~staged & missing)[order]],
        judged=judged,
    )


async def _with_held_versions(
    session: Session, table: Table, keys: pa.Array, order: Rows
) -> Rows | Mask:
    some = await session.fetch(
        statement("staging", "some_held", **pieces(table.feed)),
        _HELD_LISTED,
        doing=f"looking up held {table.name}",
    )
    if len(some) == _HELD_LISTED:
        return await _found(session, table, keys, "held_keys", order)
    listed = pa.array([row["key"] for row in some], type=pa.string())
    return to_mask(pc.is_in(keys, value_set=listed))


async def _found(
    session: Session, table: Table, keys: pa.Array, question: str, asked: Rows
) -> Rows:
    """Which of the `asked` rows have a key that the database names in answer to the question."""
    given = join_keys(keys.take(pa.array(asked)))
    answer = await session.fetch(
        statement("staging", question, **pieces(table.feed)),
        given.text,
        given.separator,
        doing=f"looking up {table.name}",
    )
    numbers = np.fromiter((row[0] for row in answer), dtype=np.int64, count=len(answer))
    rows: Rows = asked[numbers - 1]
    return rows
