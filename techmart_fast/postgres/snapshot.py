"""One state of the database, asked several questions: what reconciliation compares."""

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

import pyarrow as pa

from techmart_fast.errors import SinkError
from techmart_fast.fingerprints import (
    BatchFingerprints,
    Fingerprints,
    Part,
    by_batch,
    by_key,
    by_part,
)
from techmart_fast.postgres.export import owed_pages, pages
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement

_DOING = "comparing the sinks"
_NEWEST = 1000
"""Entries whose numbers tell later ones: far more than are committed at the same time."""

_DAY_OF = {"transactions": "transaction_date", "rejected_transactions": "record_date"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A file that the warehouse is owed: rows of `table`, and every day that they touch."""

    table: str
    rows: int
    dates: frozenset[date]
    entry_id: int = 0
    batch_no: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Bytes of a file that no batch of a lane took in, although a later one did."""

    feed: str
    file: str
    lane: int
    first_byte: int
    end_byte: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What does not add up in the loader's own accounting; at most 20 of each kind."""

    gaps: tuple[Gap, ...] = ()
    batches: tuple[UUID, ...] = ()
    runs: tuple[tuple[UUID, str], ...] = ()
    held_expected: int = 0
    held_actual: int = 0

    @property
    def balance(self) -> bool:
        """Whether every record read is accounted for."""
        return not (self.gaps or self.batches or self.runs) and (
            self.held_expected == self.held_actual
        )


class Snapshot:
    """A session in a transaction that sees one state only. Changes nothing."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def owed(self) -> list[Owed]:
        """What waits in the outbox."""
        rows = await self._session.fetch(statement("reconcile", "waiting"), doing=_DOING)
        return [
            Owed(
                table=row["table_name"],
                rows=row["row_count"],
                dates=frozenset(row["dates"]),
                entry_id=row["entry_id"],
                batch_no=row["batch_no"],
            )
            for row in rows
        ]

    async def newest_entries(self) -> list[int]:
        """What `later_entries` needs."""
        query = statement("reconcile", "newest_entries", newest=str(_NEWEST))
        row = await self._session.fetchrow(query, doing=_DOING)
        return [] if row is None else list(row["entries"])

    async def parts(
        self,
        table: str,
        *,
        waiting: Collection[int] = (),
        since: date | None = None,
        until: date | None = None,
    ) -> Fingerprints:
        """Every part of a table, those of days from `since` to `until` (inclusive).

        `waiting` are the numbers of batches whose rows wait in the outbox.
        """
        query = statement("reconcile", "parts", hashed=_hashed(table, since, until))
        rows = await self._session.fetch(query, list(waiting), doing=_DOING)
        return by_part(map(dict, rows))

    async def batches(self, table: str, parts: Collection[Part]) -> BatchFingerprints:
        """Some parts of a table, by batch."""
        query = statement("reconcile", "batches", hashed=_within(table, parts), parts=_list(parts))
        return by_batch(map(dict, await self._session.fetch(query, doing=_DOING)))

    async def rows(
        self, table: str, parts: Collection[Part], *, batch_ids: Sequence[str], limit: int
    ) -> dict[Part, set[tuple[int, int]]]:
        """Hashes of keys and rows of some parts that batches wrote; `limit` rows at most."""
        query = statement("reconcile", "rows", hashed=_within(table, parts), parts=_list(parts))
        found = await self._session.fetch(query, list(batch_ids), limit, doing=_DOING)
        return by_key(map(dict, found))

    def pages(self, table: str, parts: Collection[Part]) -> AsyncGenerator[pa.Table, None]:
        """Rows of some parts as the warehouse is sent them (`EXPORTED`), in bounded memory."""
        return pages(self._session, table, parts)

    def owed_pages(self, table: str, entries: Collection[int]) -> AsyncGenerator[pa.Table, None]:
        """The same for the rows of some outbox entries that no later batch wrote over."""
        return owed_pages(self._session, table, entries)

    async def books(self) -> Books:
        """What does not add up in the loader's own accounting."""
        gaps = await self._session.fetch(statement("reconcile", "gaps"), doing=_DOING)
        batches = await self._session.fetch(
            statement("reconcile", "unbalanced_batches"), doing=_DOING
        )
        runs = await self._session.fetch(statement("reconcile", "unbalanced_runs"), doing=_DOING)
        held = await self._session.fetchrow(statement("reconcile", "held_balance"), doing=_DOING)
        if held is None:
            raise SinkError("PostgreSQL did not answer how many records are held.")
        return Books(
            gaps=tuple(
                Gap(
                    feed=row["feed"],
                    file=row["name"],
                    lane=row["lane"],
                    first_byte=row["first_byte"],
                    end_byte=row["end_byte"],
                )
                for row in gaps
            ),
            batches=tuple(row["batch_id"] for row in batches),
            runs=tuple((row["run_id"], row["feed"]) for row in runs),
            held_expected=held["expected"],
            held_actual=held["actual"],
        )


async def later_entries(session: Session, newest: Sequence[int]) -> list[Owed]:
    """Outbox entries that came since a snapshot whose `newest_entries` these are."""
    query = statement("reconcile", "later_entries", newest=str(_NEWEST))
    rows = await session.fetch(query, list(newest), doing=_DOING)
    return [
        Owed(table=row["table_name"], rows=row["row_count"], dates=frozenset(row["dates"]))
        for row in rows
    ]


def _hashed(table: str, since: date | None, until: date | None) -> str:
    """The rows of a table with their hashes, of days from `since` to `until`."""
    if table not in _DAY_OF:
        return statement("reconcile", f"hashed_{table}")
    terms = ["true"]
    for bound, sign, slack in ((since, ">=", "- INTERVAL '1 day'"), (until, "<=", "+ 2")):
        if bound is None:
            continue
        terms.append(f"t.{_DAY_OF[table]} {sign} {_literal(bound)}")
        if table == "transactions":
            terms.append(f't."timestamp" {sign} {_literal(bound)} {slack}')
    return statement("reconcile", f"hashed_{table}", within=" AND ".join(terms))


def _within(table: str, parts: Collection[Part]) -> str:
    days = [part for part in parts if isinstance(part, date)]
    return _hashed(table, min(days, default=None), max(days, default=None))


def _list(parts: Collection[Part]) -> str:
    return ", ".join(_literal(part) for part in sorted(parts, key=str))


def _literal(part: Part) -> str:
    return f"DATE '{part.isoformat()}'" if isinstance(part, date) else str(int(part))
