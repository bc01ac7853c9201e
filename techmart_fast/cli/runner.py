"""Runs a coroutine with an event loop of its own, and turns signals into an orderly end."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from techmart_fast.errors import ExitCode

T = TypeVar("T")

_SHOW_CURSOR = "\x1b[?25h"
_EXIT_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


class StoppedBySignalError(Exception):
    """The work was cancelled by a signal and left no result."""

    def __init__(self, exit_code: ExitCode) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class Runner(Generic[T]):
    """One coroutine, run to its end or to its answer to a signal.

    `on_stop` asks it to end cleanly at the first signal; without it the first signal cancels it.
    The next signal cancels, the one after that ends the process at once. `stopped_by` is the exit
    code of the first signal, None when there was none.
    """

    def __init__(self, *, on_stop: Callable[[], None] | None = None) -> None:
        self._on_stop = on_stop
        self._cancelled = False
        self.stopped_by: ExitCode | None = None

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `work()` and return what it returns, be it after a signal.

        Raises:
            StoppedBySignalError: a signal cancelled the work before it could return anything.
        """
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            try:
                return runner.run(self._guarded(work))
            except asyncio.CancelledError:
                if self.stopped_by is None:
                    raise
                raise StoppedBySignalError(self.stopped_by) from None

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is None or threading.current_thread() is not threading.main_thread():
            return await work()
        for number in _EXIT_CODES:
            loop.add_signal_handler(number, self._on_signal, number, task)
        try:
            return await work()
        finally:
            for number in _EXIT_CODES:
                loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals, task: "asyncio.Task[T]") -> None:
        first = self.stopped_by is None
        if first:
            self.stopped_by = _EXIT_CODES[number]
        if first and self._on_stop is not None:
            self._on_stop()
        elif not self._cancelled:
            self._cancelled = True
            task.cancel()
        else:
            _end_at_once(number)


def _end_at_once(number: signal.Signals) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(_SHOW_CURSOR)
        sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def run_async(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `work()` where a signal simply ends the command.

    Raises:
        StoppedBySignalError: a signal cancelled the work.
    """
    runner: Runner[T] = Runner()
    result = runner.run(work)
    if runner.stopped_by is not None:
        raise StoppedBySignalError(runner.stopped_by)
    return result


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop
