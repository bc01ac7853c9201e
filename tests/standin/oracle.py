"""Google's reference implementation of the SQL dialect (zetasql), and what it says of expressions.

`reference.jsonl` holds, line by line, an expression and what the reference makes of it: its type
and its value as JSON text, or that it refuses. `python -m tests.standin.oracle` evaluates every
line again and writes the file anew; a new line needs nothing but `{"sql": "…"}`.
"""

import contextlib
import ctypes
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import wasmtime
import zetasql.core.wasm_client
from zetasql.api import CatalogBuilder, PreparedQuery
from zetasql.core.exceptions import ServerError
from zetasql.core.wasm_client import WasmClient
from zetasql.types import (
    AnalyzerOptions,
    LanguageOptions,
    SimpleCatalog,
    ZetaSQLBuiltinFunctionOptions,
)

FILE = Path(__file__).with_name("reference.jsonl")


@dataclass(frozen=True)
class Answer:
    """Type and value (JSON text) of an expression; both None: it is refused."""

    sql: str
    kind: str | None
    value: str | None

    @property
    def is_refused(self) -> bool:
        return self.kind is None

    def line(self) -> str:
        return json.dumps(
            {"sql": self.sql, "type": self.kind, "value": self.value}, ensure_ascii=False
        )


def recorded() -> list[Answer]:
    """What the file says."""
    lines = map(json.loads, FILE.read_text(encoding="utf-8").splitlines())
    return [Answer(line["sql"], line.get("type"), line.get("value")) for line in lines]


@cache
def _parts() -> tuple[AnalyzerOptions, SimpleCatalog]:
    zetasql.core.wasm_client.Config = _cached_config
    # The package copies byte by byte in Python, which takes longer than the evaluation.
    WasmClient.read_bytes, WasmClient.write_bytes = _read_bytes, _write_bytes
    language = LanguageOptions.maximum_features()
    builtins = ZetaSQLBuiltinFunctionOptions(language_options=language)
    catalog = CatalogBuilder("oracle").with_builtin_functions(builtins).build()
    return AnalyzerOptions(language_options=language, default_timezone="UTC"), catalog


def _cached_config() -> wasmtime.Config:
    config = wasmtime.Config()
    # Compiling takes 11 s and 1 GB; wasmtime keeps the result in the user's cache.
    with contextlib.suppress(wasmtime.WasmtimeError):
        config.cache = True
    return config


def _read_bytes(client: WasmClient, start: int, size: int) -> bytes:
    address = ctypes.addressof(client.memory.data_ptr().contents)
    return ctypes.string_at(address + start, size)


def _write_bytes(client: WasmClient, start: int, data: bytes) -> None:
    address = ctypes.addressof(client.memory.data_ptr().contents)
    ctypes.memmove(address + start, data, len(data))


def evaluated(expressions: Sequence[str]) -> list[Answer]:
    """What the reference makes of expressions, none of which it refuses."""
    options, catalog = _parts()
    columns = ", ".join(f"({sql}) AS x{place}" for place, sql in enumerate(expressions))
    texts = ", ".join(f"TO_JSON_STRING(x{place})" for place in range(len(expressions)))
    query = (
        PreparedQuery.builder()
        .set_sql(f"SELECT *, {texts} FROM (SELECT {columns})")
        .set_analyzer_options(options)
        .set_catalog(catalog)
        .prepare()
    )
    with query:
        kinds = [column.type.type_name() for column in query.columns[: len(expressions)]]
        (row,) = query.execute().content.table_data.row
        values = [cell.string_value for cell in row.cell[len(expressions) :]]
    named = [kind.replace("DOUBLE", "FLOAT64") for kind in kinds]
    return [Answer(*one) for one in zip(expressions, named, values, strict=True)]


def answer(sql: str) -> Answer:
    """What the reference makes of one expression."""
    try:
        return evaluated([sql])[0]
    except ServerError:
        return Answer(sql, None, None)


if __name__ == "__main__":
    answers = [answer(one.sql) for one in recorded()]
    FILE.write_text("".join(f"{one.line()}\n" for one in answers), encoding="utf-8")
