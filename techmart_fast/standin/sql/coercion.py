"""Types where expressions meet: the common type of some, and what becomes which where.

https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules
"""

import re
from collections.abc import Iterable, Mapping

from sqlglot import exp

from techmart_fast.standin.bignumeric import held_text
from techmart_fast.standin.bqtypes import NUMBERS, BqType, Kind
from techmart_fast.standin.failure import ServiceError, invalid_query, not_implemented
from techmart_fast.standin.sql.kinds import (
    BIGNUMERIC,
    FLOAT64,
    INT64,
    NULL,
    STRING,
    cast,
    is_float_literal,
    is_text_literal,
    kind_of,
    literal_of,
    noted,
    shown,
    text,
)

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
    if right in (left, NULL):
        return left
    if left == NULL:
        return right
    if left.kind in NUMBERS and right.kind in NUMBERS:
        return max(left, right, key=lambda one: NUMBERS.index(one.kind))
    if left.kind is right.kind is Kind.ARRAY:
        # Arrays are not coerced, only the empty one takes any type.
        items = (left.item, right.item)
        return left if items[1] == NULL else right if items[0] == NULL else None
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
    if written is not None:
        check_text(written.name, want)
    if written is not None and not written.is_string and want.kind in NUMBERS:
        return cast(text(written.name), want)
    refuse_binary(have, want)
    return rebuilt(node, want, what=what) or cast(node, want)


def refuse_binary(have: BqType, want: BqType) -> None:
    """Refuse a computed float as BIGNUMERIC: its binary value has more digits than are held.

    Raises:
        ServiceError: `notImplemented`.
    """
    if (have, want) == (FLOAT64, BIGNUMERIC):
        raise not_implemented("FLOAT64 as BIGNUMERIC")


def check_text(written: str, want: BqType) -> None:
    """Refuse a literal text that can't become a value of a type.

    Raises:
        ServiceError: `invalidQuery`; `notImplemented` for a BIGNUMERIC with too many digits.
    """
    if want == BIGNUMERIC:
        held_text(written)
    form = _FORMS.get(want.kind)
    if form is not None and not form.fullmatch(written):
        raise invalid_query(f"Could not cast literal {written[:80]!r} to type {want}")


# What BigQuery reads as a value of these types; DuckDB would take more. For texts that are not
# literals the same stands in macros.sql.
_FORMS: Mapping[Kind, re.Pattern[str]] = {
    Kind.INT64: re.compile(r"\s*[+-]?(\d+|0[xX][0-9a-fA-F]+)\s*", re.ASCII),
    Kind.BOOL: re.compile(r"true|false", re.IGNORECASE),
    Kind.DATE: re.compile(r"\d{1,4}-\d{1,2}-\d{1,2}", re.ASCII),
    Kind.TIMESTAMP: re.compile(
        r"\d{1,4}-\d{1,2}-\d{1,2}([ tT]\d{1,2}:\d{1,2}(:\d{1,2}(\.\d{1,6})?)?)?"
        r"( ?([zZ]|UTC|[+-]\d{1,2}(:\d{2})?))?",
        re.ASCII,
    ),
}


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
