"""Arrays and structs.

https://cloud.google.com/bigquery/docs/reference/standard-sql/array_functions
https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#array_subscript_operator
"""

from sqlglot import exp

from techmart_fast.standin.bqtypes import BqType, Kind
from techmart_fast.standin.failure import invalid_query, not_implemented
from techmart_fast.standin.sql.coercion import coerced, common_type
from techmart_fast.standin.sql.kinds import (
    INT64,
    NULL,
    STRING,
    call,
    cast,
    from_sqlglot,
    kind_of,
    shown,
)
from techmart_fast.standin.sql.rules import always, plain, rule

WHOLES = BqType(Kind.ARRAY, element=INT64)


def _subquery(node: exp.Expr) -> exp.Query | None:
    inner = node.expressions[0].unnest() if len(node.expressions) == 1 else None
    return inner if isinstance(inner, exp.Query) else None


def _array_type(node: exp.Expr) -> BqType:
    query = _subquery(node)
    if query is None:
        element = common_type(node.expressions, what="ARRAY") if node.expressions else NULL
        if element.kind is Kind.ARRAY:
            raise invalid_query("Cannot construct array with element type ARRAY.")
        return BqType(Kind.ARRAY, element=element)
    struct = from_sqlglot(query.meta.get("query_type"))
    if struct is None:
        raise not_implemented(f"an array whose type it can't tell: {shown(node)}")
    if query.args.get("kind") == "STRUCT":
        return BqType(Kind.ARRAY, element=struct)
    if len(struct.fields) != 1:
        raise invalid_query(
            "ARRAY subquery cannot have more than one column unless using SELECT AS STRUCT"
        )
    return BqType(Kind.ARRAY, element=struct.fields[0][1])


@rule(exp.Array, type_of=_array_type)
def _array(node: exp.Expr) -> exp.Expr:
    if _subquery(node) is not None:
        return node
    kind = kind_of(node)
    node.set("expressions", [coerced(one, kind.item, what="ARRAY") for one in node.expressions])
    return cast(node, kind) if kind.item != NULL else node


def _struct_type(node: exp.Expr) -> BqType:
    return BqType(
        Kind.STRUCT, fields=tuple((name, kind_of(value)) for name, value in _members(node))
    )


def _members(node: exp.Expr) -> list[tuple[str, exp.Expr]]:
    """Names and values of a STRUCT(…); a column's own name is its field's."""
    members = []
    for place, one in enumerate(node.expressions, start=1):
        if isinstance(one, (exp.PropertyEQ, exp.Alias)):
            value = one.expression if isinstance(one, exp.PropertyEQ) else one.this
            members.append((one.alias_or_name or one.this.name, value))
        else:
            named = isinstance(one, (exp.Column, exp.Dot))
            members.append((one.name if named else f"_field_{place}", one))
    names = [name.lower() for name, _ in members]
    if len(set(names)) != len(names):
        raise not_implemented(f"a struct with two fields of one name: {shown(node)}")
    return members


@rule(exp.Struct, type_of=_struct_type)
def _struct(node: exp.Expr) -> exp.Expr:
    # The names come from the type: a column may have been rewritten and lost its own.
    pairs: list[exp.Expr] = [
        exp.PropertyEQ(this=exp.to_identifier(name, quoted=True), expression=value)
        for (name, _), (_, value) in zip(kind_of(node).fields, _members(node), strict=True)
    ]
    return exp.Struct(expressions=pairs)


def order_by_values(select: exp.Select) -> None:
    """Let a SELECT AS STRUCT order by its columns' values, as it has no columns in DuckDB."""
    values = {one.alias: one.this for one in select.selects if isinstance(one, exp.Alias)}
    order = select.args.get("order")
    if order is None:
        return
    for column in list(order.find_all(exp.Column)):
        if not column.table and column.name in values:
            column.replace(values[column.name].copy())


def _tuple_type(node: exp.Expr) -> BqType:
    fields = ((f"_field_{n}", kind_of(one)) for n, one in enumerate(node.expressions, start=1))
    return BqType(Kind.STRUCT, fields=tuple(fields))


@rule(exp.Tuple, type_of=_tuple_type)
def _tuple(node: exp.Expr) -> exp.Expr:
    pairs: list[exp.Expr] = [
        exp.PropertyEQ(this=exp.to_identifier(f"_field_{n}", quoted=True), expression=one)
        for n, one in enumerate(node.expressions, start=1)
    ]
    return exp.Struct(expressions=pairs)


plain(exp.PropertyEQ, type_of=lambda node: kind_of(node.expression))


def _element_type(node: exp.Expr) -> BqType:
    kind = kind_of(node.this)
    if kind.element is None:
        raise not_implemented(f"a subscript of {kind}: {shown(node)}")
    return kind.element


@rule(exp.Bracket, type_of=_element_type)
def _element(node: exp.Expr) -> exp.Expr:
    if len(node.expressions) != 1 or isinstance(node.expressions[0], exp.Slice):
        raise not_implemented(f"this subscript: {shown(node)}")
    place = coerced(node.expressions[0], INT64, what="a subscript")
    if not node.args.get("offset"):
        place = exp.Paren(this=exp.Add(this=place, expression=exp.Literal.number(1)))
    name = "bq_safe_element" if node.args.get("safe") else "bq_element"
    return call(name, node.this, place)


def _array_argument(node: exp.Expr) -> BqType:
    kind = kind_of(node.this)
    if kind.kind is not Kind.ARRAY:
        raise invalid_query(f"{node.key.upper()} expects an array, not {kind}.")
    return kind


def _length_type(node: exp.Expr) -> BqType:
    _array_argument(node)
    return INT64


@rule(exp.ArraySize, type_of=_length_type)
def _length(node: exp.Expr) -> exp.Expr:
    return cast(call("len", node.this), INT64)


@rule(exp.ArrayReverse, type_of=_array_argument)
def _reversed(node: exp.Expr) -> exp.Expr:
    return call("list_reverse", node.this)


@rule(
    exp.ArrayConcat,
    type_of=lambda node: common_type([node.this, *node.expressions], what="ARRAY_CONCAT"),
)
def _concatenated(node: exp.Expr) -> exp.Expr:
    result, *others = [
        coerced(one, kind_of(node), what="ARRAY_CONCAT") for one in [node.this, *node.expressions]
    ]
    for one in others:
        result = call("bq_array_concat", result, one)
    return result


@rule(exp.ArrayToString, type_of=always(STRING))
def _to_string(node: exp.Expr) -> exp.Expr:
    if _array_argument(node).element not in (STRING, NULL) or node.args.get("null"):
        raise not_implemented(f"this use of ARRAY_TO_STRING: {shown(node)}")
    return call("array_to_string", node.this, node.expression)


@rule(exp.GenerateSeries, type_of=always(WHOLES))
def _generated(node: exp.Expr) -> exp.Expr:
    parts = [
        node.args[part] for part in ("start", "end", "step") if node.args.get(part) is not None
    ]
    return call("generate_series", *(coerced(one, INT64, what="GENERATE_ARRAY") for one in parts))
