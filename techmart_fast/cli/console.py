"""How output for people looks: consoles, tables, numbers, times, sizes."""

import io
import sys
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from shutil import get_terminal_size

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from techmart_fast.cli.invocation import use_color
from techmart_fast.cli.output import printable, write_out

STATUS_STYLE = {
    "PASS": "green",
    "WARN": "yellow",
    "FAIL": "bold red",
    "ok": "green",
    "warn": "yellow",
    "fail": "bold red",
    "completed": "green",
    "running": "cyan",
    "stopped": "yellow",
    "failed": "bold red",
}
_MOST_COLUMNS = 120
_PLAIN_COLUMNS = 1000
"""Without a terminal nothing is cut or wrapped: other programs read lines."""


def show(*parts: RenderableType) -> None:
    """Print to standard output: for a terminal of at most 120 columns, or plain lines."""
    write_out(render(parts, terminal=sys.stdout.isatty(), color=use_color(sys.stdout)))


def render(
    parts: Sequence[RenderableType], *, terminal: bool, color: bool, columns: int | None = None
) -> str:
    """The text that `show` prints."""
    width = min(columns or get_terminal_size().columns, _MOST_COLUMNS)
    console = Console(
        file=io.StringIO(),
        width=width if terminal else _PLAIN_COLUMNS,
        force_terminal=color,
        no_color=not color,
        color_system="standard" if color else None,
        highlight=False,
        emoji=False,
        markup=True,
        soft_wrap=False,
    )
    with console.capture() as captured:
        for part in parts:
            # In a group: bare texts would be joined to new ones, which wrap.
            console.print(Group(part), crop=False)
    lines = captured.get().split("\n")
    return "\n".join(line.rstrip() for line in lines).rstrip("\n")


def table(*headers: str, right: Sequence[str] = (), title: str | None = None) -> Table:
    """A table without lines; columns named in `right` are numbers."""
    made = Table(
        box=None,
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        pad_edge=False,
        padding=(0, 2, 0, 0),
        show_edge=False,
    )
    for header in headers:
        numeric = header in right
        made.add_column(
            header,
            justify="right" if numeric else "left",
            no_wrap=numeric,
            overflow="fold",
        )
    return made


def plain(text: str) -> str:
    """A text of a feed or a file's name, to be printed as it is: no markup, no escape sequence."""
    return escape(printable(text))


def command(line: str, *, indent: int = 2) -> Text:
    """A command to copy: never cut or wrapped but by the terminal itself."""
    return Text(f"{'':{indent}}{line}", style="cyan", no_wrap=True, overflow="ignore")


def styled(word: str) -> str:
    """A status word in its colour."""
    style = STATUS_STYLE.get(word)
    return f"[{style}]{word}[/]" if style else word


def number(value: int | Decimal | None) -> str:
    """With thousands separators and all decimals; `-` for nothing."""
    return "-" if value is None else f"{value:,}"


def seconds(value: float | None) -> str:
    """`0.42 s`, `12.3 s`, `3 min 20 s`, `1 h 05 min`."""
    if value is None:
        return "-"
    if value < 1:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(value: int | None) -> str:
    """Bytes as `512 B`, `9.3 MB`, `1.2 GB` (powers of ten)."""
    if value is None:
        return "-"
    if value < 1_000:
        return f"{value} B"
    for unit, factor in (("kB", 10**3), ("MB", 10**6), ("GB", 10**9)):
        if value < 999.5 * factor or unit == "GB":
            return (
                f"{value / factor:.3g} {unit}"
                if value < 100 * factor
                else f"{value / factor:.0f} {unit}"
            )
    raise AssertionError


def instant(value: datetime | None) -> str:
    """A moment as `2024-12-31 23:59:59 UTC`."""
    return "-" if value is None else f"{value:%Y-%m-%d %H:%M:%S} UTC"
