"""What the handlers of one server share."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from techmart_fast.dev.catalog_server.faults import Fate, fate_of
from techmart_fast.dev.catalog_server.options import CatalogOptions
from techmart_fast.dev.catalog_server.products import Products, request_dice
from techmart_fast.dev.catalog_server.ratelimit import Clock, RollingLimit
from techmart_fast.dev.catalog_server.stats import Tally
from techmart_fast.dev.catalog_server.stored import stored_products

Now = Callable[[], datetime]
"""The time of day, with an offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Where the server takes the time from: `ticks` for the rolling second, `now` for dates."""

    ticks: Clock = time.monotonic_ns
    now: Now = lambda: datetime.now(UTC)


class State:
    """The products as they are now, the limit, the counts, and whether the server is closing."""

    def __init__(self, options: CatalogOptions, clocks: Clocks) -> None:
        self.options = options
        self.now = clocks.now
        self.tally = Tally(clocks.ticks)
        stored = None if options.file is None else stored_products(options.file)
        self.products = Products(count=options.products, seed=options.seed, stored=stored)
        self.closing = asyncio.Event()
        rate = options.limit.rate
        self.limit = RollingLimit(rate, clocks.ticks) if rate else None
        self._ordinal = 0

    def next_fate(self) -> Fate:
        """The fate of the next request that is let in."""
        self._ordinal += 1
        dice = request_dice(self.options.seed, self._ordinal)
        return fate_of(dice, self.options.faults)

    async def pause(self, seconds: float | None) -> None:
        """Wait some seconds (None: for ever), but not longer than the server works."""
        try:
            async with asyncio.timeout(seconds):
                await self.closing.wait()
        except TimeoutError:
            return


STATE: web.AppKey[State] = web.AppKey("state", State)
