"""Starts, stops and shows the embedded parts, and opens psql on the embedded database."""

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from techmart_fast import local
from techmart_fast.cli.console import command, plain, show
from techmart_fast.cli.output import to_json, write_out
from techmart_fast.cli.runner import run_async
from techmart_fast.errors import ConfigError, ExitCode
from techmart_fast.local import LocalHome, LocalOptions, LocalStatus
from techmart_fast.settings import Settings


def never_used(settings: Settings) -> bool:
    """Whether the database is the embedded one and was never made: then there is nothing to ask."""
    return settings.embedded_postgres and LocalHome(settings.home).is_unused


def print_start(settings: Settings, *, as_json: bool) -> int:
    """Start what the settings leave to the embedded parts, and say how to connect.

    Raises:
        ConfigError: there is nothing embedded.
        TechmartError: a part can't be started.
    """
    postgres, standin = settings.embedded_postgres, settings.stand_in
    if not postgres and not standin:
        raise ConfigError(
            "Nothing is embedded here: POSTGRES_HOST and BIGQUERY_PROJECT_ID are set.",
            hint="See techmart-fast doctor.",
        )
    home = LocalHome(settings.home).create()
    options = LocalOptions.from_settings(settings.local)
    run_async(lambda: local.start(home, postgres=postgres, standin=standin, options=options))
    return _print(local.status(home), as_json=as_json)


def print_stop(settings: Settings, *, as_json: bool) -> int:
    """Stop what `print_start` keeps running.

    Raises:
        TechmartError: a part can't be stopped.
    """
    home = LocalHome(settings.home)
    before = local.status(home)
    after = run_async(lambda: local.stop(home, options=LocalOptions.from_settings(settings.local)))
    if as_json:
        return _print(after, as_json=True)
    show(_stopped(before, after))
    return ExitCode.DONE


def _stopped(before: LocalStatus, after: LocalStatus) -> str:
    place = plain(str(after.home))
    if not before.postgres and not before.standin:
        return f"Nothing was running in {place}."
    if not after.postgres and not after.standin:
        parts = {"PostgreSQL": before.postgres, "the BigQuery stand-in": before.standin}
        return f"Stopped {' and '.join(name for name, ran in parts.items() if ran)} in {place}."
    return f"A command still uses what runs in {place}; it stops with that command."


def print_local_status(settings: Settings, *, as_json: bool) -> int:
    """Show what runs now. Starts nothing.

    Raises:
        LocalError: the password file of the running server can't be read.
    """
    return _print(local.status(LocalHome(settings.home)), as_json=as_json)


def open_psql(settings: Settings, arguments: Sequence[str]) -> int:
    """Run psql on the embedded database with `arguments`; returns its exit code.

    Raises:
        ConfigError: the database is not the embedded one.
        TechmartError: the server can't be started.
    """
    if not settings.embedded_postgres:
        raise ConfigError(
            "The database is not the embedded one: POSTGRES_HOST is set.",
            hint="Use a psql of your own.",
        )
    return run_async(lambda: _psql(settings, arguments))


async def _psql(settings: Settings, arguments: Sequence[str]) -> int:
    home = LocalHome(settings.home).create()
    options = LocalOptions.from_settings(settings.local)
    async with local.embedded(home, standin=False, options=options) as endpoints:
        server = endpoints.postgres
        if server is None:
            raise ConfigError("The embedded server did not start.")
        place = ("-h", str(server.socket_dir), "-p", str(server.port), "-U", server.user)
        child = await asyncio.create_subprocess_exec(
            str(server.bin_dir / "psql"),
            *place,
            "-d",
            server.database,
            *arguments,
            env={**os.environ, "PGPASSFILE": str(server.pgpass)},
        )
        # Ctrl-C belongs to psql while it runs: there it cancels a query.
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: None)
        return await child.wait()


def as_object(status: LocalStatus) -> dict[str, object]:
    """The object that the `local` commands print with `--json`. It names no password."""
    postgres, standin = status.postgres, status.standin
    return {
        "home": str(status.home),
        "running": bool(postgres or standin),
        "kept": status.pinned,
        "in_use": status.in_use,
        "postgres": None
        if postgres is None
        else {
            "version": postgres.version,
            "socket_dir": str(postgres.socket_dir),
            "port": postgres.port,
            "database": postgres.database,
            "user": postgres.user,
            "pgpass": str(postgres.pgpass),
            "pid": postgres.pid,
            "psql": postgres.psql_command,
        },
        "standin": None if standin is None else {"url": standin.url, "pid": standin.pid},
    }


def for_people(status: LocalStatus) -> Iterator[RenderableType]:
    """What runs and how to connect, as parts to print below each other."""
    postgres, standin = status.postgres, status.standin
    if postgres is None and standin is None:
        yield f"Nothing runs in {plain(str(status.home))}. Commands start what they need."
        return
    if postgres is not None:
        yield f"[green]●[/] PostgreSQL {postgres.version}, process {postgres.pid}"
        yield command(postgres.psql_command, indent=4)
    if standin is not None:
        yield f"[green]●[/] BigQuery stand-in, process {standin.pid}"
        yield f"    {standin.url}"
    if status.pinned:
        yield Text("Kept running until: techmart-fast local stop", style="dim")
    elif status.in_use:
        yield Text("Used by a command, and stopped with it.", style="dim")


def _print(status: LocalStatus, *, as_json: bool) -> int:
    if as_json:
        write_out(to_json(as_object(status)))
    else:
        show(*for_people(status))
    return ExitCode.DONE
