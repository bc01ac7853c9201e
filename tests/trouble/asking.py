"""Asks a stand-in for faults, and says what a shop without them looks like."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from techmart_fast.local import LocalHome, status
from techmart_fast.settings import Settings
from tests.shops import Shop, State
from tests.warehouse.fakes import FakeClock

Fault = dict[str, object]
MakeShop = Callable[..., Shop]

UPLOAD: Fault = {"method": "POST", "path": "^/upload/"}
QUERY: Fault = {"method": "POST", "path": "/jobs$"}
LOAD_JOB: Fault = {"job": "^techmart_load_transactions_"}
MERGE_JOB: Fault = {"job": "^techmart_merge_transactions_"}


@dataclass(frozen=True)
class Ask:
    """Asks the stand-in for faults, in place of those before."""

    home: LocalHome

    def __call__(self, *faults: Fault) -> None:
        answer = requests.post(self._address, json=faults, timeout=10)
        assert answer.status_code == 200

    def left(self) -> list[int]:
        """How many strikes each fault has left: one that never struck tests nothing."""
        answer = requests.get(self._address, timeout=10).json()["left"]
        assert isinstance(answer, list)
        return answer

    @property
    def _address(self) -> str:
        standin = status(self.home).standin
        assert standin is not None
        return f"{standin.url}/standin/faults"


async def as_without_trouble(
    shop: Shop, make_shop: MakeShop, generated: Path, untroubled: dict[str, State]
) -> None:
    if not untroubled:
        quiet = make_shop()
        await quiet.load(generated)
        untroubled["state"] = await quiet.state()
    assert await shop.state() == untroubled["state"]


def impatient(shop: Shop) -> Shop:
    """The same shop, where a request has three seconds, and a job ten minutes."""
    settings = shop.settings
    short = {"job_timeout_seconds": 600.0, "request_timeout_seconds": 3.0}
    quick = settings.bigquery.model_copy(update=short)
    return Shop(
        settings=Settings(pipeline=settings.pipeline, postgres=settings.postgres, bigquery=quick)
    )


class QuickClock(FakeClock):
    """Passes as the waits say, while the stand-in, which is real, gets a moment for each."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await asyncio.sleep(0.005)
