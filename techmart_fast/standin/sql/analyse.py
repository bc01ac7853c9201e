"""A BigQuery query as a DuckDB query: names, types, refusal of the unknown, rewriting.

The order matters: every node is one that is known (`rules`), names are resolved and views put in
place, sqlglot qualifies the columns and tells the types by the rules' typers, and then the rules
rewrite the tree from the leaves up.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlglot import ErrorLevel, exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError, UnsupportedError
from sqlglot.optimizer.annotate_types import TypeAnnotator, annotate_types
from sqlglot.optimizer.pushdown_predicates import pushdown_predicates
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from techmart_fast.standin.bqtypes import BqType, Field
from techmart_fast.standin.failure import invalid_query, not_implemented
from techmart_fast.standin.resources import Table
from techmart_fast.standin.sql import (
    aggregates,
    casts,
    date_parts,
    dates,
    logic,
    nested,
    numbers,
    texts,
    windows,
)
from techmart_fast.standin.sql.check import CONSUMED, check_nodes, refused_name
from techmart_fast.standin.sql.fold import folded
from techmart_fast.standin.sql.kinds import UnknownTypeError, kind_of, shown, to_sqlglot
from techmart_fast.standin.sql.names import Names
from techmart_fast.standin.sql.nested import order_by_values
from techmart_fast.standin.sql.parameters import Parameters
from techmart_fast.standin.sql.rules import PLAIN, RULES, Rule
from techmart_fast.standin.sql.scans import Scan, scans_of
from techmart_fast.standin.sql.trees import copied
from techmart_fast.standin.sql.unnest import expose_fields, placed, unexploded
from techmart_fast.standin.work import ATTACHED

# These modules fill the registry.
_AREAS = (aggregates, casts, date_parts, dates, logic, nested, numbers, texts, windows)

Metadata = dict[type[exp.Expr], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """A rewritten query.

    Attributes:
        tree: the query for DuckDB.
        names: the columns of its result, as BigQuery names them.
        kinds: their types, as far as they are told before DuckDB sees the query.
        scans: what it reads of each base table.
        spelling: how names are spelled that the analysis made lower case.
    """

    tree: exp.Query
    names: tuple[str, ...]
    kinds: tuple[BqType | None, ...]
    scans: tuple[Scan, ...]
    spelling: Mapping[str, str]

    @property
    def sql(self) -> str:
        """The DuckDB text."""
        return duckdb_sql(self.tree)

    def known_kinds(self) -> tuple[exp.DataType, ...]:
        """The types of the result's columns, of a set operation too."""
        if isinstance(self.tree, exp.Select):
            return tuple(one.type for one in self.tree.selects if one.type is not None)
        struct = self.tree.meta.get("query_type")
        if struct is None:
            raise not_implemented("a set operation whose types it can't tell")
        return tuple(one.args["kind"] for one in struct.expressions)


def duckdb_sql(tree: exp.Expr) -> str:
    """A rewritten tree as DuckDB's SQL.

    Raises:
        ServiceError: `notImplemented`, sqlglot can't write a part of it.
    """
    try:
        return copied(tree).sql(
            dialect="duckdb", unsupported_level=ErrorLevel.RAISE, identify=True, copy=False
        )
    except UnsupportedError as error:
        raise not_implemented(f"a part of the statement ({error})") from None


def analyse_query(query: exp.Query, names: Names, parameters: Parameters) -> Analysed:
    """Analyse and rewrite a query (which is consumed).

    Raises:
        ServiceError: BigQuery would refuse it too (`invalidQuery`, `notFound`), or the stand-in
            does not support a part of it (`notImplemented`).
    """
    check_nodes(query)
    output = name_outputs(query)
    parameters.put_types(query)
    expose_fields(query)
    spelling = {node.name.lower(): node.name for node in query.find_all(exp.Identifier)}
    names.resolve(query)
    for table in names.tables.values():
        for column in table.schema:
            spelling.setdefault(column.name.lower(), column.name)
    tree = annotated(query, names.tables.values())
    pushed = _pushed_down(tree, names)
    rendered = rewritten(tree)
    if not isinstance(rendered, exp.Query):
        raise not_implemented(f"this query: {shown(rendered)}")
    found = rendered.named_selects
    known = output if len(output) == len(found) else tuple(found)
    scans = tuple(scans_of(rendered if pushed is None else pushed, names.tables))
    return Analysed(
        tree=folded(rendered, names.tables),
        names=tuple(spelling.get(one.lower(), one) for one in known),
        kinds=_kinds(rendered),
        scans=scans,
        spelling=spelling,
    )


def _pushed_down(tree: exp.Expr, names: Names) -> exp.Expr | None:
    """The query as its scans see it: with the filters of outer queries on the tables inside.

    BigQuery prunes partitions through views and subqueries. None where there is nothing to gain.
    """
    through_views = any(one.view_query is not None for one in names.referenced.values())
    tables = names.tables.values()
    if not any(
        one.require_partition_filter or (one.partitioning and through_views) for one in tables
    ):
        return None
    return rewritten(pushdown_predicates(copied(tree), dialect="bigquery"))


def _kinds(query: exp.Query) -> tuple[BqType | None, ...]:
    if not isinstance(query, exp.Select):
        return tuple(None for _ in query.selects)
    return tuple(kind_of(one) for one in query.selects)


def name_outputs(query: exp.Query) -> tuple[str, ...]:
    """Give the unnamed columns of a result the names that BigQuery gives (`f0_`, `f1_`, …).

    Returns all names, or nothing where a star hides some.
    """
    leftmost: exp.Expr = query
    while isinstance(leftmost, (exp.SetOperation, exp.Subquery)):
        leftmost = leftmost.this
    if not isinstance(leftmost, exp.Select):
        return ()
    output: list[str] = []
    unnamed = 0
    for one in list(leftmost.expressions):
        inner = one.this if isinstance(one, exp.Paren) else one
        if one.is_star:
            output.append("*")
        elif isinstance(inner, (exp.Alias, exp.Column, exp.Dot)):
            output.append(inner.alias_or_name)
        else:
            name = f"f{unnamed}_"
            unnamed += 1
            one.replace(exp.alias_(copied(one), name, quoted=True, copy=False))
            output.append(name)
    return () if "*" in output else tuple(output)


def annotated(query: exp.Expr, tables: Iterable[Table]) -> exp.Expr:
    """The query with every column qualified and every type told."""
    schema = MappingSchema(dialect="bigquery")
    # sqlglot takes the first of two parameterized types of a set operation for both.
    limits = query.find(exp.SetOperation) is None
    for table in tables:
        schema.add_table(
            exp.table_(table.ref.table, db=table.ref.parent.schema, catalog=ATTACHED, quoted=True),
            {one.name.lower(): _column_type(one, limits=limits) for one in table.schema},
            dialect="bigquery",
            match_depth=False,
        )
    try:
        qualified = qualify(
            query,
            schema=schema,
            dialect="bigquery",
            quote_identifiers=False,
            validate_qualify_columns=True,
        )
        return annotate_types(qualified, schema=schema, expression_metadata=_metadata())
    except SqlglotError as error:
        first = str(error).partition("\n")[0]
        raise invalid_query(_in_services_words(first)) from None


def _column_type(column: Field, *, limits: bool) -> exp.DataType:
    """A column's type; NUMERIC(p, s) with its parameters: they tell what need not be rounded."""
    kind = to_sqlglot(column.type)
    if limits and column.limits and column.mode != "REPEATED":
        given = (column.details["precision"], column.details.get("scale", "0"))
        sizes: list[exp.Expr] = [exp.DataTypeParam(this=exp.Literal.number(one)) for one in given]
        kind.set("expressions", sizes)
    return kind


def _in_services_words(message: str) -> str:
    """Sqlglot's complaint as BigQuery would put it."""
    if message.startswith("Column '") and "could not be resolved" in message:
        return f"Unrecognized name: {message.split(chr(39))[1]}"
    if message.startswith("Unknown table: "):
        return f"Unrecognized name: {message.removeprefix('Unknown table: ')}"
    return message


_METADATA: Metadata = {}


def _metadata() -> Metadata:
    """How sqlglot tells the type of each kind of node: by the rules, else by its own knowledge."""
    if not _METADATA:
        own: Metadata = BigQuery.EXPRESSION_METADATA
        known = {node: own[node] for node in PLAIN if node in own}
        ruled = {node: {"annotator": _annotator(one)} for node, one in RULES.items()}
        _METADATA.update(known | ruled)
    return _METADATA


def _annotator(one: Rule) -> Any:
    def annotate(annotator: TypeAnnotator, node: exp.Expr) -> exp.Expr:
        try:
            kind = to_sqlglot(one.type_of(node))
        except UnknownTypeError:
            # An ORDER BY may name an alias that gets its type later; the rewriting will tell.
            kind = exp.DType.UNKNOWN.into_expr()
        # The annotators of sqlglot's own dialects set types by this method; there is no other.
        annotator._set_type(node, kind)
        return node

    return annotate


def rewritten(node: exp.Expr) -> exp.Expr:
    """The tree rewritten for DuckDB, from the leaves up. Every new node keeps its type."""
    for child in list(node.iter_expressions()):
        key, index = child.arg_key, child.index
        replaced = rewritten(child)
        # Not `child.replace`: the new node may hold the old one, which then has another parent.
        if replaced is not child and key is not None:
            node.set(key, replaced, index)
    if isinstance(node, exp.Column):
        return placed(node)
    if isinstance(node, exp.Unnest):
        return unexploded(node)
    if isinstance(node, exp.Select) and node.args.get("kind") == "STRUCT":
        order_by_values(node)
    found = RULES.get(type(node))
    if found is None:
        if type(node) not in PLAIN and type(node) not in CONSUMED:
            raise not_implemented(refused_name(node))
        return node
    result = found.render(node)
    if result is not node and result.type is None:
        result.type = node.type
    return result
