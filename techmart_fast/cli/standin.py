"""Runs the stand-in for BigQuery in the foreground, for a user's own tools."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

from rich.console import RenderableType
from rich.text import Text

from techmart_fast import local
from techmart_fast.cli.console import plain, show
from techmart_fast.cli.output import to_json, write_out
from techmart_fast.cli.runner import Runner
from techmart_fast.errors import ConfigError, ExitCode
from techmart_fast.local import LocalHome, LocalOptions
from techmart_fast.settings import Settings
from techmart_fast.warehouse.target import STAND_IN_PROJECT


def serve_stand_in(settings: Settings, *, port: int, faults: bool, as_json: bool) -> int:
    """Run the stand-in until a signal; prints where it is once it takes requests.

    Raises:
        ConfigError: it runs already, on another port.
        TechmartError: it can't be started.
    """
    stop = asyncio.Event()
    runner: Runner[int] = Runner(on_stop=stop.set)
    return runner.run(
        lambda: _serve_stand_in(settings, stop, port=port, faults=faults, as_json=as_json)
    )


async def _serve_stand_in(
    settings: Settings, stop: asyncio.Event, *, port: int, faults: bool, as_json: bool
) -> int:
    home = LocalHome(settings.home).create()
    options = replace(
        LocalOptions.from_settings(settings.local), standin_port=port, standin_faults=faults
    )
    async with local.embedded(home, postgres=False, options=options) as endpoints:
        standin = endpoints.standin
        if standin is None:
            raise ConfigError("The stand-in did not start.")
        if port and not standin.url.endswith(f":{port}"):
            raise ConfigError(
                f"The stand-in of {home.path} runs already, at {standin.url}.",
                hint="Use that address, or run techmart-fast local stop first.",
            )
        if as_json:
            write_out(to_json({"url": standin.url, "project": STAND_IN_PROJECT}))
        else:
            show(*_how_to_use(standin.url, settings.bigquery.dataset_id))
        await stop.wait()
    return ExitCode.DONE


def _how_to_use(url: str, dataset: str) -> Iterator[RenderableType]:
    yield f"[green]●[/] Stand-in for BigQuery (not BigQuery itself): [bold]{url}[/]"
    yield f"    project {STAND_IN_PROJECT}, dataset {plain(dataset)}, no credentials"
    yield Text("from google.cloud import bigquery", style="cyan")
    yield Text("from google.auth.credentials import AnonymousCredentials", style="cyan")
    client = f'bigquery.Client("{STAND_IN_PROJECT}", AnonymousCredentials(), '
    yield Text(client + f'client_options={{"api_endpoint": "{url}"}})', style="cyan")
    yield Text("It runs until Ctrl-C.", style="dim")
