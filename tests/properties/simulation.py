"""An event loop whose time, threads and turns belong to the test: the same seed, the same run.

A *process* is one run of the pipeline in this loop. Whatever it asks of the outside (PostgreSQL,
the warehouse, a thread) is one *turn*: the test says how many turns it has, and so where it stands
still and where it dies. Nothing runs in threads, and time moves only by `Loop.pass_time`.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any


class Killed(BaseException):
    """The process is no more: it gets no further turn."""


class Process:
    """One run. `turns` are how many it may still take; None: as many as it likes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.turns: int | None = 0
        self.alive = True
        self.task: asyncio.Task[object]
        self._waiting: list[asyncio.Future[None]] = []
        self._beats: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, by itself or killed."""
        return self.task.done()

    async def turn(self) -> None:
        """Wait for the next turn.

        Raises:
            Killed: there is none.
        """
        if self.alive and self.turns == 0:
            mine = asyncio.get_running_loop().create_future()
            self._waiting.append(mine)
            await mine
        if not self.alive:
            raise Killed
        if self.turns:
            self.turns -= 1

    def give(self, turns: int | None, *, newest_first: bool = False) -> None:
        """Let it go on for so many turns; those who wait longest come first, or last."""
        self.turns = turns
        waiting, self._waiting = self._waiting, []
        for one in reversed(waiting) if newest_first else waiting:
            if not one.done():
                one.set_result(None)

    async def next_beat(self) -> None:
        """Wait until a heartbeat is due."""
        due = asyncio.get_running_loop().create_future()
        self._beats.append(due)
        await due
        await self.turn()

    def beat(self) -> None:
        """A heartbeat is due."""
        beats, self._beats = self._beats, []
        for one in beats:
            if not one.done():
                one.set_result(None)

    def kill(self) -> None:
        """It is no more, from this moment on."""
        self.alive = False
        self.give(0)
        self.beat()


RUNNING: ContextVar[Process] = ContextVar("running")
"""The process that the present task belongs to."""


class _NoWaiting(selectors.SelectSelector):
    """Stops its loop where it would wait: nothing more happens by itself."""

    loop: "Loop"

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout > 0:
            self.loop.stop()
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """Runs until nothing more happens by itself; its threads are turns of the process."""

    def __init__(self) -> None:
        selector = _NoWaiting()
        selector.loop = self
        self._virtual = 1_000.0
        super().__init__(selector)
        self.set_exception_handler(lambda _loop, _context: None)  # of processes that were killed

    def time(self) -> float:
        return self._virtual

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and happen what is due then."""
        self._virtual += seconds
        self.settle()

    def settle(self) -> None:
        """Run until nothing more happens by itself."""
        self.run_forever()

    def run_in_executor(  # type: ignore[override]  # a task is a future, too
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Task[Any]":
        async def in_turn() -> Any:
            await RUNNING.get().turn()
            return func(*args)

        return self.create_task(in_turn())

    def start(self, name: str, work: Callable[[], Coroutine[Any, Any, object]]) -> Process:
        """A new process, which stands at its first turn."""
        process = Process(name)

        async def run() -> object:
            RUNNING.set(process)
            return await work()

        process.task = self.create_task(run(), name=name)
        self.settle()
        return process
