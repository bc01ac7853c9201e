"""Signals: the first asks for a clean end, the next cancels, one more ends the process."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest
from cli_support import CHECKOUT

from techmart_fast.cli.runner import Runner, StoppedBySignalError, run_async
from techmart_fast.errors import ExitCode

SIGNALS = [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]


async def _send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    await asyncio.sleep(0)


def test_work_without_signals_returns_its_value() -> None:
    async def work() -> int:
        return 7

    assert run_async(work) == 7


def test_an_error_of_the_work_comes_through() -> None:
    async def work() -> int:
        raise ValueError("from within")

    with pytest.raises(ValueError, match="from within"):
        run_async(work)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_cancels_work_that_knows_no_stop(number: signal.Signals, code: ExitCode) -> None:
    seen = []

    async def work() -> None:
        try:
            await _send(number)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(StoppedBySignalError) as stopped:
        run_async(work)
    assert stopped.value.exit_code is code
    assert seen == ["cancelled"]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_the_first_signal_asks_and_the_work_may_answer(
    number: signal.Signals, code: ExitCode
) -> None:
    stop = asyncio.Event()

    async def work() -> str:
        await _send(number)
        await stop.wait()
        return "what is committed"

    runner: Runner[str] = Runner(on_stop=stop.set)
    assert runner.run(work) == "what is committed"
    assert runner.stopped_by is code


def test_the_second_signal_cancels_work_that_does_not_answer() -> None:
    asked = asyncio.Event()

    async def work() -> None:
        await _send(signal.SIGTERM)
        await asked.wait()
        await _send(signal.SIGINT)
        await asyncio.Event().wait()

    runner: Runner[None] = Runner(on_stop=asked.set)
    with pytest.raises(StoppedBySignalError) as stopped:
        runner.run(work)
    assert stopped.value.exit_code is ExitCode.TERMINATED


def test_the_signal_after_that_ends_the_process_at_once() -> None:
    code = """if True:
        import asyncio, os, signal
        from techmart_fast.cli.runner import run_async

        async def work():
            while True:
                os.kill(os.getpid(), signal.SIGTERM)
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    pass

        run_async(work)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, timeout=60, cwd=CHECKOUT, capture_output=True
    )
    assert done.returncode == -signal.SIGTERM


def test_signals_mean_what_they_meant_before_once_the_work_is_done() -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    run_async(work)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_cancellation_that_no_signal_caused_is_not_called_one() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run_async(work)
