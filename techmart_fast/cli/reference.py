"""Writes the reference pages from the code: every command and option, every setting."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import click
from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo

from techmart_fast.cli.framework import PROGRAM, Command, Group, common_options
from techmart_fast.cli.output import write_out
from techmart_fast.errors import ConfigError
from techmart_fast.settings import SECTIONS

_MADE = "<!-- Written by `techmart-fast dev reference`. Change the code, not this page. -->"


def write_reference(root: click.Group, folder: Path, *, quiet: bool = False) -> None:
    """Write `cli.md` (of the command `root`) and `settings.md` into `folder`.

    Raises:
        ConfigError: the folder can't be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in pages(root).items():
            (folder / name).write_text(text, encoding="utf-8")
            if not quiet:
                write_out(f"Wrote {folder / name}")
    except OSError as error:
        raise ConfigError(f"Can't write to {folder}: {error.strerror}.") from None


def pages(root: click.Group) -> dict[str, str]:
    """The text of each page by file name."""
    return {
        "cli.md": "\n".join(_cli_page(root)) + "\n",
        "settings.md": "\n".join(_settings_page()) + "\n",
    }


def walk(command: click.Command, path: Sequence[str]) -> Iterator[tuple[str, click.Command]]:
    """Every command below `command`, groups before their members, with its full name."""
    yield " ".join(path), command
    if isinstance(command, click.Group):
        for name, member in command.commands.items():
            yield from walk(member, [*path, name])


def _cli_page(root: click.Group) -> Iterator[str]:
    yield "# Command line"
    yield ""
    yield _MADE
    yield ""
    yield f"`{PROGRAM}` and `python -m techmart_fast` are the same."
    for name, command in walk(root, [PROGRAM]):
        yield ""
        yield f"## {name}"
        yield ""
        yield from _help(command)
        if isinstance(command, click.Group):
            if command is not root:
                yield ""
                members = (
                    f"[{name} {member}](#{_anchor(f'{name} {member}')})"
                    for member in command.commands
                )
                yield f"Commands: {', '.join(members)}."
            continue
        yield ""
        yield f"```text\n{name} {' '.join(_usage(command))}\n```"
        common = {option.name for option in common_options()}
        own = [
            param
            for param in command.params
            if isinstance(param, click.Option) and param.name not in common
        ]
        if own:
            yield ""
            yield "| option | meaning | default |"
            yield "| --- | --- | --- |"
            for param in own:
                yield _option_row(param)
        if isinstance(command, Command) and command.examples:
            yield ""
            yield "```bash"
            for meaning, line in command.examples:
                yield f"# {meaning}"
                yield f"{PROGRAM} {line}"
            yield "```"
    yield ""
    yield "## Options of every command"
    yield ""
    yield "| option | meaning | default |"
    yield "| --- | --- | --- |"
    for option in common_options():
        yield _option_row(option)


def _help(command: click.Command) -> Iterator[str]:
    paragraphs = (command.help or "").strip().split("\n\n")
    yield "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    facts = command.facts if isinstance(command, Command | Group) else None
    if facts:
        yield f"\n{facts.title}:\n"
        yield "| | |\n| --- | --- |"
        for word, meaning in facts.rows:
            yield f"| `{word}` | {_cell(meaning)} |"


def _usage(command: click.Command) -> Iterator[str]:
    yield "[OPTIONS]"
    for param in command.params:
        if isinstance(param, click.Argument):
            yield param.make_metavar(click.Context(command))


def _option_row(param: click.Option) -> str:
    metavar = "" if param.is_flag else f" {param.make_metavar(click.Context(click.Command('')))}"
    names = ", ".join(f"`{name}`" for name in [*param.opts, *param.secondary_opts])
    kind = f" `{metavar.strip()}`" if metavar else ""
    default = f"`{param.default}`" if param.show_default else ""
    return f"| {names}{_cell(kind)} | {_cell(param.help or '')} | {default} |"


def _settings_page() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield _MADE
    yield ""
    yield "A setting comes from the first of these that has it: a flag of the command, the"
    yield "environment variable, the settings file (`--config FILE`, else `techmart.toml` in the"
    yield "working folder), the default. An unknown key or an impossible value is an error. Secrets"
    yield "are never printed."
    yield ""
    yield "```toml"
    yield "# techmart.toml"
    yield "[pipeline]"
    yield "block_bytes = 8_388_608"
    yield ""
    yield "[postgres]"
    yield 'host = "db.example.com"'
    yield "```"
    for name, section in SECTIONS.items():
        yield ""
        yield f"## [{name}]"
        yield ""
        yield " ".join((section.__doc__ or "").split())
        yield ""
        yield "| key | environment variable | meaning | values | default |"
        yield "| --- | --- | --- | --- | --- |"
        prefix = str(section.model_config.get("env_prefix", ""))
        for key, info in section.model_fields.items():
            yield (
                f"| `{key}` | `{_variable(key, info, prefix)}` | {_cell(info.description or '')} "
                f"| {_cell(_values(info))} | {_default(info)} |"
            )


def _variable(key: str, info: FieldInfo, prefix: str) -> str:
    if isinstance(info.validation_alias, AliasChoices):
        names = [str(choice) for choice in info.validation_alias.choices]
        return next((name for name in names if name.isupper()), names[-1])
    return f"{prefix}{key}".upper()


def _values(info: FieldInfo) -> str:
    return _type_name(info.annotation)


def _type_name(annotation: Any) -> str:
    if annotation is NoneType:
        return ""
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(filter(None, (_type_name(part) for part in get_args(annotation))))
    if literals := [part for part in get_args(annotation) if isinstance(part, str)]:
        return ", ".join(f"`{literal}`" for literal in literals)
    if get_args(annotation):
        return _type_name(get_args(annotation)[0])
    names = {int: "whole number", float: "number", str: "text", Path: "path", SecretStr: "secret"}
    return names.get(annotation, "text")


def _default(info: FieldInfo) -> str:
    return "" if info.default is None else f"`{info.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
