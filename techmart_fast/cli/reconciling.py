"""Compares the sinks for the command line, and shows what came out."""

from collections.abc import Iterator
from datetime import date

from rich.console import RenderableType
from rich.text import Text

from techmart_fast.api import reconcile
from techmart_fast.cli.console import number, plain, seconds, show, size, table
from techmart_fast.cli.embedded import never_used
from techmart_fast.cli.output import to_json, write_err, write_out
from techmart_fast.cli.progress import observing
from techmart_fast.cli.runner import run_async
from techmart_fast.errors import ExitCode
from techmart_fast.pipeline.reconciled import Reconciliation, Standing, TableReconciled, Unequal
from techmart_fast.postgres import Books
from techmart_fast.settings import Settings

_STYLE = {Standing.EQUAL: "green", Standing.BEHIND: "yellow", Standing.DIFFERS: "bold red"}
_SHOWN = 12
_SHOWN_BATCHES = 3


def print_reconciliation(
    settings: Settings, *, since: date | None, until: date | None, as_json: bool, quiet: bool
) -> int:
    """Compare, print what came out, and return the exit code.

    Raises:
        TechmartError: a sink can't be reached or asked.
    """
    if never_used(settings):
        if as_json:
            write_out(to_json({"standing": Standing.EQUAL.value, "tables": {}, "exit_code": 0}))
        elif not quiet:
            show("Nothing was loaded yet: there is nothing to compare.")
        return ExitCode.DONE
    with observing(quiet=quiet) as observer:
        found = run_async(
            lambda: reconcile(settings=settings, since=since, until=until, observer=observer)
        )
    if as_json:
        write_out(to_json(found.to_dict()))
    elif not quiet:
        show(*for_people(found))
    if (quiet or as_json) and found.exit_code is not ExitCode.DONE:
        write_err(verdict(found))
    return found.exit_code


def verdict(found: Reconciliation) -> str:
    """One line: how the sinks stand."""
    if found.standing is Standing.EQUAL:
        return "Equal: PostgreSQL and the warehouse hold the same rows."
    if found.standing is Standing.BEHIND:
        files = sum(one.waiting_files for one in found.tables)
        rows = sum(one.waiting_rows for one in found.tables)
        return (
            f"Behind: {number(rows)} rows in {number(files)} files wait in the outbox; nothing "
            "else differs. Publish them: techmart-fast sync"
        )
    names = [one.table for one in found.tables if one.standing is Standing.DIFFERS]
    if not names:
        return "The sinks are equal, but the loader's accounting does not add up."
    return (
        f"The sinks differ: {', '.join(names)}. Send PostgreSQL's rows again: "
        "techmart-fast sync --republish"
    )


def for_people(found: Reconciliation) -> Iterator[RenderableType]:
    """The comparison as parts to print below each other."""
    numeric = ("PostgreSQL", "warehouse", "waiting")
    made = table("table", *numeric, "compared", "", right=numeric)
    for one in found.tables:
        style = _STYLE[one.standing]
        made.add_row(
            one.table,
            number(one.postgres_rows),
            number(one.warehouse_rows),
            number(one.waiting_rows),
            f"{number(one.parts)} {_parts(one)}",
            f"[{style}]{one.standing}[/]",
        )
    yield made
    for one in found.tables:
        if one.unequal:
            yield Text()
            yield _unequal(one)
            if len(one.unequal) > _SHOWN:
                yield Text(f"… and {len(one.unequal) - _SHOWN} more: --json", style="dim")
    yield Text()
    yield from _books(found.books)
    yield Text(verdict(found), style=_STYLE[found.standing])
    yield Text(_took(found), style="dim")


def _unequal(compared: TableReconciled) -> RenderableType:
    numeric = ("PostgreSQL", "warehouse", "missing", "extra", "changed")
    made = table(compared.table, "", *numeric, "batches", right=numeric)
    for one in compared.unequal[:_SHOWN]:
        style = _STYLE[one.standing]
        made.add_row(
            one.part.isoformat() if isinstance(one.part, date) else f"bucket {one.part}",
            f"[{style}]{one.standing}[/]",
            number(one.postgres.rows),
            number(one.warehouse.rows),
            number(one.missing),
            number(one.extra),
            number(one.changed),
            _batches(one),
        )
    return made


def _batches(one: Unequal) -> str:
    shown = [plain(batch[:8]) or "(none)" for batch in one.batches[:_SHOWN_BATCHES]]
    more = len(one.batches) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _books(books: Books) -> Iterator[RenderableType]:
    if books.balance:
        yield "Accounting: every byte range is continuous, every record read is accounted for."
        return
    yield "[bold red]The loader's accounting does not add up:[/]"
    for gap in books.gaps:
        yield (
            f"  {plain(gap.file)} ({gap.feed}): bytes {number(gap.first_byte)} to "
            f"{number(gap.end_byte)} were not committed, but later ones were"
        )
    for batch in books.batches:
        yield f"  batch {batch}: read is not loaded + rejected + held + duplicate"
    for run, feed in books.runs:
        yield f"  run {run}: its counts of {plain(feed)} are not those of its batches"
    if books.held_expected != books.held_actual:
        yield (
            f"  held: {number(books.held_expected)} by the books, {number(books.held_actual)} there"
        )


def _parts(compared: TableReconciled) -> str:
    return "buckets" if compared.table in {"users", "products"} else "days"


def _took(found: Reconciliation) -> str:
    took = f"{seconds(found.seconds)}"
    if found.cost is not None:
        took += f", {found.cost.jobs} queries, {size(found.cost.bytes_billed)} billed"
        took += " (modelled by the stand-in, no bill)" if found.cost.modelled else ""
    return took
