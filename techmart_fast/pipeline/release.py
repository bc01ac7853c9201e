"""Held transactions leave for the table once their user and product are there."""

from collections.abc import Callable
from contextlib import aclosing

from techmart_fast.pipeline.journal import Journal
from techmart_fast.pipeline.spooling import spooler
from techmart_fast.pipeline.stopping import Stop
from techmart_fast.postgres import Lease, PostgresSink
from techmart_fast.warehouse import LoadTable, SpoolFolder


async def release_held(
    postgres: PostgresSink,
    lease: Lease,
    *,
    folder: SpoolFolder,
    journal: Journal,
    committed: Callable[[], None],
    stop: Stop,
) -> None:
    """Release what can be; `committed` is called behind each batch of them.

    Asked to stop, it leaves the rest to the next run.
    """
    spool = spooler(LoadTable.TRANSACTIONS, folder, batch_id=lease.run_id, meter=journal.meter)
    async with aclosing(postgres.release_held(lease, spool)) as releases:
        async for release in releases:
            journal.released += release.released
            committed()
            if stop.cuts_short():
                return
