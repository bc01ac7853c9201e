"""Writes results to standard output: JSON and CSV that keep every digit, and text for people.

A reader that leaves early (`… | head`) changes neither what the command did nor its exit code.
"""

import csv
import io
import os
import select
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import TextIO
from uuid import UUID

import orjson

from techmart_fast.errors import OutputError


def to_json(value: object, *, indent: bool = False) -> str:
    """JSON text. Decimals are numbers with exactly their digits; days and times are ISO 8601."""
    options = orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    return orjson.dumps(value, default=_plain, option=options).decode()


def to_json_lines(rows: Sequence[Mapping[str, object]]) -> str:
    """A JSON array with one object on each line."""
    if not rows:
        return "[]"
    return "[\n" + ",\n".join(to_json(row) for row in rows) + "\n]"


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """CSV text with a header. Nested values are JSON text, absent ones empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row[name]) for name in columns] for row in rows)
    return text.getvalue().removesuffix("\n")


def write_out(text: str) -> None:
    """Write `text` and a line end to standard output.

    Raises:
        OutputError: it can't be written, for example as the disk is full.
    """
    try:
        _write_whole(sys.stdout, text + "\n")
    except BrokenPipeError:
        forget(sys.stdout)
    except OSError as error:
        forget(sys.stdout)
        raise OutputError(
            f"Can't write to standard output: {error.strerror}.",
            hint="What the command did is done; only its output is missing.",
        ) from None


def _write_whole(stream: TextIO, text: str) -> None:
    """Write all of the text, however slowly it is read.

    Python's own streams do not go on after a short write when they are unbuffered, nor wait where a
    pipe does not block: a slow reader would get the beginning only, and no error.
    """
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # a stream in memory
        stream.write(text)
        stream.flush()
        return
    stream.flush()
    left = memoryview(text.encode(stream.encoding, stream.errors or "strict"))
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def printable(text: str) -> str:
    """The text with escapes for whatever could command a terminal; new lines stay."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text
    )


def write_err(text: str) -> None:
    """Write `text` and a line end to standard error; nobody listening is no reason to fail."""
    with suppress(OSError):
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()


def forget(stream: io.TextIOBase | object) -> None:
    """Point the stream's descriptor to nowhere: the interpreter flushes it again at its end."""
    fileno = getattr(stream, "fileno", None)
    with suppress(OSError, ValueError):
        if fileno is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, fileno())
            os.close(nowhere)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return orjson.Fragment(f"{value:f}")
    if isinstance(value, UUID):
        # asyncpg has a class of its own for them.
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list | dict):
        return to_json(value)
    return value
