"""Finds the files and APIs of a run; in a thread, which a stop ends even while stdin is silent.

What can be wrong with a file's beginning is told first. All of it is read for its fingerprint, a
second for some 250 MB, while something else is done.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from techmart_fast.contract import Contract
from techmart_fast.contract.endpoint import Endpoint
from techmart_fast.records import Feed, SourceFile
from techmart_fast.sources import (
    STANDARD_INPUT,
    copied_standard_input,
    endpoint_of,
    fingerprinted,
    is_address,
    look,
    remove_abandoned_copies,
)
from techmart_fast.together import to_its_end


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a run loads: files, and endpoints of APIs that are still to be fetched."""

    files: Mapping[Feed, Sequence[SourceFile]]
    endpoints: Mapping[Feed, Endpoint]


class Finding:
    """Files that were looked at, and are still being read."""

    def __init__(self, reading: "asyncio.Future[Found]") -> None:
        self._reading = reading

    async def whole(self) -> Found:
        """What was found, once all files were read.

        Raises:
            SourceError: a file can't be read to its end, or changed meanwhile.
        """
        return await asyncio.shield(self._reading)


class _AbandonedError(Exception):
    """The run was stopped while its files were looked for."""


@asynccontextmanager
async def found(
    sources: Mapping[Feed, Sequence[str]], *, contract: Contract, spool: Path
) -> AsyncIterator[Finding]:
    """What every feed comes from; a copy of standard input lasts as long as the context.

    An address among the specs asks for the API at it, as the contract describes the feed's. The API
    that a contract describes is asked, too, where the feed has no specs.

    Raises:
        ConfigError: an address can't be used.
        SourceError, DecodeError, SpoolError: see `look` and `copied_standard_input`.
    """
    abandoned = Event()

    def heartbeat() -> None:
        if abandoned.is_set():
            raise _AbandonedError

    files = {feed: [one for one in specs if not is_address(one)] for feed, specs in sources.items()}

    def look_at_files() -> Mapping[Feed, Sequence[SourceFile]]:
        remove_abandoned_copies(spool)
        copy = None
        if any(STANDARD_INPUT in specs for specs in files.values()):
            copy = kept.enter_context(copied_standard_input(spool, heartbeat=heartbeat))
        return {
            feed: look(feed, specs, contract=contract, standard_input=copy)
            for feed, specs in files.items()
            if specs
        }

    def read(seen: Mapping[Feed, Sequence[SourceFile]]) -> Found:
        whole = {
            feed: [fingerprinted(file, heartbeat=heartbeat) for file in of_feed]
            for feed, of_feed in seen.items()
        }
        return Found(files=whole, endpoints=endpoints)

    endpoints = dict(_endpoints(sources, contract))
    with ExitStack() as kept:
        looking = asyncio.ensure_future(asyncio.to_thread(look_at_files))
        seen = await to_its_end(looking, on_cancel=abandoned.set)
        reading = asyncio.ensure_future(asyncio.to_thread(read, seen))
        # Its failure is told to whoever asks for it; perhaps nobody does any more.
        reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            yield Finding(reading)
        finally:
            abandoned.set()
            await asyncio.wait([reading])


def _endpoints(
    sources: Mapping[Feed, Sequence[str]], contract: Contract
) -> Iterator[tuple[Feed, Endpoint]]:
    for feed in Feed:
        specs = sources.get(feed, ())
        described = contract.rules(feed).api
        if addresses := [spec for spec in specs if is_address(spec)]:
            yield feed, endpoint_of(feed, addresses, contract)
        elif not specs and described is not None:
            yield feed, described
