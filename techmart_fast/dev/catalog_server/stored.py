"""Products of a file, as the server serves them."""

import json
from collections.abc import Iterator
from pathlib import Path

from techmart_fast.dev.layout import NULL, Bare, Values
from techmart_fast.errors import ConfigError


def stored_products(path: Path) -> tuple[Values, ...]:
    """The records of a JSON file that has one a line (an array of lines, or NDJSON).

    Values stand as in the file. What is no JSON object can't be served, and is left out.

    Raises:
        ConfigError: the file can't be read.
    """
    try:
        return tuple(_records(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"Can't read the products in {path}: {reason}.") from None


def _records(path: Path) -> Iterator[Values]:
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            # Numbers stay texts: none of them goes through binary floating point.
            found = json.loads(line.strip().rstrip(","), parse_float=Bare, parse_int=Bare)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield {name: _text(value) for name, value in found.items()}


def _text(value: object) -> str:
    if value is None:
        return NULL
    if isinstance(value, str):
        return value
    return Bare(json.dumps(value, ensure_ascii=False))
