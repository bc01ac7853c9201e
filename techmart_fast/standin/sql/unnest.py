"""UNNEST in FROM: arrays of structs whose fields are columns, and offsets that begin at 0.

https://cloud.google.com/bigquery/docs/reference/standard-sql/query-syntax#unnest_operator
"""

from collections.abc import Iterator

from sqlglot import exp

from techmart_fast.standin.bqtypes import Kind
from techmart_fast.standin.failure import not_implemented
from techmart_fast.standin.sql.kinds import INT64, from_sqlglot, noted
from techmart_fast.standin.sql.trees import copied

_ELEMENT = "_element"
_ROWS = "_elements"
_STAR = "star"


def expose_fields(statement: exp.Expr) -> None:
    """Make the fields of unnested structs columns, where the text itself tells their names.

    sqlglot knows such an array's type too late: `SELECT a FROM UNNEST([STRUCT(1 AS a)]) AS s`
    becomes `SELECT a FROM (SELECT e.a FROM UNNEST(…) AS e) AS s`.
    """
    for select in statement.find_all(exp.Select):
        select.meta[_STAR] = any(one.is_star for one in select.expressions)
    for node in list(statement.find_all(exp.Unnest)):
        if not isinstance(node.parent, (exp.From, exp.Join)) or len(node.expressions) != 1:
            continue
        names = _field_names(node.expressions[0])
        alias = _alias(node)
        if not names or node.args.get("offset") or (alias and _used_whole(node, alias)):
            if not alias:
                node.set("alias", exp.TableAlias(columns=[exp.to_identifier(_ELEMENT)]))
            continue
        inner = copied(node)
        inner.set("alias", exp.TableAlias(columns=[exp.to_identifier(_ELEMENT)]))
        fields = [exp.column(name, table=_ELEMENT).as_(name) for name in names]
        query = exp.Select(expressions=fields).from_(inner, copy=False)
        node.replace(query.subquery(alias or _ROWS, copy=False))


def unexploded(node: exp.Unnest) -> exp.Expr:
    """An UNNEST as DuckDB has it: one column, also for an array of structs.

    Raises:
        ServiceError: a star stands for the fields of a struct: sqlglot adds the struct itself.
    """
    kind, select = from_sqlglot(node.type), node.find_ancestor(exp.Select)
    if kind is not None and kind.kind is Kind.STRUCT and select and select.meta.get(_STAR):
        raise not_implemented("SELECT * over an array of structs: name the fields")
    node.set("explode_array", False)
    return node


def _alias(node: exp.Unnest) -> str:
    """The name of the element; BigQuery's `UNNEST(a) AS x` names the value, not a table."""
    columns = node.alias_column_names
    return columns[0] if columns else node.alias


def _used_whole(node: exp.Unnest, alias: str) -> bool:
    """Whether a query uses the element itself, not only its fields."""
    select = node.find_ancestor(exp.Select)
    if select is None:
        return False
    columns = (one for one in select.find_all(exp.Column) if one.name.lower() == alias.lower())
    return any(not one.table and not isinstance(one.parent, exp.Dot) for one in columns)


def _field_names(array: exp.Expr) -> tuple[str, ...]:
    """The field names of an array of structs, if its text tells them."""
    if isinstance(array, exp.Cast) and array.to.this == exp.DType.ARRAY:
        (element,) = array.to.expressions or (None,)
        if isinstance(element, exp.DataType) and element.this == exp.DType.STRUCT:
            return tuple(one.name for one in element.expressions if isinstance(one, exp.ColumnDef))
    if isinstance(array, exp.Array) and array.expressions:
        first = array.expressions[0]
        if isinstance(first, exp.Struct):
            members = first.expressions
            if all(isinstance(one, (exp.PropertyEQ, exp.Alias)) for one in members):
                return tuple(one.alias_or_name or one.this.name for one in members)
    return ()


def placed(column: exp.Column) -> exp.Expr:
    """A column of an UNNEST, as a field of the unnested struct or as an offset from 0."""
    if not column.table:
        return column
    name = column.name.lower()
    for node in _in_reach(column):
        if node.alias.lower() != column.table.lower():
            continue
        offset = node.args.get("offset")
        if isinstance(offset, exp.Expr) and offset.name.lower() == name:
            # DuckDB's ordinality begins at 1.
            less = exp.Sub(this=copied(column), expression=exp.Literal.number(1))
            return noted(exp.Paren(this=less), INT64)
        kind, value = from_sqlglot(node.type), _alias(node)
        if kind is not None and kind.kind is Kind.STRUCT and value.lower() != name:
            whole = exp.column(value, table=column.table)
            field = exp.Dot(this=whole, expression=exp.to_identifier(name, quoted=True))
            field.type = column.type
            return field
    return column


def _in_reach(column: exp.Column) -> Iterator[exp.Unnest]:
    """The UNNESTs of the enclosing queries, nearest first."""
    select = column.find_ancestor(exp.Select)
    while select is not None:
        joins = select.args.get("joins") or ()
        for source in (select.args.get("from_"), *joins):
            if source is not None and isinstance(source.this, exp.Unnest):
                yield source.this
        select = select.find_ancestor(exp.Select)
