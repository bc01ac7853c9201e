"""SQL by file and name. Files lie in `sql/`; each statement has a name and a description.

A statement starts with `-- name: the_name`, followed by comment lines that say what it does, its
arguments and its result. Text in `{braces}` is filled in from a table's description.
"""

import re
from functools import cache
from pathlib import Path

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_FOLDER = Path(__file__).parent / "sql"


def statement(file: str, name: str, **parts: str) -> str:
    """The SQL of one statement, its `{parts}` filled in.

    Raises:
        KeyError: the file has no such statement, or a part is missing.
    """
    text = _read(file)[name]
    return text.format(**parts) if parts else text


@cache
def _read(file: str) -> dict[str, str]:
    pieces = _NAME.split((_FOLDER / f"{file}.sql").read_text(encoding="utf-8"))
    return {name: text.strip() for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}
