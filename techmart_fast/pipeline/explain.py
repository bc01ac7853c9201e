"""Looks into parts of a table that differ between the sinks: which batches, and how many rows."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date

from techmart_fast.fingerprints import BatchFingerprints, Fingerprint, Part
from techmart_fast.pipeline.reconciled import Standing, TableReconciled, Unequal
from techmart_fast.postgres import Snapshot
from techmart_fast.warehouse import LoadTable, WarehouseFingerprints

MOST_EXPLAINED = 31
"""Parts of a table that differ and are looked into; the others are only named."""

MOST_ROWS = 200_000
"""Rows of differing batches whose hashes are fetched from each sink, to count what differs."""

_NOTHING = Fingerprint()


class Explanation:
    """Looks into parts that differ: by batch, then by row."""

    def __init__(self, snapshot: Snapshot, warehouse: WarehouseFingerprints) -> None:
        self._snapshot = snapshot
        self._warehouse = warehouse

    async def table(self, compared: TableReconciled) -> TableReconciled:
        """The same, with batches and counts for the first parts that differ."""
        differing = [one for one in compared.unequal if one.standing is Standing.DIFFERS]
        differing = differing[:MOST_EXPLAINED]
        if not differing:
            return compared
        table, parts = LoadTable(compared.table), {one.part for one in differing}
        days = [part for part in parts if isinstance(part, date)]
        here = await self._snapshot.batches(table, parts)
        there = await self._warehouse.batches(table, days)
        batches = {part: _unequal_batches(part, here, there) for part in parts}
        ids = sorted({batch for of_part in batches.values() for batch in of_part})
        stored = held = None
        if max(_rows(here, batches), _rows(there, batches)) <= MOST_ROWS:
            stored = await self._snapshot.rows(table, parts, batch_ids=ids, limit=MOST_ROWS)
            held = await self._warehouse.rows(table, days, batch_ids=ids, limit=MOST_ROWS)
        explained = {}
        for one in differing:
            named = replace(one, batches=batches[one.part])
            if stored is not None and held is not None:
                named = _counted(named, stored.get(one.part, set()), held.get(one.part, set()))
            explained[one.part] = named
        return replace(
            compared, unequal=tuple(explained.get(one.part, one) for one in compared.unequal)
        )


def _unequal_batches(
    part: Part, here: BatchFingerprints, there: BatchFingerprints
) -> tuple[str, ...]:
    names = {batch for of, batch in [*here, *there] if of == part}
    return tuple(
        sorted(
            batch
            for batch in names
            if not here.get((part, batch), _NOTHING).equals(there.get((part, batch), _NOTHING))
        )
    )


def _rows(found: BatchFingerprints, batches: Mapping[Part, Collection[str]]) -> int:
    """Rows of batches that are not equal, in any of the parts: what would be fetched."""
    names = {batch for of_part in batches.values() for batch in of_part}
    return sum(one.rows for (_, batch), one in found.items() if batch in names)


def _counted(one: Unequal, stored: set[tuple[int, int]], held: set[tuple[int, int]]) -> Unequal:
    here, there = {key for key, _ in stored}, {key for key, _ in held}
    same = {key for key, _ in stored & held}
    # A row that is there twice has one key; what is too much shows in the number of rows.
    twice = max(0, one.warehouse.rows - one.postgres.rows + len(here - there) - len(there - here))
    return replace(
        one,
        missing=len(here - there),
        extra=len(there - here) + twice,
        changed=len((here & there) - same),
    )
