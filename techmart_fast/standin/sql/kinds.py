"""Types of expressions: sqlglot's annotations as BigQuery types, common types, coercion.

https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules
"""

import functools
from collections.abc import Iterable

from sqlglot import exp

from techmart_fast.standin.bqtypes import NUMBERS, BqType, Kind
from techmart_fast.standin.failure import ServiceError, invalid_query

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
        assert kind.element is not None
        return exp.DataType(
            this=exp.DType.ARRAY, expressions=[to_sqlglot(kind.element)], nested=True
        )
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


_FROM_TEXT = (Kind.DATE, Kind.TIMESTAMP, Kind.DATETIME, Kind.TIME)


def common_type(nodes: Iterable[exp.Expr], *, what: str) -> BqType:
    """The type that all of some expressions become where they meet.

    Raises:
        ServiceError: `invalidQuery`, there is none.
    """
    known = [(kind_of(node), node) for node in nodes]
    found: BqType | None = None
    loose: BqType | None = None
    for kind, node in known:
        if kind == NULL:
            continue
        if is_text_literal(node) or is_float_literal(node):
            loose = kind if loose is None else merged(loose, kind)
            continue
        joined = kind if found is None else merged(found, kind)
        if joined is None:
            raise _no_common(what, [one for one, _ in known])
        found = joined
    if found is None:
        return loose or NULL
    if loose is not None:
        fits = (loose == STRING and (found == STRING or found.kind in _FROM_TEXT)) or (
            loose == FLOAT64 and found.kind in NUMBERS
        )
        if not fits:
            raise _no_common(what, [one for one, _ in known])
        if loose == FLOAT64 and found == INT64:
            return FLOAT64
    return found


def _no_common(what: str, kinds: list[BqType]) -> ServiceError:
    listed = ", ".join(map(str, kinds))
    return invalid_query(f"No matching signature for {what} for argument types: {listed}.")


def merged(left: BqType, right: BqType) -> BqType | None:
    """The common supertype of two types, None without one."""
    if left == right or right == NULL:
        return left
    if left == NULL:
        return right
    if left.kind in NUMBERS and right.kind in NUMBERS:
        return max(left, right, key=lambda one: NUMBERS.index(one.kind))
    if left.kind is right.kind is Kind.ARRAY:
        assert left.element is not None
        assert right.element is not None
        element = merged(left.element, right.element)
        # Arrays are not coerced, only the empty one takes any type.
        if element in (left.element, right.element) and NULL in (left.element, right.element):
            return BqType(Kind.ARRAY, element=element)
        return None
    if left.kind is right.kind is Kind.STRUCT and len(left.fields) == len(right.fields):
        pairs = zip(left.fields, right.fields, strict=True)
        fields = [(one[0], merged(one[1], other[1])) for one, other in pairs]
        if all(kind is not None for _, kind in fields):
            return BqType(
                Kind.STRUCT, fields=tuple((name, kind) for name, kind in fields if kind is not None)
            )
    return None


def can_become(node: exp.Expr, want: BqType) -> bool:
    """Whether an expression is coerced to a type where that is expected."""
    have = kind_of(node)
    if have in (want, NULL):
        return True
    if is_text_literal(node) and want.kind in _FROM_TEXT:
        return True
    if is_float_literal(node) and want.kind in (Kind.NUMERIC, Kind.BIGNUMERIC):
        return True
    members = _members(node)
    if want.kind is Kind.STRUCT and members is not None:
        pairs = zip(members, want.fields, strict=False)
        return len(members) == len(want.fields) and all(can_become(a, b) for a, (_, b) in pairs)
    elements = _elements(node)
    if want.element is not None and elements is not None:
        return all(can_become(one, want.element) for one in elements)
    return merged(have, want) == want


def _members(node: exp.Expr) -> list[exp.Expr] | None:
    """The values of a (rewritten) struct that is written out."""
    if not isinstance(node, exp.Struct):
        return None
    return [one.expression for one in node.expressions]


def _elements(node: exp.Expr) -> list[exp.Expr] | None:
    """The elements of a (rewritten) array that is written out."""
    if isinstance(node, exp.Cast):
        node = node.this
    if not isinstance(node, exp.Array) or any(one.find(exp.Query) for one in node.expressions):
        return None
    return list(node.expressions)


@functools.cache
def _duckdb_type(name: str) -> exp.DataType:
    return exp.DataType.build(name, dialect="duckdb")


def cast(node: exp.Expr, want: BqType) -> exp.Expr:
    """A DuckDB cast of a (rewritten) expression, with its type noted."""
    result = exp.Cast(this=node, to=_duckdb_type(want.duckdb).copy())
    return noted(result, want)


def cast_to(node: exp.Expr, duckdb_type: str) -> exp.Expr:
    """A DuckDB cast to any DuckDB type."""
    return exp.Cast(this=node, to=_duckdb_type(duckdb_type).copy())


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


def coerced(node: exp.Expr, want: BqType, *, what: str) -> exp.Expr:
    """A (rewritten) expression as a type that it is coerced to.

    Raises:
        ServiceError: `invalidQuery`, it is not.
    """
    have = kind_of(node)
    if not can_become(node, want):
        raise invalid_query(f"{what} expects {want}, not {have}: {shown(node)}")
    if have == want:
        return node
    written = literal_of(node)
    if written is not None and not written.is_string and want.kind in NUMBERS:
        return cast(text(written.name), want)
    return rebuilt(node, want, what=what) or cast(node, want)


def rebuilt(node: exp.Expr, want: BqType, *, what: str) -> exp.Expr | None:
    """A struct or array that is written out, made anew with other names and types of its parts.

    DuckDB's own cast of structs goes by name, BigQuery's by position. None for anything else.
    """
    members = _members(node)
    if want.kind is Kind.STRUCT and members is not None:
        pairs: list[exp.Expr] = [
            exp.PropertyEQ(
                this=exp.to_identifier(name.lower(), quoted=True),
                expression=coerced(value, kind, what=what),
            )
            for value, (name, kind) in zip(members, want.fields, strict=True)
        ]
        return noted(exp.Struct(expressions=pairs), want)
    elements = _elements(node)
    if want.element is not None and elements is not None:
        parts = [coerced(one, want.element, what=what) for one in elements]
        return cast(exp.Array(expressions=parts), want)
    return None
