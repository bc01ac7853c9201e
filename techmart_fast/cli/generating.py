"""Generates a shop for the command line, with progress, and says how to load it."""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from techmart_fast.cli.console import command, number, plain, show, table
from techmart_fast.cli.framework import PROGRAM
from techmart_fast.cli.invocation import use_color
from techmart_fast.cli.output import to_json, write_out
from techmart_fast.dev import Compression, FileFormat, ShopSpec, Truth, generate, parse_shares
from techmart_fast.errors import ExitCode
from techmart_fast.records import Feed


def generate_and_tell(choice: Mapping[str, Any], *, quiet: bool, as_json: bool) -> int:
    """Write the shop that the options (`choice`, by name of `ShopSpec`) describe.

    Raises:
        ConfigError: an option is out of range, or the folder can't be made.
        TechmartError: a file can't be written.
    """
    spec = ShopSpec(
        **{
            **choice,
            "shares": parse_shares(tuple(choice["shares"])),
            "format": FileFormat(choice["format"]),
            "compression": Compression(choice["compression"]),
        }
    )
    with _progress(spec.transactions, quiet=quiet or as_json) as progress:
        truth = generate(spec, progress=progress)
    if as_json:
        write_out(to_json({"out": str(spec.out), "files": truth.files}))
    elif not quiet:
        _show(spec, truth)
    return ExitCode.DONE


@contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    if quiet or not sys.stderr.isatty():
        yield lambda _rows: None
        return
    console = Console(stderr=True, no_color=not use_color(sys.stderr), highlight=False)
    bar = Progress(
        TextColumn("transactions"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        expand=True,
    )
    with bar:
        task = bar.add_task("transactions", total=total)
        yield lambda rows: bar.update(task, completed=rows)


def _show(spec: ShopSpec, truth: Truth) -> None:
    numeric = ("records", "loaded", "rejected", "held", "duplicate")
    made = table("a right run reports", *numeric, right=numeric)
    for feed in Feed:
        counts = truth.feeds[feed]
        made.add_row(
            feed.value,
            number(counts.read),
            number(counts.loaded),
            number(counts.rejected),
            number(counts.held),
            number(counts.duplicate),
        )
    sources = " ".join(
        f"--{feed.value} {shlex.quote(_spec(spec, truth.files[feed]))}" for feed in Feed
    )
    written = sum(len(names) for names in truth.files.values())
    show(
        f"Written to {plain(str(spec.out))}: {written} files and {plain(spec.prefix)}truth.json",
        Text(),
        made,
        Text(),
        "Load it:",
        command(f"{PROGRAM} run {sources}"),
    )


def _spec(spec: ShopSpec, names: tuple[str, ...]) -> str:
    """One spec that names all files of a feed: the file, or a glob over its pieces."""
    if len(names) == 1:
        return str(spec.out / names[0])
    ending = names[0].partition(".")[2]
    return str(spec.out / f"{spec.prefix}transactions-*.{ending}")
