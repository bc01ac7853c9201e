"""Small steps that the tests of the embedded parts share."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from techmart_fast.local import (
    LocalHome,
    LocalOptions,
    LocalPostgres,
    embedded,
)
from techmart_fast.local.guarded import lives, read_record

Until = Callable[[Callable[[], bool]], None]


def gone(home: LocalHome) -> bool:
    return not lives(home.postgres)


async def ping(home: LocalHome, options: LocalOptions) -> LocalPostgres:
    """One whole command: start or reuse, look, leave."""
    async with embedded(home, standin=False, options=options) as endpoints:
        assert endpoints.postgres is not None
        return endpoints.postgres


def psql_says(server: LocalPostgres) -> str:
    line = f"{server.psql_command} -Atc 'SELECT 7'"
    shown = subprocess.run(["/bin/sh", "-c", line], stdout=subprocess.PIPE, timeout=60, check=True)
    return shown.stdout.decode()


@contextmanager
def stopped_guardian(home: LocalHome) -> Iterator[None]:
    """The guardian does nothing meanwhile, so that a test decides who acts first."""
    record = read_record(home.postgres)
    assert record is not None
    record.guardian.send(signal.SIGSTOP)
    try:
        yield
    finally:
        record.guardian.send(signal.SIGCONT)
