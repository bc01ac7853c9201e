"""Runs a command in a terminal of its own and writes what the terminal shows as an SVG picture.

    python docs/img/picture.py docs/img/run.svg 100 make run

It needs only the packages that the project has anyway. The picture is what the command printed:
progress that redrew itself shows its last state, and long lines are folded at the width.
"""

import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROWS = 200
SECONDS = 900
THEME = TerminalTheme(
    (22, 24, 29),
    (214, 218, 224),
    [
        (75, 80, 90),
        (224, 108, 117),
        (126, 190, 120),
        (219, 180, 100),
        (97, 150, 220),
        (190, 130, 210),
        (86, 182, 194),
        (214, 218, 224),
    ],
)
SPACE = "&#160;"
CHARACTER_WIDTH = 12.2
LEADING_SPACES = re.compile(
    r'x="(?P<x>[\d.]+)" y="(?P<y>[\d.]+)" textLength="(?P<length>[\d.]+)"(?P<rest>[^>]*)>'
    rf"(?P<spaces>(?:{SPACE})+)(?=[^&<])"
)
SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def shown(command: list[str], columns: int) -> str:
    """What `command` prints to a terminal of so many columns."""
    master, terminal = pty.openpty()
    ioctl(terminal, TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment
    ) as child:
        os.close(terminal)
        said = b""
        while select.select([master], [], [], SECONDS)[0]:
            try:
                said += os.read(master, 65536)
            except OSError:
                break
    os.close(master)
    sys.stderr.write(f"exit code {child.returncode}\n")
    return said.decode()


def final_lines(said: str) -> list[str]:
    """The lines that stay: a line that is drawn again, or erased, replaces what it was."""
    lines: list[str] = [""]
    row = 0
    rest = said.replace("\r\n", "\n")
    while rest:
        if rest.startswith("\n"):
            row += 1
            if row == len(lines):
                lines.append("")
            rest = rest[1:]
        elif rest.startswith("\r"):
            lines[row] = ""
            rest = rest[1:]
        elif rest.startswith("\x1b["):
            end = next(place for place in range(2, len(rest)) if rest[place].isalpha())
            kind, number = rest[end], rest[2:end]
            if kind == "A":
                row = max(0, row - int(number or 1))
                lines[row] = ""
            elif kind == "K":
                lines[row] = ""
            elif kind == "m":
                lines[row] += rest[: end + 1]
            rest = rest[end + 1 :]
        else:
            lines[row] += rest[0]
            rest = rest[1:]
    return lines


def main(target: str, columns: str, *command: str) -> None:
    """Write the picture of `command` to `target`."""
    lines = final_lines(shown(list(command), int(columns)))
    while lines and not Text.from_ansi(lines[-1]).plain.strip():
        lines.pop()
    console = Console(file=io.StringIO(), record=True, width=int(columns), force_terminal=True)
    console.print(Text(f"$ {' '.join(command)}", style="bold"))
    for line in lines:
        text = Text.from_ansi(line)
        # As a terminal does it: a long line goes on at the left, wherever it is cut.
        for part in text.divide(range(int(columns), len(text), int(columns))):
            console.print(part, no_wrap=True, overflow="ignore")
    svg = console.export_svg(title="", theme=THEME, code_format=SVG, unique_id="run")
    Path(target).write_text(LEADING_SPACES.sub(moved, svg), encoding="utf-8")


def moved(text: re.Match[str]) -> str:
    """A text without its leading spaces, moved right instead: some viewers drop the spaces."""
    width = text["spaces"].count(SPACE) * CHARACTER_WIDTH
    x, length = float(text["x"]) + width, float(text["length"]) - width
    return f'x="{x:g}" y="{text["y"]}" textLength="{length:g}"{text["rest"]}>'


if __name__ == "__main__":
    main(*sys.argv[1:])
