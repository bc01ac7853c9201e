"""Whole runs through a network in trouble: they get over it, or end in time and are completed."""

import asyncio
import time
from pathlib import Path

import pytest

from techmart_fast.errors import ExitCode, SinkError
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
from tests.network.watching import no_task_left
from tests.shops import Shop, State, sources_in, with_postgres
from tests.trouble.asking import MakeShop, as_without_trouble

_TELLING_SECONDS = 15.0
"""For the end of a run to be written down in both sinks, on a machine with other work."""

RUN_MOMENTS: dict[str, Moment] = {
    "lease": LEASE,
    "rows": copying(b"transactions"),
    "commit": COMMIT,
    "outbox": Moment(words=b"UPDATE techmart_loader.outbox"),
    "attempt": Moment(words=b"SET attempt"),
    "published": Moment(words=b"UPDATE techmart_loader.load_groups SET published_at"),
    "finish": Moment(words=b"SET status"),
    "heartbeat": HEARTBEAT,
}
FAULTS = (Fault.RESET, Fault.RESET_AFTER, Fault.RESET_UNSEEN, Fault.HALF_OPEN, Fault.SWALLOW)
OFTEN = {("rows", Fault.HALF_OPEN), ("commit", Fault.RESET_AFTER), ("outbox", Fault.RESET_AFTER)}
CASES = [
    pytest.param(
        name,
        fault,
        id=f"{name}, {fault.name.lower()}",
        marks=[] if (name, fault) in OFTEN else [pytest.mark.torture],
    )
    for name in RUN_MOMENTS
    for fault in FAULTS
]


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


def made(make_shop: MakeShop) -> Shop:
    """A shop of several batches, whose heartbeat is quick."""
    return make_shop(block_bytes=1 << 16, lease_seconds=1.0)


async def tried(shop: Shop, folder: Path) -> RunResult | SinkError:
    """The result of a run, or why it could not begin."""
    try:
        return await shop.run(sources_in(folder))
    except SinkError as error:
        return error


async def gone_over(shop: Shop, proxy: Proxy, moment: Moment, fault: Fault, folder: Path) -> None:
    """A run that meets the fault, and completes all the same."""
    patient = behind(shop, proxy, retry_seconds=60, deadline=2.0)
    async with no_task_left(), asyncio.timeout(120):
        with proxy.armed(moment, fault):
            result = await patient.load(folder)
    assert all(counts.adds_up for counts in result.feeds.values())


async def ended_in_time(
    shop: Shop, proxy: Proxy, moment: Moment, fault: Fault, folder: Path
) -> None:
    """A run that tells its first failure, soon after the fault."""
    impatient = behind(shop, proxy, retry_seconds=0, deadline=2.0)
    async with no_task_left(), asyncio.timeout(120):
        with proxy.armed(moment, fault):
            result = await tried(impatient, folder)
        assert proxy.struck_at is not None
        took = time.monotonic() - proxy.struck_at
    if isinstance(result, SinkError):
        assert result.transient
    elif result.status is RunStatus.FAILED:
        assert result.exit_code in {ExitCode.FAILED, ExitCode.SINKS_DIFFER}
        assert took < 2.0 + 1.0 + _TELLING_SECONDS
    for counts in () if isinstance(result, SinkError) else result.feeds.values():
        assert counts.adds_up


async def nothing_is_left(shop: Shop) -> None:
    """No connection of the loader on the server, no entry that waits, no lease that is held."""
    async with asyncio.timeout(20):
        while await shop.rows(
            "SELECT FROM pg_stat_activity WHERE application_name LIKE 'techmart_fast%' "
            "AND datname = current_database()"
        ):
            await asyncio.sleep(0.05)
    left = await shop.rows(
        "SELECT 1 FROM techmart_loader.outbox WHERE published_at IS NULL UNION ALL "
        "SELECT 1 FROM techmart_loader.lease WHERE run_id IS NOT NULL"
    )
    assert left == []


@pytest.mark.parametrize(("name", "fault"), CASES)
async def test_a_patient_run_gets_over(
    name: str,
    fault: Fault,
    proxy: Proxy,
    make_shop: MakeShop,
    generated: Path,
    untroubled: dict[str, State],
) -> None:
    shop = made(make_shop)
    await gone_over(shop, proxy, RUN_MOMENTS[name], fault, generated)
    await as_without_trouble(shop, make_shop, generated, untroubled)
    if fault not in SILENCES:
        await nothing_is_left(shop)


@pytest.mark.parametrize(("name", "fault"), CASES)
async def test_an_impatient_run_ends_in_time_and_the_next_one_completes_it(
    name: str,
    fault: Fault,
    proxy: Proxy,
    make_shop: MakeShop,
    generated: Path,
    untroubled: dict[str, State],
) -> None:
    shop = made(make_shop)
    await ended_in_time(shop, proxy, RUN_MOMENTS[name], fault, generated)
    await shop.load(generated)
    await as_without_trouble(shop, make_shop, generated, untroubled)


@pytest.mark.torture
@pytest.mark.parametrize("patient", [True, False], ids=["patient", "impatient"])
@pytest.mark.parametrize("fault", [Fault.RESET, Fault.RESET_AFTER, Fault.SWALLOW])
@pytest.mark.parametrize("number", range(1, 900, 60))
async def test_a_run_is_broken_at_one_message_after_the_other(
    number: int,
    fault: Fault,
    patient: bool,
    proxy: Proxy,
    make_shop: MakeShop,
    generated: Path,
    untroubled: dict[str, State],
) -> None:
    shop = made(make_shop)
    moment = Moment(number=number)
    try:
        if patient:
            await gone_over(shop, proxy, moment, fault, generated)
        else:
            await ended_in_time(shop, proxy, moment, fault, generated)
    except SinkError as error:
        # What a command meets when it opens its sinks is told at once.
        assert error.transient
        assert number < 60
    await shop.load(generated)
    await as_without_trouble(shop, make_shop, generated, untroubled)
