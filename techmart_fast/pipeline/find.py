"""Finds the files of a run in a thread, which a stop ends even while standard input is silent."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from threading import Event

from techmart_fast.contract import Contract
from techmart_fast.records import Feed, SourceFile
from techmart_fast.sources import (
    STANDARD_INPUT,
    copied_standard_input,
    discover,
    remove_abandoned_copies,
)
from techmart_fast.together import to_its_end

FoundFiles = Mapping[Feed, Sequence[SourceFile]]


class _AbandonedError(Exception):
    """The run was stopped while its files were looked for."""


@asynccontextmanager
async def found(
    sources: Mapping[Feed, Sequence[str]], *, contract: Contract, spool: Path
) -> AsyncIterator[FoundFiles]:
    """The files of every feed that has any; a copy of standard input lasts as long as the context.

    Raises:
        SourceError, DecodeError, SpoolError: see `discover` and `copied_standard_input`.
    """
    abandoned = Event()

    def heartbeat() -> None:
        if abandoned.is_set():
            raise _AbandonedError

    def find() -> FoundFiles:
        remove_abandoned_copies(spool)
        copy = None
        if any(STANDARD_INPUT in specs for specs in sources.values()):
            copy = kept.enter_context(copied_standard_input(spool, heartbeat=heartbeat))
        return {
            feed: discover(feed, specs, contract=contract, standard_input=copy, heartbeat=heartbeat)
            for feed, specs in sources.items()
            if specs
        }

    with ExitStack() as kept:
        finding = asyncio.ensure_future(asyncio.to_thread(find))
        yield await to_its_end(finding, on_cancel=abandoned.set)
