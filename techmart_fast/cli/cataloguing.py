"""Runs the simulated catalogue server in the foreground, and tells at the end what it counted."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from techmart_fast.cli.console import command, number, show
from techmart_fast.cli.output import to_json, write_out
from techmart_fast.cli.runner import Runner
from techmart_fast.dev.catalog_server import (
    Access,
    CatalogOptions,
    CatalogServer,
    Drift,
    DriftKind,
    Faults,
    Misbehaviour,
    Pages,
    Pagination,
    RateLimit,
    RetryAfter,
    Stats,
)
from techmart_fast.errors import ExitCode


def serve_catalog(choice: Mapping[str, Any], *, quiet: bool, as_json: bool) -> int:
    """Run the server that the command's options (`choice`, by name) describe, until a signal.

    Raises:
        ConfigError: an option is out of range, or the port is taken.
    """
    options = catalog_options(choice)
    stop = asyncio.Event()
    runner: Runner[int] = Runner(on_stop=stop.set)
    return runner.run(lambda: _serve(options, stop, quiet=quiet, as_json=as_json))


def catalog_options(choice: Mapping[str, Any]) -> CatalogOptions:
    """The server's options from those of the command.

    Raises:
        ConfigError: one is out of range.
    """
    drift, misbehave = choice["drift"], choice["misbehave"]
    return CatalogOptions(
        port=choice["port"],
        products=choice["products"],
        file=choice["file"],
        seed=choice["seed"],
        pages=Pages(
            style=Pagination(choice["pagination"]),
            size=choice["page_size"],
            max_size=choice["max_page_size"],
        ),
        limit=RateLimit(rate=choice["rate"], retry_after=RetryAfter(choice["retry_after"])),
        faults=Faults(
            fail=choice["fail"],
            cut=choice["cut"],
            latency_ms=choice["latency"],
            jitter_ms=choice["jitter"],
        ),
        drift=None
        if drift is None
        else Drift(
            kind=DriftKind(drift), from_page=choice["drift_from"], field=choice["drift_field"]
        ),
        access=Access(token=choice["token"], api_key=choice["api_key"], basic=choice["basic"]),
        misbehave=None if misbehave is None else Misbehaviour(misbehave),
        redirect_to=choice["redirect_to"],
    )


async def _serve(
    options: CatalogOptions, stop: asyncio.Event, *, quiet: bool, as_json: bool
) -> int:
    async with CatalogServer(options) as server:
        if as_json:
            told = {"url": server.address, "products": server.count, "seed": options.seed}
            write_out(to_json(told))
        else:
            show(*_how_to_use(server, options))
        await stop.wait()
    if not (as_json or quiet):
        show(*_what_was(server.stats))
    return ExitCode.DONE


def _how_to_use(server: CatalogServer, options: CatalogOptions) -> Iterator[RenderableType]:
    url = server.address
    yield f"[green]●[/] Simulated catalogue of {number(server.count)} products: [bold]{url}[/]"
    yield command(f"curl -s '{url}/products?page=1&per_page=3'", indent=4)
    yield command(f"techmart-fast run --products {url}/products", indent=4)
    yield command(f"curl -s {url}/stats", indent=4)
    if not options.access.is_open:
        yield "    /products asks for the credentials that you gave"
    yield Text("It runs until Ctrl-C.", style="dim")


def _what_was(stats: Stats) -> Iterator[RenderableType]:
    answered = ", ".join(
        f"{number(count)} with {status}" for status, count in sorted(stats.answered.items())
    )
    yield f"{number(stats.requests)} requests: answered {answered or 'none'}; {stats.cut} cut"
    yield f"at most {stats.most_in_one_second} in a second, {stats.most_at_once} at once"
