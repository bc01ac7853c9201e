"""The frame of a batch's transaction: begin, claim, close, commit, and the answer that got lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from techmart_fast.errors import CommitUnknownError, LeaseHeldError, SinkError
from techmart_fast.postgres.columns import pieces
from techmart_fast.postgres.model import Lease, ReferentialIntegrity
from techmart_fast.postgres.retry import Patience
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.postgres.tables import Table
from techmart_fast.records import BatchIdentity, FeedCounts, SpooledFile
from techmart_fast.together import to_its_end

BATCH_DOING = "committing a batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A batch that is this transaction's to write, and what was read on the way.

    No stored key is greater than `newest_key`; `catalogue` is the first ordinal of the newest
    complete catalogue (0 without one).
    """

    batch_no: int
    newest_key: str | None
    any_held: bool
    any_corrected: bool
    catalogue: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a batch did to one table, in rows."""

    table: str
    inserted: int = 0
    updated: int = 0
    advanced: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenIn:
    """What became of a batch's candidates when they were taken in, in records."""

    loaded: int
    corrected: int
    duplicate: int
    held: int
    flagged: int
    resent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Runs batch transactions on one session.

    `reopen` gives a new session instead of it, on which the fate of a COMMIT without an answer is
    looked up, with `patience`.
    """

    session: Session
    integrity: ReferentialIntegrity
    reopen: Callable[[], Awaitable[Session]]
    patience: Patience

    @asynccontextmanager
    async def transaction(self, batch_id: UUID, *, gate: str | None = None) -> AsyncIterator[None]:
        """A transaction that commits when left normally, and leaves nothing otherwise.

        Raises:
            CommitUnknownError: it may be committed. After any other error it is not.
        """
        begin = ["BEGIN"]
        if self.integrity == "set-based":
            begin.append(statement("session", "may_skip_triggers"))
        if gate:
            begin.append(statement("batch", gate))
        try:
            await self.session.script("; ".join(begin), doing="beginning a batch")
            yield
        except asyncio.CancelledError:
            # No more waiting: the server rolls back when its client is gone.
            self.session.terminate()
            raise
        except BaseException:
            await self.session.rollback()
            raise
        await self._commit(batch_id)

    async def claim(
        self,
        lease: Lease,
        batch_id: UUID,
        *,
        kind: str,
        table: Table,
        identity: BatchIdentity | None = None,
    ) -> Claim | None:
        """Check the lease and claim the batch; `None` when it was committed before.

        Raises:
            LeaseHeldError: the lease is another run's by now.
        """
        parts = pieces(table.feed)
        row = await self.session.fetchrow(
            statement("batch", "open", table=parts["table"], key=parts["key"]),
            lease.epoch,
            batch_id,
            kind,
            table.feed.value,
            lease.run_id,
            lease.contract_version,
            identity.source.fingerprint if identity else None,
            identity.source.ordinal if identity else None,
            identity.first_byte if identity else None,
            identity.end_byte if identity else None,
            identity.lane if identity else None,
            identity.lanes if identity else None,
            doing="claiming a batch",
        )
        if row is None or not row["leased"]:
            raise LeaseHeldError(
                "Another run took the lease over while this one was silent.",
                hint="What was committed stays; run again once the other run is done.",
            )
        if row["batch_no"] is None:
            return None
        return Claim(
            batch_no=row["batch_no"],
            newest_key=row["newest_key"],
            any_held=row["any_held"],
            any_corrected=row["any_corrected"],
            catalogue=row["catalogue"],
        )

    async def judge(self, lease: Lease, batch_id: UUID) -> TakenIn | None:
        """Counts of a known batch that this run has to judge; `None` when that was done.

        A batch is judged by the run that took it in, if that completed.
        """
        row = await self.session.fetchrow(
            statement("batch", "judge"), batch_id, lease.run_id, doing="judging a batch"
        )
        return None if row is None else TakenIn(**row)

    async def owe(self, batch_no: int, file: SpooledFile, dates: Sequence[date]) -> None:
        """Put a spooled file into the outbox, with every date that it touches."""
        await self.session.execute(
            statement("batch", "owe"),
            batch_no,
            file.table,
            str(file.path),
            file.sha256,
            file.rows,
            file.size_bytes,
            list(dates),
            doing="writing the outbox",
        )

    async def checkpoint(self, lease: Lease, identity: BatchIdentity) -> None:
        """Advance the checkpoint of the batch's file and lane."""
        await self.session.execute(
            statement("batch", "checkpoint"),
            identity.feed.value,
            identity.source.fingerprint,
            lease.contract_version,
            identity.lanes,
            identity.lane,
            identity.end_byte,
            doing="writing the checkpoint",
        )

    async def close(
        self,
        batch_no: int,
        changes: Sequence[Change],
        *,
        counts: FeedCounts,
        superseded: int,
        flagged: int = 0,
        resent: int = 0,
        seen: str | None = None,
    ) -> None:
        """Complete the batch's row; write lineage and the audit of inserts."""
        await self.session.execute(
            statement("batch", "close"),
            batch_no,
            counts.read,
            counts.loaded,
            counts.corrected,
            counts.duplicate,
            counts.held,
            counts.rejected,
            counts.released,
            superseded,
            flagged,
            [change.table for change in changes],
            [change.inserted for change in changes],
            [change.updated for change in changes],
            [change.advanced for change in changes],
            resent,
            seen,
            doing="closing a batch",
        )

    async def _commit(self, batch_id: UUID) -> None:
        # Shielded: a cancelled run waits for the answer (its deadline holds), so that it can say
        # what is committed. It is not patient any more.
        cancelled = asyncio.Event()
        committing = self._commit_or_look_up(batch_id, is_wanted=lambda: not cancelled.is_set())
        await to_its_end(asyncio.ensure_future(committing), on_cancel=cancelled.set)

    async def _commit_or_look_up(self, batch_id: UUID, *, is_wanted: Callable[[], bool]) -> None:
        try:
            await self.session.script("COMMIT", doing=BATCH_DOING)
        except SinkError as error:
            if not self.session.closed:
                await self.session.rollback()
                raise
            try:
                committed = await self.patience.keep_trying(
                    lambda: self._is_committed(batch_id), is_wanted=is_wanted
                )
            except SinkError as unknown:
                raise CommitUnknownError(
                    f"Whether a batch was committed could not be found out: {unknown.args[0]}",
                    hint=f"{unknown.hint} The next run finds it out.".lstrip(),
                    transient=unknown.transient,
                    batch=str(batch_id),
                ) from error
            if not committed:
                raise SinkError(
                    "The connection to PostgreSQL was lost, and the batch was not committed.",
                    hint="Run again: committed batches are kept.",
                    transient=True,
                    batch=str(batch_id),
                ) from error

    async def _is_committed(self, batch_id: UUID) -> bool:
        session = await self.reopen()
        try:
            await session.script("BEGIN", doing=BATCH_DOING)
            row = await session.fetchrow(
                statement("batch", "look_up"), batch_id, doing="looking up a batch"
            )
            await session.rollback()
        finally:
            await session.close()
        return row is None
