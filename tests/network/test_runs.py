"""Whole runs through a network in trouble: they get over it, or end in time and are completed."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from techmart_fast.errors import ExitCode, LeaseHeldError, SinkError
from techmart_fast.results import RunResult, RunStatus
from tests.network.proxy import (
    COMMIT,
    HEARTBEAT,
    LEASE,
    SILENCES,
    Fault,
    Moment,
    Proxy,
    copying,
)
from tests.network.watching import GRACE_SECONDS, cases, no_task_left, watching_the_machine
from tests.shops import Shop, State, sources_in, with_postgres
from tests.trouble.asking import MakeShop, as_without_trouble

_DEADLINE_SECONDS = 3.0
_TELLING_SECONDS = 15.0
"""For the end of a run to be written down in both sinks, on a machine with other work."""

RUN_MOMENTS: dict[str, Moment] = {
    "lease": LEASE,
    "rows": copying(b"transactions"),
    "commit": COMMIT,
    "outbox": Moment(words=b"UPDATE techmart_loader.outbox"),
    "group": Moment(words=b"UPDATE techmart_loader.outbox", then=b"COMMIT\0"),
    "attempt": Moment(words=b"SET attempt", then=b"COMMIT\0"),
    "files": Moment(words=b"INSERT INTO techmart_loader.files", then=b"COMMIT\0"),
    "published": Moment(words=b"UPDATE techmart_loader.load_groups SET published_at"),
    "finish": Moment(words=b"SET status"),
    "heartbeat": HEARTBEAT,
}
FAULTS = (Fault.RESET, Fault.RESET_AFTER, Fault.RESET_UNSEEN, Fault.HALF_OPEN, Fault.SWALLOW)


def behind(shop: Shop, proxy: Proxy, *, retry_seconds: float, deadline: float) -> Shop:
    """The same shop, reached through the proxy."""
    changes: dict[str, object] = {
        "host": "127.0.0.1",
        "port": proxy.port,
        "connect_timeout_seconds": deadline,
        "command_timeout_seconds": deadline,
        "retry_seconds": retry_seconds,
    }
    return Shop(settings=with_postgres(shop.settings, **changes))


async def tried(shop: Shop, folder: Path) -> RunResult | SinkError:
    """The result of a run, or why it could not begin."""
    try:
        return await shop.run(sources_in(folder))
    except SinkError as error:
        return error


async def nothing_is_left(shop: Shop) -> None:
    """No connection of the loader on the server, no entry that waits, no lease that is held."""
    connected = (
        "SELECT FROM pg_stat_activity WHERE application_name LIKE 'techmart_fast%' "
        "AND datname = current_database()"
    )
    async with asyncio.timeout(20):
        while await shop.rows(connected):
            pass
    left = await shop.rows(
        "SELECT 1 FROM techmart_loader.outbox WHERE published_at IS NULL UNION ALL "
        "SELECT 1 FROM techmart_loader.lease WHERE run_id IS NOT NULL"
    )
    assert left == []


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A shop whose connections break, and the state that it has to come to."""

    shop: Shop
    proxy: Proxy
    folder: Path
    make_shop: MakeShop
    untroubled: dict[str, State]

    async def gone_over(self, moment: Moment, fault: Fault) -> None:
        """A run that meets the fault, and completes all the same."""
        patient = behind(self.shop, self.proxy, retry_seconds=60, deadline=_DEADLINE_SECONDS)
        async with no_task_left(), asyncio.timeout(120):
            with self.proxy.armed(moment, fault):
                result = await patient.load(self.folder)
        assert all(counts.adds_up for counts in result.feeds.values())

    async def ended_in_time(self, moment: Moment, fault: Fault) -> None:
        """A run that tells its first failure, soon after the fault."""
        impatient = behind(self.shop, self.proxy, retry_seconds=0, deadline=_DEADLINE_SECONDS)
        async with no_task_left(), asyncio.timeout(120):
            with watching_the_machine() as lateness, self.proxy.armed(moment, fault):
                result = await tried(impatient, self.folder)
            assert self.proxy.struck_at is not None
            took = time.monotonic() - self.proxy.struck_at - lateness.since(self.proxy.struck_at)
        if isinstance(result, SinkError):
            assert result.transient
            return
        if result.status is RunStatus.FAILED:
            assert result.exit_code in {ExitCode.FAILED, ExitCode.SINKS_DIFFER}
            assert took < _DEADLINE_SECONDS + GRACE_SECONDS + _TELLING_SECONDS
        assert all(counts.adds_up for counts in result.feeds.values())

    async def loaded_when_silent(self) -> None:
        """The next run, as soon as the server knows, or can tell, that the broken one is gone."""
        deadline = time.monotonic() + 60
        while True:
            try:
                await self.shop.load(self.folder)
            except LeaseHeldError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.2)
            else:
                return

    async def comes_to_the_same(self) -> None:
        """Both sinks hold what they would without trouble."""
        await as_without_trouble(self.shop, self.make_shop, self.folder, self.untroubled)


@pytest.fixture
def broken(
    proxy: Proxy, make_shop: MakeShop, generated: Path, untroubled: dict[str, State]
) -> Broken:
    """An empty shop of several batches a feed, whose heart beats fast."""
    return Broken(
        shop=make_shop(block_bytes=1 << 16, lease_seconds=1.0),
        proxy=proxy,
        folder=generated,
        make_shop=make_shop,
        untroubled=untroubled,
    )


@pytest.mark.parametrize(
    ("name", "fault"), cases(RUN_MOMENTS, FAULTS, often={("rows", Fault.HALF_OPEN)})
)
async def test_a_patient_run_gets_over(name: str, fault: Fault, broken: Broken) -> None:
    await broken.gone_over(RUN_MOMENTS[name], fault)
    await broken.comes_to_the_same()
    if fault not in SILENCES:
        await nothing_is_left(broken.shop)


@pytest.mark.parametrize(
    ("name", "fault"), cases(RUN_MOMENTS, FAULTS, often={("rows", Fault.SWALLOW)})
)
async def test_an_impatient_run_ends_in_time_and_the_next_one_completes_it(
    name: str, fault: Fault, broken: Broken
) -> None:
    await broken.ended_in_time(RUN_MOMENTS[name], fault)
    await broken.loaded_when_silent()
    await broken.comes_to_the_same()


@pytest.mark.torture
@pytest.mark.parametrize("patient", [True, False], ids=["patient", "impatient"])
@pytest.mark.parametrize("fault", [Fault.RESET, Fault.RESET_AFTER, Fault.SWALLOW])
@pytest.mark.parametrize("number", range(61, 900, 60))
async def test_a_run_is_broken_at_one_message_after_the_other(
    number: int, fault: Fault, patient: bool, broken: Broken
) -> None:
    if patient:
        await broken.gone_over(Moment(number=number), fault)
    else:
        await broken.ended_in_time(Moment(number=number), fault)
    await broken.loaded_when_silent()
    await broken.comes_to_the_same()
