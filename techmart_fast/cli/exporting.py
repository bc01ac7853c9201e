"""Writes rejected records with their bytes into a file of JSON lines, to be corrected."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from techmart_fast.cli.choosing import Chosen
from techmart_fast.cli.console import number, plain, show
from techmart_fast.cli.embedded import never_used
from techmart_fast.cli.output import to_json
from techmart_fast.cli.rejected import raw_object
from techmart_fast.cli.runner import run_async
from techmart_fast.errors import ConfigError, ExitCode, OutputError
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.postgres import WaitingRecord
from techmart_fast.records import Feed
from techmart_fast.settings import Settings


def export_records(settings: Settings, chosen: Chosen, out: Path, *, quiet: bool) -> int:
    """Write the records that wait into a new file (0600); returns the exit code.

    Raises:
        ConfigError: the file is there already, or there is no such run.
        OutputError: it can't be written.
        TechmartError: PostgreSQL can't be reached.
    """
    count = run_async(lambda: _write(settings, chosen, out))
    if not quiet:
        show(f"{number(count)} rejected records are in {plain(str(out))}.")
    return ExitCode.DONE


async def _write(settings: Settings, chosen: Chosen, out: Path) -> int:
    count = 0
    with _new_file(out) as lines:
        async for record in _waiting(settings, chosen):
            lines.write(to_json(_as_line(record)) + "\n")
            count += 1
    return count


@contextmanager
def _new_file(out: Path) -> Iterator[TextIO]:
    """A new file, which is removed if what is written into it does not come to its end."""
    try:
        # They may hold personal data: nobody else's eyes, not even for a moment.
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(f"{out} is there already.", hint="Name a new file.") from None
    except OSError as error:
        raise OutputError(f"Can't write {out}: {error.strerror}.") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as lines:
            yield lines
    except BaseException as error:
        out.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(f"Can't write {out}: {error.strerror}.") from None
        raise


async def _waiting(settings: Settings, chosen: Chosen) -> AsyncIterator[WaitingRecord]:
    if never_used(settings):
        return
    async with open_sinks(settings, warehouse=False) as sinks:
        await sinks.postgres.migrate()
        filters = await chosen.filters(sinks.postgres)
        for feed in Feed:
            async for page in sinks.postgres.waiting_pages(feed, filters):
                for record in page:
                    yield record


def _as_line(record: WaitingRecord) -> dict[str, object]:
    return {
        "number": record.number,
        "feed": record.source.feed.value,
        "code": record.code,
        "message": record.message,
        "source_name": record.source.name,
        "source_line": record.source_line,
        "source_offset": record.source_offset,
        **raw_object(record.raw),
    }
