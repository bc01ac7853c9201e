"""The sink's connections: for control, for each writer and for upkeep, replaced when lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from techmart_fast.errors import SinkAccessError, SinkError
from techmart_fast.postgres import lease as leases
from techmart_fast.postgres import quarantine, staging
from techmart_fast.postgres.frame import Frame
from techmart_fast.postgres.model import Lease, ReferentialIntegrity
from techmart_fast.postgres.retry import Patience
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.postgres.tables import table_of
from techmart_fast.postgres.target import PostgresTarget
from techmart_fast.records import Feed

_Result = TypeVar("_Result")

_UPKEEP = -1
"""The number of the connection for releases and catalogues, beside those of the writers."""


class Connections:
    """Opens sessions when they are first needed, and anew after they broke.

    The control session carries the lease's advisory lock: when it had to be replaced, the lease is
    proven again before it is used. `patience` is for all that comes after `open`.
    """

    def __init__(
        self,
        target: PostgresTarget,
        *,
        writers: int,
        connect_timeout_seconds: float,
        command_timeout_seconds: float,
        patience: Patience,
    ) -> None:
        self._target = target
        self._patience = patience
        self._writers = writers
        self._connect_timeout_seconds = connect_timeout_seconds
        self._command_timeout_seconds = command_timeout_seconds
        self._control: Session | None = None
        self._control_turn = asyncio.Lock()
        self._writing: dict[int, Session] = {}
        self._staging: dict[int, set[Feed]] = {}
        self._lease: Lease | None = None
        self._integrity: ReferentialIntegrity = "triggers"
        self._server_version = ""

    def __repr__(self) -> str:
        return f"{self._target}, {len(self._writing)} of {self._writers} writers open"

    @property
    def referential_integrity(self) -> ReferentialIntegrity:
        """How foreign keys are checked by this role."""
        return self._integrity

    @property
    def server_version(self) -> str:
        """The server's version."""
        return self._server_version

    def hold(self, lease: Lease | None) -> None:
        """Remember the lease that the control connection carries."""
        self._lease = lease

    async def open(self) -> None:
        """Open the control connection and learn what the role may do."""
        async with self.control() as session:
            self._server_version = session.server_version
            self._integrity = await _may_skip_triggers(session)

    async def close(self) -> None:
        """Close everything, at the same time; safe to call again."""
        sessions = [*self._writing.values(), *([self._control] if self._control else [])]
        self._writing, self._staging, self._control, self._lease = {}, {}, None, None
        await asyncio.gather(*(session.close() for session in sessions))

    @asynccontextmanager
    async def control(self) -> AsyncIterator[Session]:
        """The control session, for one user at a time."""
        async with self._control_turn:
            if self._control is None or self._control.closed:
                self._control = await self._opened(self._control, self._hold_again)
            yield self._control

    async def on_control(self, work: Callable[[Session], Awaitable[_Result]]) -> _Result:
        """The result of work on the control session: work that may be done twice."""

        async def attempt() -> _Result:
            async with self.control() as session:
                return await work(session)

        return await self._patience.keep_trying(attempt)

    async def on_writer(
        self, number: int, feed: Feed, work: Callable[[Frame], Awaitable[_Result]]
    ) -> _Result:
        """The result of work in one writer's frame: a transaction that leaves nothing if it fails.

        Raises:
            ValueError: there is no such writer.
        """
        if not 0 <= number < self._writers:
            raise ValueError(f"writer {number} of {self._writers}")
        return await self._in_frame(number, feed, work)

    async def on_upkeep(self, feed: Feed, work: Callable[[Frame], Awaitable[_Result]]) -> _Result:
        """The same in the frame of releases and catalogues."""
        return await self._in_frame(_UPKEEP, feed, work)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Session]:
        """A session of its own, in a transaction that sees one state and changes nothing."""
        session = await self._open()
        try:
            await session.script(statement("session", "snapshot"), doing="opening a snapshot")
            yield session
        finally:
            # The transaction ends with its connection.
            await session.close()

    async def _in_frame(
        self, number: int, feed: Feed, work: Callable[[Frame], Awaitable[_Result]]
    ) -> _Result:
        async def attempt() -> _Result:
            return await work(await self._frame(number, feed))

        return await self._patience.keep_trying(attempt)

    async def _frame(self, number: int, feed: Feed) -> Frame:
        session = self._writing.get(number)
        if session is None or session.closed:
            session = await self._opened(session, quarantine.create_table)
            self._writing[number] = session
            self._staging[number] = set()
        if feed not in self._staging[number]:
            await staging.create_tables(session, table_of(feed))
            self._staging[number].add(feed)
        return Frame(
            session=session,
            integrity=self._integrity,
            reopen=partial(self._open, instead_of=session),
            patience=self._patience,
        )

    async def _opened(
        self, lost: Session | None, prepare: Callable[[Session], Awaitable[None]]
    ) -> Session:
        """A new session in place of one that was lost; used by nobody unless it is prepared."""
        session = await self._open(instead_of=lost)
        try:
            await prepare(session)
        except BaseException:
            session.terminate()
            raise
        return session

    async def _hold_again(self, session: Session) -> None:
        if self._lease is not None:
            await leases.take_again(session, self._lease)

    async def _open(self, *, instead_of: Session | None = None) -> Session:
        return await Session.open(
            self._target,
            application_name=leases.application_name(self._lease.run_id if self._lease else None),
            connect_timeout_seconds=self._connect_timeout_seconds,
            deadline_seconds=self._command_timeout_seconds,
            instead_of=instead_of,
        )


async def _may_skip_triggers(session: Session) -> ReferentialIntegrity:
    try:
        await session.script(
            f"BEGIN; {statement('session', 'may_skip_triggers')}; ROLLBACK",
            doing="asking what the role may do",
        )
    except SinkAccessError:
        await session.rollback()
        return "triggers"
    except SinkError:
        await session.rollback()
        raise
    return "set-based"
