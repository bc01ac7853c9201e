"""Commands and groups of this command line: common options, examples in help, kinds of values."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from techmart_fast.cli.invocation import Invocation

PROGRAM = "techmart-fast"
COMPLETION_VARIABLE = "_TECHMART_FAST_COMPLETE"
_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
_UNITS |= {"kb": 10**3, "mb": 10**6, "gb": 10**9, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_COUNT_OR_SHARE = re.compile(r"(\d+)|(\d+(?:\.\d+)?)(%)", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


class ByteSize(click.ParamType[int]):
    """A number of bytes: `1048576`, `16MiB` (powers of two) or `16MB` (powers of ten)."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Bytes as a whole number."""
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(str(value).strip().lower())
        if found is None or found[2] not in _UNITS:
            self.fail(f"{value!r} is not a size like 16MiB or 1048576.", param, ctx)
        return int(float(found[1]) * _UNITS[found[2]])


class CountOrShare(click.ParamType[int | Decimal]):
    """A number of records: `1000`; or a share of them: `1%`, `0.5%`."""

    name = "count"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Decimal:
        """The number, or the share from 0 to 1 as a Decimal."""
        if isinstance(value, int | Decimal):
            return value
        found = _COUNT_OR_SHARE.fullmatch(str(value).strip())
        if found is None or (found[3] and Decimal(found[2]) > 100):
            self.fail(f"{value!r} is neither a number like 1000 nor a share like 1%.", param, ctx)
        return Decimal(found[2]) / 100 if found[3] else int(found[1])


class Number(click.ParamType[Decimal]):
    """A decimal number, exact."""

    name = "number"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """The number as a Decimal."""
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def _stores(name: str) -> Callable[[click.Context, click.Parameter, object], None]:
    def store(ctx: click.Context, _: click.Parameter, value: object) -> None:
        setattr(ctx.ensure_object(Invocation), name, value)

    return store


def _common(declarations: Sequence[str], **attributes: Any) -> click.Option:
    name = max(declarations, key=len).lstrip("-").replace("-", "_")
    return click.Option(declarations, expose_value=False, callback=_stores(name), **attributes)


def common_options() -> list[click.Option]:
    """The options that every command has."""
    return [
        _common(
            ["--config"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Settings file (TOML). Without it: techmart.toml here, if there is one.",
        ),
        _common(
            ["--home"],
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Folder of all local state. Without it: TECHMART_HOME, else ~/.techmart.",
        ),
        _common(["-v", "--verbose"], is_flag=True, help="Log details to standard error."),
        _common(["-q", "--quiet"], is_flag=True, help="Say nothing but results and errors."),
        _common(["--log-json"], is_flag=True, help="Log as JSON lines on a terminal too."),
        _common(
            ["--debug"],
            is_flag=True,
            help="Show the trace of an unexpected error; it may quote values of records.",
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A short list below a command's help: words and what they mean."""

    title: str
    rows: Sequence[tuple[str, str]]

    def write(self, formatter: click.HelpFormatter) -> None:
        """Write the list as a section of the help."""
        with formatter.section(self.title):
            formatter.write_dl(self.rows)


class Command(click.Command):
    """A command with the common options and examples.

    `examples` are pairs of what it does and the line to type, without the program's name.
    """

    def __init__(
        self,
        *args: Any,
        examples: Sequence[tuple[str, str]] = (),
        facts: Facts | None = None,
        **attributes: Any,
    ) -> None:
        super().__init__(*args, **attributes)
        self.examples = tuple(examples)
        self.facts = facts
        self.params.extend(common_options())

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, with logging set up as its options say."""
        with ctx.ensure_object(Invocation).logging():
            return super().invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the facts and the examples below the options."""
        if self.facts:
            self.facts.write(formatter)
        if self.examples:
            with formatter.section("Examples"):
                for meaning, line in self.examples:
                    formatter.write_text(f"# {meaning}")
                    formatter.write(f"{'':{formatter.current_indent}}{PROGRAM} {line}\n")
        super().format_epilog(ctx, formatter)


class Group(click.Group):
    """A group whose commands are `Command`s, listed in the order in which they were added."""

    command_class = Command

    def __init__(self, *args: Any, facts: Facts | None = None, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.facts = facts

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of a newcomer's path, not of the alphabet."""
        return list(self.commands)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the facts below the commands."""
        if self.facts:
            self.facts.write(formatter)
        super().format_epilog(ctx, formatter)


Group.group_class = Group
