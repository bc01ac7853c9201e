"""Values on their way into a table's columns: coercion, NUMERIC(p, s), no null arrays.

https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules#supertypes
https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#parameterized_decimal_type
"""

from collections.abc import Sequence

from sqlglot import exp

from techmart_fast.standin.bqtypes import BqType, Field, Kind, quoted
from techmart_fast.standin.failure import invalid_query, not_implemented
from techmart_fast.standin.resources import Table
from techmart_fast.standin.sql.analyse import Analysed, duckdb_sql
from techmart_fast.standin.sql.coercion import can_become, coerced, merged
from techmart_fast.standin.sql.kinds import call, cast, cast_to, kind_of, noted
from techmart_fast.standin.sql.trees import copied
from techmart_fast.standin.work import Work, physical


def assigned(value: exp.Expr, column: Field) -> exp.Expr:
    """A (rewritten) value as a column stores it.

    Raises:
        ServiceError: `invalidQuery`, the type does not fit.
    """
    inner = value.this if isinstance(value, exp.Alias) else value
    have, want = kind_of(inner), column.type
    if not _fits(have, want, inner):
        raise invalid_query(
            f"Value has type {have} which cannot be inserted into column {column.name}, "
            f"which has type {want}"
        )
    known = _is_within(inner.type, column)
    result = inner if _equal(have, want) else coerced(inner, want, what=f"column {column.name}")
    if column.limited_duckdb != want.duckdb and not known:
        result = _limited(result, column)
    if column.kind is Kind.STRING and "maxLength" in column.details:
        raise not_implemented("STRING columns with a maximum length")
    if column.mode == "REPEATED":
        result = call("bq_stored_array", result)
    if column.mode == "REQUIRED" and isinstance(inner, exp.Null):
        raise invalid_query(f"Required field {column.name} cannot be null")
    result.type = inner.type
    return result


def _limited(value: exp.Expr, column: Field) -> exp.Expr:
    """A value within the NUMERIC(p, s) of a column: rounded, or an error where it is too large.

    Rounding takes a 128-bit division, 0.4 µs a value. Most values have no more decimals than the
    column already: such a one is what its floating-point image becomes, and stays as it is.
    """
    rounded = cast(cast_to(value, column.limited_duckdb), column.type)
    if column.kind is not Kind.NUMERIC or not isinstance(value, exp.Column):
        return rounded
    image = cast_to(copied(value), "DOUBLE")
    guess = exp.TryCast(this=image, to=exp.DataType.build(column.limited_duckdb, dialect="duckdb"))
    proven = exp.EQ(this=cast(guess, column.type), expression=copied(value))
    result = exp.Case(ifs=[exp.If(this=proven, true=copied(value))], default=rounded)
    return noted(result, column.type)


def _equal(one: BqType, other: BqType) -> bool:
    return one.duckdb.lower() == other.duckdb.lower() and one.kind is not Kind.NULL


def _fits(have: BqType, want: BqType, value: exp.Expr) -> bool:
    if _equal(have, want) or have.kind is Kind.NULL:
        return True
    if have.kind is want.kind is Kind.ARRAY:
        return have.item.kind is Kind.NULL or _fits(have.item, want.item, exp.Array())
    if have.kind is want.kind is Kind.STRUCT:
        if [name.lower() for name, _ in have.fields] != [name.lower() for name, _ in want.fields]:
            raise not_implemented("storing a struct whose fields are named otherwise")
        pairs = zip(have.fields, want.fields, strict=True)
        return all(_fits(a[1], b[1], exp.Array()) for a, b in pairs)
    return can_become(value, want) if value.type is not None else merged(have, want) == want


def _is_within(kind: exp.DataType | None, column: Field) -> bool:
    """Whether a value comes from a column whose own NUMERIC(p, s) is no wider."""
    if kind is None or not column.limits or len(kind.expressions) != 2:
        return False
    precision, scale = (int(one.name) for one in kind.expressions)
    most, places = int(column.details["precision"]), int(column.details.get("scale", "0"))
    return scale <= places and precision - scale <= most - places


def check_columns(table: Table, columns: Sequence[Field], width: int) -> None:
    """Refuse rows of a width that do not fit some columns of a table.

    Raises:
        ServiceError: `invalidQuery`, the width differs, a column is named twice, or a required one
            not at all.
    """
    if width != len(columns):
        raise invalid_query(
            f"Inserted row has wrong column count; Has {width}, expected {len(columns)}"
        )
    given = {one.name.lower() for one in columns}
    if len(given) != len(columns):
        raise invalid_query("A column is named twice in the INSERT column list.")
    for one in table.schema:
        if one.mode == "REQUIRED" and one.name.lower() not in given:
            raise invalid_query(f"Required column {one.name} is not given a value")


def absent_arrays(table: Table, columns: Sequence[Field]) -> list[Field]:
    """The array columns that an INSERT does not name: they are empty, not null."""
    given = {one.name.lower() for one in columns}
    return [one for one in table.schema if one.mode == "REPEATED" and one.name.lower() not in given]


def insert_rows(
    work: Work,
    table: Table,
    columns: Sequence[Field],
    query: Analysed,
    parameters: dict[str, object],
) -> int:
    """Insert a query's rows into some columns of a table, by position; returns their number.

    Raises:
        ServiceError: `invalidQuery`, columns and values do not fit.
    """
    check_columns(table, columns, len(query.names))
    arrays = absent_arrays(table, columns)
    names = ", ".join(quoted(one.name) for one in (*columns, *arrays))
    source = _assigned_query(query, columns)
    if arrays:
        empty = ", ".join("[]" for _ in arrays)
        source = f"SELECT *, {empty} FROM ({source})"
    sql = f"INSERT INTO {physical(table.ref)} ({names}) {source}"
    return work.count(sql, parameters or None)


def _assigned_query(query: Analysed, columns: Sequence[Field]) -> str:
    tree = query.tree
    if isinstance(tree, exp.Select) and not tree.args.get("distinct"):
        aliases = [one.alias_or_name for one in tree.selects]
        values = [assigned(one, column) for one, column in zip(tree.selects, columns, strict=True)]
        tree = copied(tree)
        tree.set(
            "expressions",
            [exp.alias_(one, name, quoted=True) for one, name in zip(values, aliases, strict=True)],
        )
        return duckdb_sql(tree)
    # A set operation or DISTINCT must be computed before its rows are converted.
    names = [f"c{place}" for place in range(len(columns))]
    outer = []
    for name, column, kind in zip(names, columns, query.known_kinds(), strict=True):
        value = exp.column(name, quoted=True)
        value.type = kind
        outer.append(duckdb_sql(assigned(value, column)))
    listed = ", ".join(map(quoted, names))
    return f"SELECT {', '.join(outer)} FROM ({duckdb_sql(tree)}) AS q({listed})"
