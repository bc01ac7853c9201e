"""Watches how much memory the loader and the embedded parts hold, and keeps the peaks."""

import asyncio
import resource
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from techmart_fast.local import LocalEndpoints, peak_bytes, tree_bytes
from techmart_fast.results import MemoryPeaks

_SAMPLE_SECONDS = 1.0
_LEAST_PAUSE = 50
"""Times as long as a sample took: the kernel walks every page of a server's shared memory for it,
which must not take more than a fiftieth of a core."""

_KIB = 1024


class MemoryWatch:
    """Samples the embedded parts while its body runs. An async context manager.

    The loader's and the stand-in's peaks are the kernel's own; a server is many processes that
    share memory, so its peak is the largest sample.
    """

    def __init__(self, local: LocalEndpoints) -> None:
        self._server = local.postgres.pid if local.postgres else None
        self._stand_in = local.standin.pid if local.standin else None
        self._server_peak = 0
        self._sampler: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._server is not None:
            self._sampler = asyncio.get_running_loop().create_task(
                self._sample(self._server), name="watch memory"
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._sampler is not None:
            self._sampler.cancel()
            with suppress(asyncio.CancelledError):
                await self._sampler

    def peaks(self) -> MemoryPeaks:
        """The peaks so far, in bytes."""
        return MemoryPeaks(
            loader=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB,
            database=self._server_peak or None,
            stand_in=None if self._stand_in is None else peak_bytes(self._stand_in) or None,
        )

    async def _sample(self, server: int) -> None:
        while True:
            held, seconds = await asyncio.to_thread(_timed_tree_bytes, server)
            self._server_peak = max(self._server_peak, held)
            await asyncio.sleep(max(_SAMPLE_SECONDS, _LEAST_PAUSE * seconds))


def _timed_tree_bytes(server: int) -> tuple[int, float]:
    """What a server holds, in bytes, and the seconds of processor that it took to find out."""
    began = time.thread_time()
    held = tree_bytes(server)
    return held, time.thread_time() - began
