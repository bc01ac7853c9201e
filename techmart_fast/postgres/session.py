"""One connection: every statement and COPY under a deadline, every failure a `SinkError`.

asyncpg's COPY may wait for ever when the backend dies, stops or goes half-open while the socket
pushes back (seen with 0.32), its own `timeout` included. So the deadline here is outside: it first
tears the transport down, then cancels the call. The loss of the connection ends the call, too. A
connection that met its deadline, or whose statement was cancelled half-way, is never used again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from techmart_fast.errors import SinkError
from techmart_fast.postgres.faults import (
    CONNECT_FAULTS,
    SESSION_FAULTS,
    connect_error,
    deadline_error,
    statement_error,
)
from techmart_fast.postgres.statements import statement
from techmart_fast.postgres.target import PostgresTarget

if TYPE_CHECKING:
    RawConnection = asyncpg.Connection[asyncpg.Record]
else:
    RawConnection = asyncpg.Connection

OLDEST_SERVER = 14
COPY_CHUNK_BYTES = 1 << 19
"""How much of a COPY is handed to the socket at once: asyncpg's own size for files. The whole batch
in one message would be copied whole into the transport's buffer."""

_CANCEL_AFTER_SECONDS = 0.5
"""Grace between the end of the transport and cancelling a call that did not notice."""

_CLOSE_SECONDS = 0.5
"""Grace for a polite end; without one the server just sees the connection end."""

_SERVER_GRACE_SECONDS = 10.0
"""How much later than the client's deadline the server ends a statement by itself."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The server's side of a connection: when it `started` tells it from later ones of its pid."""

    pid: int
    started: datetime


class Session:
    """A connection to the target. Not for concurrent use; `closed` after any broken call."""

    def __init__(self, raw: RawConnection, *, deadline_seconds: float) -> None:
        self._raw = raw
        self._seconds = deadline_seconds
        self._backend: Backend | None = None

    def __repr__(self) -> str:
        return f"<Session {'closed' if self.closed else f'backend {self.backend_pid}'}>"

    @classmethod
    async def open(
        cls,
        target: PostgresTarget,
        *,
        application_name: str,
        connect_timeout_seconds: float,
        deadline_seconds: float,
        instead_of: "Session | None" = None,
    ) -> "Session":
        """Connect and prepare the session's parameters.

        The backend of a lost session that this one is opened `instead_of` is ended: it may not know
        that its client is gone, and keep locks that this one will wait for.

        Raises:
            SinkAccessError: credentials, database, TLS or a privilege were refused.
            SinkError: no answer, or a server older than 14.
        """
        context = target.ssl_context()
        try:
            raw = await asyncpg.connect(
                host=target.host,
                port=target.port,
                user=target.user,
                password=target.password.get_secret_value() if target.password else None,
                database=target.db,
                ssl=context,
                timeout=connect_timeout_seconds,
            )
        except CONNECT_FAULTS as error:
            raise connect_error(error, str(target), target.effective_sslmode) from None
        session = cls(raw, deadline_seconds=deadline_seconds)
        try:
            session._refuse_unfit(target)
            row = await session.fetchrow(
                statement("session", "prepare"),
                application_name,
                f"{(deadline_seconds + _SERVER_GRACE_SECONDS) * 1000:.0f}ms",
                doing="preparing the session",
            )
            if row is not None and row["started"] is not None:
                session._backend = Backend(pid=session.backend_pid, started=row["started"])
            lost = instead_of._backend if instead_of else None
            if lost is not None:
                end = statement("session", "end_lost")
                doing = "ending a connection that was lost"
                await session.fetch(end, lost.pid, lost.started, doing=doing)
        except BaseException:
            session.terminate()
            raise
        return session

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._raw.is_closed()

    @property
    def backend_pid(self) -> int:
        """Process id of the server's side."""
        return self._raw.get_server_pid()

    @property
    def backend(self) -> Backend | None:
        """The server's side, by what names it for good; None where the server does not say."""
        return self._backend

    @property
    def deadline_seconds(self) -> float:
        """How long an operation may take, unless it is given another deadline."""
        return self._seconds

    @property
    def server_version(self) -> str:
        """The server's version, e.g. `16.4`."""
        version: str = self._raw.get_settings().server_version
        return version.split(" ", 1)[0]

    async def script(self, sql: str, *, doing: str) -> None:
        """Run statements without arguments, several at once."""
        await self._watched(self._raw.execute(sql), doing)

    async def execute(
        self, sql: str, *arguments: object, doing: str, seconds: float | None = None
    ) -> int:
        """Run one statement; returns how many rows it touched.

        `seconds` is a deadline of its own; the server has to be told, too (`statement_timeout`).
        """
        tag = await self._watched(self._raw.execute(sql, *arguments), doing, seconds)
        count = tag.rsplit(" ", 1)[-1]
        return int(count) if count.isdigit() else 0

    async def fetch(self, sql: str, *arguments: object, doing: str) -> list[asyncpg.Record]:
        """All rows of a query."""
        return await self._watched(self._raw.fetch(sql, *arguments), doing)

    async def fetchrow(self, sql: str, *arguments: object, doing: str) -> asyncpg.Record | None:
        """The first row of a query."""
        return await self._watched(self._raw.fetchrow(sql, *arguments), doing)

    async def copy_in(
        self, table: str, columns: Sequence[str], data: Sequence[bytes], *, schema: str, doing: str
    ) -> None:
        """COPY binary `data` (its pieces joined) into `schema.table`."""
        copying = self._raw.copy_to_table(
            table,
            source=_chunks(data),
            columns=list(columns),
            schema_name=schema,
            format="binary",
        )
        await self._watched(copying, doing)

    async def copy_out(self, query: str, *arguments: object, doing: str) -> bytes:
        """The rows of a query as CSV with a header; NULL is empty and unquoted, text quoted."""
        received: list[bytes] = []

        async def take(data: bytes) -> None:
            received.append(data)

        copying = self._raw.copy_from_query(
            query, *arguments, output=take, format="csv", header=True, force_quote=True
        )
        await self._watched(copying, doing)
        return b"".join(received)

    async def rollback(self) -> None:
        """Leave a failed transaction; a connection that can't is torn down."""
        if self.closed:
            return
        try:
            if self._raw.is_in_transaction():
                await self.script("ROLLBACK", doing="rolling back")
        except SinkError:
            self.terminate()

    async def close(self) -> None:
        """Close politely, or by force when the server does not answer."""
        if not self.closed:
            with suppress(*SESSION_FAULTS, TimeoutError):
                await self._raw.close(timeout=_CLOSE_SECONDS)
        self.terminate()

    def terminate(self) -> None:
        """Tear the transport down at once; the server rolls back what was open.

        Also when it is gone already: only this ends the task by which asyncpg asks the server to
        cancel, and that would wait for ever for a connection that was lost meanwhile.
        """
        self._raw.terminate()

    def _refuse_unfit(self, target: PostgresTarget) -> None:
        version = self._raw.get_server_version()
        if version.major < OLDEST_SERVER:
            raise SinkError(
                f"The server is PostgreSQL {version.major} ({target}).",
                hint=f"The loader needs {OLDEST_SERVER} or later.",
            )
        encoding = self._raw.get_settings().server_encoding
        if encoding != "UTF8":
            # Keys are compared byte by byte, here in UTF-8 and there in the database's encoding.
            raise SinkError(
                f"The database's encoding is {encoding} ({target}).",
                hint="Create it with ENCODING 'UTF8' TEMPLATE template0.",
            )

    async def _watched(
        self, operation: Awaitable[_Result], doing: str, seconds: float | None = None
    ) -> _Result:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        seconds = self._seconds if seconds is None else seconds
        cancels = task.cancelling() if task else 0
        expired = lost = False

        def expire() -> None:
            nonlocal expired
            expired = True
            self.terminate()

        def lose(_raw: object) -> None:
            nonlocal lost
            lost = True
            with suppress(RuntimeError):  # it has just ended
                limit.reschedule(loop.time() + _CANCEL_AFTER_SECONDS)

        timer = loop.call_later(seconds, expire)
        limit = asyncio.timeout(seconds + _CANCEL_AFTER_SECONDS)
        self._raw.add_termination_listener(lose)
        try:
            async with limit:
                return await operation
        except asyncio.CancelledError:
            # The protocol is in the middle of something: nothing can be said on it any more.
            self.terminate()
            raise
        except Exception as error:
            # Any exception: on a connection that is gone, asyncpg fails in odd ways.
            if self.closed:
                self.terminate()
            timed_out = isinstance(error, TimeoutError)
            if expired or (timed_out and not lost):
                raise deadline_error(doing, seconds) from None
            if task and task.cancelling() > cancels:
                self.terminate()
                raise asyncio.CancelledError from error
            if isinstance(error, SESSION_FAULTS) and not timed_out:
                raise statement_error(error, doing) from error
            if lost:
                raise statement_error(ConnectionResetError(), doing) from error
            raise
        finally:
            timer.cancel()
            self._raw.remove_termination_listener(lose)


async def _chunks(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), COPY_CHUNK_BYTES):
            yield bytes(view[start : start + COPY_CHUNK_BYTES])
