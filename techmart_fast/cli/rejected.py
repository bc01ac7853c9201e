"""Lists rejected records, and shows one with its bytes."""

import base64
from collections.abc import Iterator
from dataclasses import asdict

from rich.console import RenderableType
from rich.text import Text

from techmart_fast.cli.choosing import Chosen
from techmart_fast.cli.console import instant, number, plain, show, table
from techmart_fast.cli.embedded import never_used
from techmart_fast.cli.output import printable, to_json, to_json_lines, write_out
from techmart_fast.cli.runner import run_async
from techmart_fast.errors import ConfigError, ExitCode
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.postgres import QuarantineRow
from techmart_fast.settings import Settings

_MOST_BYTES_SHOWN = 4_000


def print_list(settings: Settings, chosen: Chosen, *, limit: int, as_json: bool) -> int:
    """Print rejected records; returns the exit code.

    Raises:
        ConfigError: there is no such run, or several runs whose ids begin so.
        TechmartError: PostgreSQL can't be reached.
    """
    # One more than is shown tells whether there are more.
    rows = run_async(lambda: _list(settings, chosen, limit if as_json else limit + 1))
    if as_json:
        write_out(to_json_lines([as_object(row) for row in rows]))
    else:
        show(*_for_people(rows, limit))
    return ExitCode.DONE


def print_record(settings: Settings, *, number: int, as_json: bool) -> int:
    """Print one rejected record with its bytes; returns the exit code.

    Raises:
        ConfigError: there is none with this number.
        TechmartError: PostgreSQL can't be reached.
    """
    row = run_async(lambda: _show(settings, number))
    if row is None:
        raise ConfigError(
            f"There is no rejected record with number {number}.",
            hint="See techmart-fast quarantine list.",
        )
    if as_json:
        write_out(to_json(as_object(row) | raw_object(row.raw)))
    else:
        show(*_one_for_people(row))
    return ExitCode.DONE


async def _list(settings: Settings, chosen: Chosen, limit: int) -> list[QuarantineRow]:
    if never_used(settings):
        return []
    async with open_sinks(settings, warehouse=False) as sinks:
        await sinks.postgres.migrate()
        return await sinks.postgres.quarantine_list(await chosen.filters(sinks.postgres), limit)


async def _show(settings: Settings, number: int) -> QuarantineRow | None:
    if never_used(settings):
        return None
    async with open_sinks(settings, warehouse=False) as sinks:
        await sinks.postgres.migrate()
        return await sinks.postgres.quarantine_show(number)


def as_object(row: QuarantineRow) -> dict[str, object]:
    """A rejected record for JSON, without its bytes."""
    values = asdict(row)
    del values["raw"]
    values["number"] = values.pop("quarantine_id")
    return values


def raw_object(raw: bytes) -> dict[str, object]:
    """The bytes for JSON: as text, or in base64 where they are not UTF-8."""
    try:
        return {"raw": raw.decode(), "raw_encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"raw": base64.b64encode(raw).decode(), "raw_encoding": "base64"}


def readable(raw: bytes) -> str:
    """The bytes on a terminal: nothing that could command it, wrong UTF-8 as escapes."""
    return printable(raw[:_MOST_BYTES_SHOWN].decode(errors="backslashreplace"))


def _for_people(rows: list[QuarantineRow], limit: int) -> Iterator[RenderableType]:
    if not rows:
        yield "No such rejected records."
        return
    made = table("number", "feed", "reason", "field", "source", "line", right=["number", "line"])
    for row in rows[:limit]:
        made.add_row(
            str(row.quarantine_id),
            row.feed.value,
            row.code,
            row.field or "-",
            plain(row.source_name),
            number(row.source_line),
        )
    yield made
    yield Text()
    more = "There are more: --limit N shows them. " if len(rows) > limit else ""
    yield Text(f"{more}One with its bytes: techmart-fast quarantine show NUMBER", style="dim")


def _one_for_people(row: QuarantineRow) -> Iterator[RenderableType]:
    made = table("", "")
    made.show_header = False
    facts = (
        ("number", str(row.quarantine_id)),
        ("feed", row.feed.value),
        ("reason", row.code),
        ("meaning", plain(row.message)),
        ("source", plain(row.source_name)),
        ("line", number(row.source_line)),
        ("byte offset", number(row.source_offset)),
        ("key", plain(row.record_key or "-")),
        ("rejected", instant(row.rejected_at)),
        ("resolved", instant(row.resolved_at) if row.resolved_at else "no"),
        ("size", f"{number(len(row.raw))} bytes"),
    )
    for name, value in facts:
        made.add_row(f"[dim]{name}[/]", value)
    yield made
    yield Text()
    yield Text(readable(row.raw), overflow="fold")
    if len(row.raw) > _MOST_BYTES_SHOWN:
        yield Text("… cut here; --json prints all of it.", style="dim")
