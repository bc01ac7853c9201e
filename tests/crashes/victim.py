"""Runs that die at a step: a process that has everything imported, and forks one run an order.

    python -m tests.crashes.victim

An order is a line on standard input, a result a line on standard output (see `victims.py`). The
fork saves the second that a new interpreter takes to import the loader; the run itself is that of
`techmart_fast.api.run`, in a process of its own that has nothing open yet.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import uvloop

import techmart_fast.warehouse.client  # noqa: F401 - imported before the forks
from techmart_fast.api import DataSources, replay, run
from techmart_fast.contract import Contract
from techmart_fast.errors import TechmartError
from techmart_fast.pipeline.corrections import Correction
from techmart_fast.settings import (
    BigQuerySettings,
    PipelineSettings,
    PostgresSettings,
    Settings,
)
from tests.crashes.steps import BY_NAME, STEPS, arm, record

SECTIONS = {
    "pipeline": PipelineSettings,
    "postgres": PostgresSettings,
    "bigquery": BigQuerySettings,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One run. At its call number `call` of `step` it sends itself the signal `act`.

    Without a step it says which steps it met. With `corrected`, the texts of rejected records by
    their number, it is a replay of these.
    """

    settings: Settings
    sources: DataSources
    contract: Contract
    step: str | None = None
    call: int = 1
    act: int = signal.SIGKILL
    corrected: Mapping[str, str] | None = None

    def packed(self) -> bytes:
        """The order as a line."""
        sections = {name: getattr(self.settings, name).model_dump(mode="json") for name in SECTIONS}
        password = self.settings.postgres.password
        sections["postgres"]["password"] = password.get_secret_value() if password else None
        values = {one.name: getattr(self, one.name) for one in fields(self)} | {
            "settings": sections,
            "sources": asdict(self.sources),
            "contract": self.contract.model_dump(mode="json"),
        }
        return json.dumps(values).encode() + b"\n"

    @classmethod
    def unpacked(cls, line: bytes) -> "Order":
        """The order that a line holds."""
        values = json.loads(line)
        sources = {feed: tuple(specs) for feed, specs in values["sources"].items()}
        made = {
            "settings": Settings(
                **{name: _section(name, given) for name, given in values["settings"].items()}
            ),
            "sources": DataSources(**sources),
            "contract": Contract.model_validate(values["contract"]),
        }
        return cls(**values | made)


def _section(name: str, given: dict[str, Any]) -> Any:
    """A section of the settings; tests have smaller blocks than users may have."""
    small = {size: given.pop(size) for size in ("block_bytes", "channel_bytes") if size in given}
    return SECTIONS[name](**given).model_copy(update=small)


async def _run(order: Order) -> dict[str, Any]:
    met: set[str] = set()
    if order.step is None:
        met = record(STEPS)
    else:

        def act() -> None:
            os.kill(os.getpid(), order.act)

        arm(BY_NAME[order.step], act, call=order.call)
    try:
        if order.corrected is None:
            result = await run(order.sources, settings=order.settings, contract=order.contract)
        else:
            told = {
                int(number): Correction(raw=text.encode())
                for number, text in order.corrected.items()
            }
            done = await replay(settings=order.settings, contract=order.contract, corrections=told)
            result = done.run
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
            except Exception:
                traceback.print_exc()
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
