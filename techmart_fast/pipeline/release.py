"""Held transactions leave for the table once their user and product are there."""

from collections.abc import Callable
from pathlib import Path

from techmart_fast.pipeline.journal import Journal
from techmart_fast.pipeline.load import spooler
from techmart_fast.postgres import Lease, PostgresSink
from techmart_fast.warehouse import LoadTable


async def release_held(
    postgres: PostgresSink,
    lease: Lease,
    *,
    folder: Path,
    journal: Journal,
    committed: Callable[[], None],
) -> None:
    """Release what can be; `committed` is called behind each batch of them."""
    spool = spooler(LoadTable.TRANSACTIONS, folder, batch_id=lease.run_id, meter=journal.meter)
    async for release in postgres.release_held(lease, spool):
        journal.released += release.released
        committed()
