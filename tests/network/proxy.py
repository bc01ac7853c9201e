"""A TCP proxy before a PostgreSQL server that makes trouble at a named moment of the conversation.

It understands just enough of the protocol to tell messages of the client apart (no TLS). It runs in
a thread of its own, so that the loop under test has no task that is not the product's.
"""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
_QUERY, _COPY_DATA = b"Q", b"d"
_CHUNK_BYTES = 1 << 16
_SLOW_SECONDS = 0.01
_TRICKLE_BYTES, _TRICKLE_SECONDS = 4, 0.05
_END_SECONDS = 10.0


class Fault(StrEnum):
    """What happens to the connection on which the moment comes."""

    RESET = "reset before it is forwarded"
    CLOSE = "closed before it is forwarded"
    RESET_AFTER = "reset after it is forwarded, before the answer"
    RESET_UNSEEN = "reset, and the server does not see it"
    HALF_OPEN = "half-open: nothing passes any more, either way"
    DEAF = "half-open: nothing passes to the server"
    SWALLOW = "forwarded, but no answer passes to the client"
    TRICKLE = "a few bytes at a time from here on"
    SLOW = "every chunk delayed from here on"


LOSSES = (Fault.RESET, Fault.CLOSE, Fault.RESET_AFTER, Fault.RESET_UNSEEN)
"""Faults that the client sees at once."""

SILENCES = (Fault.HALF_OPEN, Fault.DEAF, Fault.SWALLOW)
"""Faults that only a deadline finds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A message of a client.

    The first one that holds `words`; with `chunk`, that piece of the data of the COPY which does;
    with `then`, the next one on its connection that holds this; with `number`, the message of that
    number since the proxy was armed, on any connection.
    """

    words: bytes = b""
    then: bytes = b""
    chunk: int = 0
    number: int = 0


CONNECT = Moment(words=b"database\0")
PREPARE = Moment(words=b"set_config('application_name'")
LEASE = Moment(words=b"make_interval(secs => lease_seconds)")
BEGIN = Moment(words=b"BEGIN")
CLAIM = Moment(words=b"INSERT INTO techmart_loader.batches")
COMMIT = Moment(words=b"COMMIT\0")
HEARTBEAT = Moment(words=b"SET heartbeat_at = clock_timestamp()")


def copying(table: bytes, chunk: int = 1) -> Moment:
    """The given piece of a COPY into a table."""
    return Moment(words=b'"%s"' % table, chunk=chunk)


@dataclass(slots=True)
class _Armed:
    moment: Moment
    fault: Fault
    times: int
    seen: int = 0


@dataclass(slots=True, eq=False)
class _Link:
    """One connection through the proxy, and what was asked of it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server_reader: asyncio.StreamReader
    server_writer: asyncio.StreamWriter
    copying: bytes = b""
    primed: bool = False
    chunks: int = 0
    deaf: bool = False
    mute: bool = False
    held: bool = False
    reset_on_answer: bool = False
    trickle: bool = False
    slow: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        done = 0
        while done < len(data):
            if self.trickle or self.slow:
                await asyncio.sleep(_TRICKLE_SECONDS if self.trickle else _SLOW_SECONDS)
            step = _TRICKLE_BYTES if self.trickle else _CHUNK_BYTES if self.slow else len(data)
            writer.write(data[done : done + step])
            await writer.drain()
            done += step

    def reset_client(self) -> None:
        with suppress(OSError, AttributeError):
            sock = self.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def reset(self) -> None:
        self.reset_client()
        self.server_writer.transport.abort()
        self.over.set()


class Proxy:
    """Use it with `with`; clients reach the server at 127.0.0.1:`port`.

    `server` is the path of the server's Unix socket. `messages` counts what clients have said since
    it was armed, `struck_at` is the loop's time (monotonic) of the last fault, None before one.
    """

    def __init__(self, server: Path) -> None:
        self.server = server
        self._loop = asyncio.new_event_loop()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._armed: _Armed | None = None
        self._struck = threading.Event()
        self.port = 0
        self.messages = 0
        self.connections = 0
        self.struck_at: float | None = None

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), name="proxy")
        self._thread.start()
        assert ready.wait(_END_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(_END_SECONDS)
        assert not self._thread.is_alive()

    def arm(self, moment: Moment, fault: Fault, *, times: int = 1) -> None:
        """From now on, `times` times."""
        self.messages, self.struck_at = 0, None
        self._struck.clear()
        self._armed = _Armed(moment, fault, times)

    def disarm(self) -> None:
        """No more trouble: what is lost stays so, what is slow is so no longer."""
        self._armed = None
        for link in list(self._links):
            link.trickle = link.slow = False

    @contextmanager
    def armed(self, moment: Moment, fault: Fault, *, times: int = 1) -> Iterator[None]:
        """Trouble that must have come within the block."""
        self.arm(moment, fault, times=times)
        yield
        self.disarm()
        assert self.struck_at is not None, f"{moment} never came"

    async def struck(self) -> None:
        """Wait until a fault has struck."""
        assert await asyncio.to_thread(self._struck.wait, _END_SECONDS)

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._main(ready))
        finally:
            self._loop.close()

    async def _main(self, ready: threading.Event) -> None:
        self._end = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._end.wait()
        server.close()
        for link in self._links:
            link.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            there = await asyncio.open_unix_connection(str(self.server))
        except OSError:
            writer.transport.abort()
            return
        link = _Link(reader, writer, *there)
        self._links.add(link)
        pumps = [asyncio.create_task(pump) for pump in (self._up(link), self._down(link))]
        try:
            # A side that ends ends the other, unless the connection is to stay half-open.
            await asyncio.wait(
                [*pumps, over := asyncio.create_task(link.over.wait())],
                return_when=asyncio.FIRST_COMPLETED,
            )
            if link.held and not link.over.is_set():
                await link.over.wait()
        finally:
            for pump in [*pumps, over]:
                pump.cancel()
            await asyncio.gather(*pumps, over, return_exceptions=True)
            for end in (link.writer, link.server_writer):
                end.close()
            self._links.discard(link)
            self._tasks.discard(task)

    async def _up(self, link: _Link) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            async for head, body in _messages(link.reader):
                fault = self._strike(link, head[:1] if len(head) == 5 else b"", body)
                if fault is not None and not await self._apply(fault, link, head + body):
                    return
                if fault is None:
                    await link.pass_on(head + body, link.server_writer)

    async def _down(self, link: _Link) -> None:
        with suppress(OSError):
            while data := await link.server_reader.read(_CHUNK_BYTES):
                if link.reset_on_answer:
                    link.reset()
                    return
                if not link.mute:
                    await link.pass_on(data, link.writer)

    def _strike(self, link: _Link, tag: bytes, body: bytes) -> Fault | None:
        self.messages += 1
        if tag == _QUERY and body.startswith(b"COPY"):
            link.copying, link.chunks = body, 0
        armed = self._armed
        if armed is None or armed.times == 0:
            return None
        moment = armed.moment
        if moment.number:
            armed.seen += 1
            hit = armed.seen >= moment.number
        elif moment.chunk:
            of_copy = tag == _COPY_DATA and moment.words in link.copying.partition(b"(")[0]
            link.chunks += of_copy
            hit = of_copy and link.chunks == moment.chunk
        else:
            hit = tag != _COPY_DATA and moment.words in body
            if moment.then:
                link.primed, hit = link.primed or hit, link.primed and moment.then in body
        if not hit:
            return None
        armed.times -= 1
        self.struck_at = time.monotonic()
        self._struck.set()
        return armed.fault

    async def _apply(self, fault: Fault, link: _Link, message: bytes) -> bool:
        """Do it; whether the conversation goes on."""
        if fault is Fault.RESET:
            link.reset()
        elif fault is Fault.CLOSE:
            link.over.set()
        elif fault is Fault.RESET_UNSEEN:
            link.held = True
            link.reset_client()
        elif fault in {Fault.HALF_OPEN, Fault.DEAF}:
            link.held = True
            link.mute = fault is Fault.HALF_OPEN
            await link.over.wait()
        else:
            link.reset_on_answer = fault is Fault.RESET_AFTER
            link.mute = link.held = fault is Fault.SWALLOW
            link.trickle = fault is Fault.TRICKLE
            link.slow = fault is Fault.SLOW
            await link.pass_on(message, link.server_writer)
            return True
        return False


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bytes]]:
    """Head and body of what a client says: the opening has no tag, everything after it has one."""
    opening = True
    while True:
        head = await reader.readexactly(4 if opening else 5)
        body = await reader.readexactly(struct.unpack("!I", head[-4:])[0] - 4)
        yield head, body
        if opening:
            code = struct.unpack("!I", body[:4])[0]
            opening = code in {_SSL_REQUEST, _GSS_REQUEST}
