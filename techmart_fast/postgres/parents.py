"""The parents of a batch: created where that is meant, locked, and found missing."""

from dataclasses import dataclass

from techmart_fast.errors import SinkError
from techmart_fast.postgres.fold import ParentKeys
from techmart_fast.postgres.frame import Change
from techmart_fast.postgres.keys import join_keys
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.postgres.tables import Parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Parents:
    """`missing` keys of each parent; `created` rows by table."""

    missing: tuple[tuple[Parent, tuple[str, ...]], ...] = ()
    created: tuple[Change, ...] = ()


async def lock_parents(
    session: Session, parents: tuple[ParentKeys, ...], *, batch_no: int, ordinal: int
) -> Parents:
    """Create and lock the parents that a batch names.

    Why row locks. The guarantee of a foreign key is that nobody deletes a parent between the check
    and the COMMIT. `FOR KEY SHARE` is what the key's own trigger takes: other updates of a parent,
    and new parents, need not wait. Once for each distinct parent it costs some 2 µs, a sixth of a
    batch in which every second row names another user (one trigger call a row and key: three times
    the whole batch). A table lock in SHARE mode costs nothing a row, but stops every sign-up and
    every change of a product while a batch lasts. Writers share these locks and take them in key
    order. Two batches on the same 50,000 users make one MultiXact, not 50,000 (measured: 8 in a
    load of 640,000 rows).

    Raises:
        SinkError: a parent that was just created is gone again (transient).
    """
    missing: list[tuple[Parent, tuple[str, ...]]] = []
    created: list[Change] = []
    for named in parents:
        parent = named.parent
        parts = {"table": parent.table, "column": parent.column}
        doing = f"checking {parent.table}"
        if not len(named.keys):
            continue
        keys = join_keys(named.keys)
        if parent.created:
            count = await session.execute(
                statement("parents", "create", **parts),
                keys.text,
                keys.separator,
                named.offsets,
                ordinal,
                batch_no,
                doing=f"writing {parent.table}",
            )
            if count:
                created.append(Change(table=parent.table, inserted=count))
        lock = statement("parents", "lock", **parts)
        rows = await session.fetch(lock, keys.text, keys.separator, doing=doing)
        if rows and parent.created:
            raise SinkError(
                f"A row of {parent.table} was deleted while it was needed.",
                transient=True,
                table=parent.table,
            )
        if rows:
            missing.append((parent, tuple(row["key"] for row in rows)))
    return Parents(missing=tuple(missing), created=tuple(created))
