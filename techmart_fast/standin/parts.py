"""Loaded files that a table still reads as they are.

A load job into an empty table keeps the Parquet file instead of copying its rows: most loaded
tables are read once by a MERGE and dropped. The first change of such a table copies the rows into
it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from techmart_fast.standin.bqtypes import text_literal

MOST_PARTS = 256


@dataclass(frozen=True, slots=True)
class Part:
    """A file in the parts folder, and the DuckDB select list that makes the table's columns."""

    file: str
    columns: str


def parts_query(folder: Path, parts: Sequence[Part]) -> str:
    """The DuckDB query that reads all parts of a table."""
    selects = []
    for columns, group in groupby(parts, key=lambda part: part.columns):
        files = ", ".join(text_literal(str(folder / part.file)) for part in group)
        selects.append(f"SELECT {columns} FROM read_parquet([{files}])")
    return " UNION ALL ".join(selects)


def keep_file(file: Path, folder: Path) -> str:
    """Move an uploaded file into the parts folder, durably; returns its name there."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    kept = folder / f"{file.stem}.parquet"
    file.replace(kept)
    return kept.name
