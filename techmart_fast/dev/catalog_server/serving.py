"""Runs the catalogue server on the loopback address, for as long as a block of code lasts."""

from types import TracebackType
from typing import Self

from aiohttp import web

from techmart_fast.dev.catalog_server.app import build_app
from techmart_fast.dev.catalog_server.options import CatalogOptions
from techmart_fast.dev.catalog_server.state import Clocks, State
from techmart_fast.dev.catalog_server.stats import Stats
from techmart_fast.errors import ConfigError

HOST = "127.0.0.1"
_GOODBYE_SECONDS = 1.0


class CatalogServer:
    """A simulated catalogue of products: `async with CatalogServer(options) as server:`.

    It takes requests within the block, at `server.address`. At its end it takes no more; requests
    that wait are let go, and no task or socket is left. It is of use once.

    Raises (on entry):
        ConfigError: the port is taken or not allowed.
    """

    def __init__(
        self, options: CatalogOptions | None = None, *, clocks: Clocks | None = None
    ) -> None:
        self.options = options or CatalogOptions()
        self._state = State(self.options, clocks or Clocks())
        self._runner: web.AppRunner | None = None
        self._port = self.options.port

    def __repr__(self) -> str:
        state = "at " + self.address if self._runner is not None else "stopped"
        return f"<CatalogServer {state}, {self.count} products>"

    async def __aenter__(self) -> Self:
        runner = web.AppRunner(
            build_app(self._state),
            access_log=None,
            handle_signals=False,
            # A client that went away needs no answer, and must not be waited for.
            handler_cancellation=True,
            shutdown_timeout=_GOODBYE_SECONDS,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self.options.port).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(
                f"Can't listen on {HOST}:{self.options.port}: {error.strerror}.",
                hint="Choose another port, or 0 for a free one.",
            ) from None
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = int(runner.addresses[0][1])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        runner, self._runner = self._runner, None
        self._state.closing.set()
        if runner is not None:
            await runner.cleanup()

    @property
    def address(self) -> str:
        """Where it is, like `http://127.0.0.1:9051`; products are at `/products` below it."""
        return f"http://{HOST}:{self._port}"

    @property
    def count(self) -> int:
        """How many products it has."""
        return self._state.products.count

    @property
    def stats(self) -> Stats:
        """What was counted until now."""
        return self._state.tally.stats()

    def revise(self, products: int) -> None:
        """Change so many products, an hour after the newest change before, like `POST /revise`."""
        self._state.products = self._state.products.revised(products)
