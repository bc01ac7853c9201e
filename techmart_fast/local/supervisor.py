"""What commands call: use the embedded parts for a while, keep them, let them go, look at them."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from techmart_fast.errors import LocalError
from techmart_fast.local.endpoints import LocalEndpoints, LocalOptions, LocalStatus
from techmart_fast.local.guarded import Record, lives, read_record
from techmart_fast.local.home import LocalHome
from techmart_fast.local.locks import FileLock
from techmart_fast.local.server import PostgresPart
from techmart_fast.local.standin_part import StandinPart
from techmart_fast.local.usage import Part, Usage


@asynccontextmanager
async def embedded(
    home: LocalHome,
    *,
    postgres: bool = True,
    standin: bool = True,
    options: LocalOptions | None = None,
) -> AsyncIterator[LocalEndpoints]:
    """Use the embedded parts: started when they do not run, stopped by their last user.

    Cancelling the entry abandons the start and leaves nothing behind. The parts never see the
    terminal's Ctrl-C. If this process is killed, their guardians stop them.

    Raises:
        MissingExtraError: the `[local]` extra is not installed.
        LocalError: a part can't be started, or does not answer or stop within the deadlines.
    """
    parts = _Parts.of(home, options or LocalOptions())
    usage = parts.usage(home)
    try:
        yield await parts.enter(usage, postgres=postgres, standin=standin)
    finally:
        usage.abandon()
        await asyncio.to_thread(usage.leave)


async def start(
    home: LocalHome,
    *,
    postgres: bool = True,
    standin: bool = True,
    options: LocalOptions | None = None,
) -> LocalEndpoints:
    """Start the parts and keep them running until `stop`.

    Raises:
        MissingExtraError: the `[local]` extra is not installed.
        LocalError: a part can't be started, or does not answer within the deadlines.
    """
    parts = _Parts.of(home, options or LocalOptions())
    usage = parts.usage(home)
    try:
        endpoints = await parts.enter(usage, postgres=postgres, standin=standin)
        usage.pin()
    finally:
        usage.abandon()
        await asyncio.to_thread(usage.leave)
    return endpoints


async def stop(home: LocalHome, *, options: LocalOptions | None = None) -> LocalStatus:
    """Let go of what `start` keeps; parts that a command still uses stop with that command.

    Returns:
        What still runs, and whether a command uses it.

    Raises:
        LocalError: a part can't be stopped.
    """
    if home.control_lock.exists():
        parts = _Parts.of(home, options or LocalOptions())
        await asyncio.to_thread(parts.usage(home).unpin)
    return status(home)


def status(home: LocalHome) -> LocalStatus:
    """What runs now. Starts and creates nothing.

    Raises:
        LocalError: the password file of a running server can't be read.
    """
    parts = _Parts.of(home, LocalOptions())
    postgres, standin = _living(parts.postgres), _living(parts.standin)
    return LocalStatus(
        home=home.path,
        postgres=parts.postgres.endpoint(postgres) if postgres else None,
        standin=parts.standin.endpoint(standin) if standin else None,
        in_use=_in_use(home),
        pinned=home.pinned.exists() and bool(postgres or standin),
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    postgres: PostgresPart
    standin: StandinPart
    options: LocalOptions

    @classmethod
    def of(cls, home: LocalHome, options: LocalOptions) -> "_Parts":
        return cls(PostgresPart(home, options), StandinPart(home, options), options)

    def usage(self, home: LocalHome) -> Usage:
        if sys.platform != "linux":
            raise LocalError(
                "The embedded parts run on Linux only.",
                hint="Set POSTGRES_HOST and BIGQUERY_PROJECT_ID to use servers of your own.",
            )
        return Usage(
            home,
            parts=(self.postgres, self.standin),
            start_seconds=self.options.start_seconds,
            stop_seconds=self.options.stop_seconds,
            wait_seconds=self.options.wait_seconds,
        )

    async def enter(self, usage: Usage, *, postgres: bool, standin: bool) -> LocalEndpoints:
        if not postgres and not standin:
            return LocalEndpoints()
        # The stand-in takes longer to load: it goes first, and loads while the server starts.
        wanted: Sequence[Part] = (
            *((self.standin,) if standin else ()),
            *((self.postgres,) if postgres else ()),
        )
        records = await asyncio.to_thread(usage.enter, wanted)
        return LocalEndpoints(
            standin=self.standin.endpoint(records[0]) if standin else None,
            postgres=self.postgres.endpoint(records[-1]) if postgres else None,
        )


def _living(part: Part) -> Record | None:
    record = read_record(part.folder)
    works = record is not None and lives(part.folder) and part.answers(record)
    return record if works else None


def _in_use(home: LocalHome) -> bool:
    """Whether a command uses the parts; looked at under the control lock, as any change is."""
    if not (home.control_lock.exists() and home.users_lock.exists()):
        return False
    with FileLock(home.control_lock) as control, FileLock(home.users_lock) as users:
        return not (control.try_take() and users.try_take())
