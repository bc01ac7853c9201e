"""Types of expressions as sqlglot notes them, and the pieces that rules build from."""

import functools

from sqlglot import exp

from techmart_fast.standin.bqtypes import BqType, Kind
from techmart_fast.standin.failure import ServiceError
from techmart_fast.standin.sql.trees import copied

NULL = BqType(Kind.NULL)
STRING, BYTES, INT64, FLOAT64, NUMERIC, BIGNUMERIC, BOOL, DATE, TIMESTAMP, DATETIME = map(
    BqType,
    (
        Kind.STRING,
        Kind.BYTES,
        Kind.INT64,
        Kind.FLOAT64,
        Kind.NUMERIC,
        Kind.BIGNUMERIC,
        Kind.BOOL,
        Kind.DATE,
        Kind.TIMESTAMP,
        Kind.DATETIME,
    ),
)

_KINDS: dict[exp.DType, Kind] = {
    exp.DType.TEXT: Kind.STRING,
    exp.DType.VARCHAR: Kind.STRING,
    exp.DType.BINARY: Kind.BYTES,
    exp.DType.BIGINT: Kind.INT64,
    exp.DType.INT: Kind.INT64,
    exp.DType.DOUBLE: Kind.FLOAT64,
    exp.DType.DECIMAL: Kind.NUMERIC,
    exp.DType.BIGDECIMAL: Kind.BIGNUMERIC,
    exp.DType.BOOLEAN: Kind.BOOL,
    exp.DType.TIMESTAMPTZ: Kind.TIMESTAMP,
    exp.DType.TIMESTAMP: Kind.DATETIME,
    exp.DType.DATETIME: Kind.DATETIME,
    exp.DType.DATE: Kind.DATE,
    exp.DType.TIME: Kind.TIME,
    exp.DType.JSON: Kind.JSON,
    exp.DType.INTERVAL: Kind.INTERVAL,
    exp.DType.NULL: Kind.NULL,
}
_DTYPES: dict[Kind, exp.DType] = {kind: dtype for dtype, kind in reversed(_KINDS.items())}


class UnknownTypeError(ServiceError):
    """The type of an expression could not be told, so its meaning can't be either."""

    def __init__(self, node: exp.Expr) -> None:
        text = f"The BigQuery stand-in can't tell the type of the expression {shown(node)}."
        super().__init__("notImplemented", text)


def from_sqlglot(kind: exp.DataType | None) -> BqType | None:
    """A sqlglot type as a BigQuery type; None for one that is unknown."""
    if kind is None:
        return None
    if kind.this == exp.DType.ARRAY:
        element = from_sqlglot(kind.expressions[0]) if kind.expressions else None
        return BqType(Kind.ARRAY, element=element) if element else None
    if kind.this == exp.DType.STRUCT:
        fields = []
        for place, inner in enumerate(kind.expressions, start=1):
            is_named = isinstance(inner, exp.ColumnDef)
            name = inner.name if is_named else f"_field_{place}"
            found = from_sqlglot(inner.args.get("kind") if is_named else inner)
            if found is None:
                return None
            fields.append((name, found))
        return BqType(Kind.STRUCT, fields=tuple(fields))
    plain = _KINDS.get(kind.this)
    return BqType(plain) if plain else None


def to_sqlglot(kind: BqType) -> exp.DataType:
    """A BigQuery type as a fresh sqlglot type; names are lower case, as sqlglot compares them."""
    if kind.kind is Kind.ARRAY:
        return exp.DataType(this=exp.DType.ARRAY, expressions=[to_sqlglot(kind.item)], nested=True)
    if kind.kind is Kind.STRUCT:
        fields: list[exp.Expr] = [
            exp.ColumnDef(this=exp.to_identifier(name.lower(), quoted=True), kind=to_sqlglot(inner))
            for name, inner in kind.fields
        ]
        return exp.DataType(this=exp.DType.STRUCT, expressions=fields, nested=True)
    return exp.DataType(this=_DTYPES[kind.kind])


def kind_of(node: exp.Expr) -> BqType:
    """The type of an annotated expression.

    Raises:
        UnknownTypeError: it could not be told.
    """
    if isinstance(node, exp.Null):
        return NULL
    found = from_sqlglot(node.type)
    if found is None:
        raise UnknownTypeError(node)
    return found


def shown(node: exp.Expr) -> str:
    """An expression for an error message, as BigQuery writes it."""
    text = node.sql(dialect="bigquery")
    return text if len(text) <= 120 else text[:117] + "..."


def literal_of(node: exp.Expr) -> exp.Literal | None:
    """The number or text that an expression is when it is a literal, perhaps in parentheses."""
    while isinstance(node, exp.Paren):
        node = node.this
    written = node.meta.get("written")
    if isinstance(written, exp.Literal):
        return written
    return node if isinstance(node, exp.Literal) else None


def is_float_literal(node: exp.Expr) -> bool:
    """Whether an expression is a number with a point or exponent, perhaps with a sign."""
    while isinstance(node, (exp.Paren, exp.Neg)):
        node = node.this
    found = literal_of(node)
    return found is not None and not found.is_string and not found.is_int


def is_text_literal(node: exp.Expr) -> bool:
    """Whether an expression is a literal text (which becomes a date where one is needed)."""
    found = literal_of(node)
    return found is not None and bool(found.is_string)


@functools.cache
def _duckdb_type(name: str) -> exp.DataType:
    return exp.DataType.build(name, dialect="duckdb")


def cast(node: exp.Expr, want: BqType) -> exp.Expr:
    """A DuckDB cast of a (rewritten) expression, with its type noted."""
    result = exp.Cast(this=node, to=copied(_duckdb_type(want.duckdb)))
    return noted(result, want)


def cast_to(node: exp.Expr, duckdb_type: str) -> exp.Expr:
    """A DuckDB cast to any DuckDB type."""
    return exp.Cast(this=node, to=copied(_duckdb_type(duckdb_type)))


def noted(node: exp.Expr, kind: BqType) -> exp.Expr:
    """The node itself, with its BigQuery type noted."""
    node.type = to_sqlglot(kind)
    return node


def call(name: str, *arguments: exp.Expr) -> exp.Expr:
    """A call of a DuckDB function or macro, written as it is."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def text(value: str) -> exp.Expr:
    """A DuckDB text literal."""
    return exp.Literal.string(value)


def number(value: int) -> exp.Expr:
    """A DuckDB integer literal."""
    return exp.Literal.number(value) if value >= 0 else exp.Neg(this=exp.Literal.number(-value))
