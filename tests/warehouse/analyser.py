"""Google's own SQL analyser (zetasql, as WebAssembly) over the declared tables."""

import contextlib
import ctypes
from collections.abc import Mapping
from functools import cache

import wasmtime
import zetasql.core.wasm_client
from zetasql.api import Analyzer, CatalogBuilder, TableBuilder, TypeFactory
from zetasql.core import ZetaSqlLocalService
from zetasql.core.exceptions import ServerError
from zetasql.core.wasm_client import WasmClient
from zetasql.types import (
    AnalyzeRequest,
    AnalyzerOptions,
    LanguageOptions,
    SimpleCatalog,
    Type,
    TypeKind,
    ZetaSQLBuiltinFunctionOptions,
)

from techmart_fast.warehouse.schema import SCHEMA_DATASET, declared
from techmart_fast.warehouse.statements import Array, Parameter, Rows, Statement

LIKE = {
    "staging_transactions": "transactions",
    "staging_users": "users",
    "staging_products": "products",
    "staging_rejected_transactions": "rejected_transactions",
    "changed_users": "users",
    "changed_products": "products",
}
"""Tables that only stand in the files, and whose columns they have."""

GROUPS = ("g1", "g2")
"""Load groups whose staging tables (first attempt) are known."""

SqlError = ServerError


def _cached_config() -> wasmtime.Config:
    config = wasmtime.Config()
    # Compiling the analyser takes 11 s and 1 GB; wasmtime keeps the result in the user's cache.
    with contextlib.suppress(wasmtime.WasmtimeError):
        config.cache = True
    return config


def _read_bytes(client: WasmClient, start: int, size: int) -> bytes:
    address = ctypes.addressof(client.memory.data_ptr().contents)
    return ctypes.string_at(address + start, size)


def _write_bytes(client: WasmClient, start: int, data: bytes) -> None:
    address = ctypes.addressof(client.memory.data_ptr().contents)
    ctypes.memmove(address + start, data, len(data))


@cache
def _language() -> LanguageOptions:
    zetasql.core.wasm_client.Config = _cached_config
    # The package copies byte by byte in Python, which takes longer than the analysis.
    WasmClient.read_bytes, WasmClient.write_bytes = _read_bytes, _write_bytes
    return LanguageOptions.maximum_features()


@cache
def _analyzer_parts() -> tuple[SimpleCatalog, Mapping[str, list[tuple[str, Type]]]]:
    language = _language()
    builtins = ZetaSQLBuiltinFunctionOptions(language_options=language)
    empty = CatalogBuilder("empty").with_builtin_functions(builtins).build()
    options = AnalyzerOptions(language_options=language)
    columns: dict[str, list[tuple[str, Type]]] = {}
    for relation in declared().values():
        if not relation.is_view:
            resolved = Analyzer(options, empty).analyze_statement(relation.sql)
            columns[relation.name] = [
                (column.name, column.type) for column in resolved.column_definition_list
            ]
    tables = dict(columns)
    for name, like in LIKE.items():
        tables[name] = columns[like]
        tables |= {f"{name}_{group}_1": columns[like] for group in GROUPS}
    catalog = CatalogBuilder("warehouse").with_builtin_functions(builtins)
    dataset = CatalogBuilder(SCHEMA_DATASET)
    for name, members in tables.items():
        table = TableBuilder(name)
        for column, type_ in members:
            table.add_column(column, type_)
        catalog.add_table(table.build())
        dataset.add_table(table.build())
    built = catalog.build()
    built.catalog.append(dataset.build())
    return built, columns


def declared_types(table: str) -> list[str]:
    """`name TYPE` of each column of a declared table, as the analyser reads it."""
    return [f"{name} {type_.type_name()}" for name, type_ in _analyzer_parts()[1][table]]


def _type_of(parameter: Parameter) -> Type:
    def simple(kind: str) -> Type:
        return TypeFactory.create_simple_type(TypeKind[f"TYPE_{kind}"])

    if isinstance(parameter, Rows):
        fields = [(name, simple(kind)) for name, kind in parameter.columns.items()]
        return TypeFactory.create_array_type(TypeFactory.create_struct_type(fields))
    if isinstance(parameter, Array):
        return TypeFactory.create_array_type(simple(parameter.kind))
    return simple(parameter.kind)


def analyse(statement: Statement) -> None:
    """Resolve the statement against the declared tables.

    Raises:
        SqlError: a name is unknown, a type is wrong, a parameter is missing, or it is not SQL.
    """
    options = AnalyzerOptions(
        language_options=_language(),
        query_parameters=[
            AnalyzerOptions.QueryParameter(name=name, type=_type_of(parameter))
            for name, parameter in statement.parameters.items()
        ],
    )
    request = AnalyzeRequest(
        options=options, registered_catalog_id=_catalog_id(), sql_statement=statement.sql
    )
    # The service's own `analyze` also builds Python objects of the whole resolved tree: slow.
    service = ZetaSqlLocalService.get_instance()
    service.wasm_client._call_grpc_method(
        "ZetaSqlLocalService_Analyze", request.to_proto().SerializeToString()
    )


@cache
def _catalog_id() -> int:
    registered = ZetaSqlLocalService.get_instance().register_catalog(
        simple_catalog=_analyzer_parts()[0]
    )
    return int(registered.registered_id)
