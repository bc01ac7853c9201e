"""Runs that die at a step: a process that has everything imported, and forks one run an order.

    python -m tests.crashes.victim

An order is a line on standard input, a result a line on standard output (see `victims.py`). The
fork saves the second that a new interpreter takes to import the loader; the run itself is that of
`techmart_fast.api.run`, in a process of its own that has nothing open yet.
"""

import asyncio
import base64
import json
import os
import pickle
import signal
import sys
from dataclasses import dataclass, fields
from typing import Any

import uvloop

import techmart_fast.warehouse.client  # noqa: F401 - imported before the forks
from techmart_fast.api import DataSources, run
from techmart_fast.contract import Contract
from techmart_fast.errors import TechmartError
from techmart_fast.settings import Settings
from tests.crashes.steps import BY_NAME, STEPS, arm, record


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One run. At its call number `call` of `step` it sends itself the signal `act`.

    Without a step it says which steps it met.
    """

    settings: Settings
    sources: DataSources
    contract: Contract
    step: str | None = None
    call: int = 1
    act: int = signal.SIGKILL

    def packed(self) -> bytes:
        """The order as a line. Settings don't pickle, their sections do."""
        sections = {
            name: getattr(self.settings, name) for name in ("pipeline", "postgres", "bigquery")
        }
        values = {one.name: getattr(self, one.name) for one in fields(self)} | {
            "settings": sections
        }
        return base64.b64encode(pickle.dumps(values)) + b"\n"

    @classmethod
    def unpacked(cls, line: bytes) -> "Order":
        """The order that a line of our own test holds."""
        values = pickle.loads(base64.b64decode(line))  # noqa: S301 - our own
        return cls(**values | {"settings": Settings(**values["settings"])})


async def _run(order: Order) -> dict[str, Any]:
    met: set[str] = set()
    if order.step is None:
        met = record(STEPS)
    else:

        def act() -> None:
            os.kill(os.getpid(), order.act)

        arm(BY_NAME[order.step], act, call=order.call)
    try:
        result = await run(order.sources, settings=order.settings, contract=order.contract)
    except TechmartError as error:
        return {
            "exit_code": int(error.exit_code),
            "error": f"{type(error).__name__}: {error}",
            "run_id": None,
        }
    return {
        "exit_code": int(result.exit_code),
        "error": result.error,
        "run_id": str(result.run_id),
        "met": sorted(met),
    }


def _child(order: Order, answer: int) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        said = runner.run(_run(order))
    os.write(answer, json.dumps(said).encode())


def _serve() -> None:
    for line in sys.stdin.buffer:
        order = Order.unpacked(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            failed = 1
            try:
                _child(order, writing)
                failed = 0
            finally:
                sys.stderr.flush()
                os._exit(failed)
        os.close(writing)
        _say({"pid": pid})
        with os.fdopen(reading, "rb") as answer:
            said = answer.read()
        _, status = os.waitpid(pid, 0)
        _say({"ended": os.waitstatus_to_exitcode(status), **(json.loads(said) if said else {})})


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve()
