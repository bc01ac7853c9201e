"""Query parameters: their types for the analysis, their values for DuckDB to bind.

Values are bound as texts (or lists of texts) and cast to the parameter's type by DuckDB, so that
they never become part of a statement. https://cloud.google.com/bigquery/docs/parameterized-queries
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from sqlglot import exp

from techmart_fast.standin.bignumeric import held_text
from techmart_fast.standin.bqtypes import BqType, Kind
from techmart_fast.standin.failure import ServiceError, invalid_query, not_implemented
from techmart_fast.standin.sql.kinds import to_sqlglot

Body = Mapping[str, object]
Value = str | bytes | None | list["Value"] | dict[str, "Value"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """Types and values by lower-case name; positional ones are named `p1`, `p2` and so on."""

    types: Mapping[str, BqType]
    values: Mapping[str, Value]

    def put_types(self, statement: exp.Expr) -> None:
        """Give every parameter in a statement its type, as a cast.

        Raises:
            ServiceError: `invalidQuery`, a parameter is not given.
        """
        place = 0
        for node in list(statement.find_all(exp.Parameter, exp.Placeholder)):
            if isinstance(node, exp.Placeholder):
                place += 1
                name = f"p{place}"
            elif isinstance(node.this, exp.Var):
                name = node.this.name.lower()
            else:
                raise not_implemented(f"system variables: {node.sql(dialect='bigquery')}")
            if name not in self.types:
                raise invalid_query(f"Query parameter '{name}' not found")
            bound = exp.Parameter(this=exp.Var(this=name))
            node.replace(exp.Cast(this=bound, to=to_sqlglot(self.types[name])))

    def used_in(self, statement: exp.Expr) -> dict[str, Value]:
        """The values that a (rewritten) statement binds."""
        names = {node.this.name for node in statement.find_all(exp.Parameter)}
        return {name: self.values[name] for name in sorted(names)}


def parameters_of(settings: Mapping[str, object]) -> Parameters:
    """The `queryParameters` of a query job.

    Raises:
        ServiceError: `invalid`, one is incomplete.
    """
    given = settings.get("queryParameters") or ()
    if not isinstance(given, Sequence):
        raise ServiceError("invalid", "queryParameters must be a list.")
    types: dict[str, BqType] = {}
    values: dict[str, Value] = {}
    for place, one in enumerate(given, start=1):
        name = str(one.get("name") or f"p{place}").lower()
        types[name] = _type(one.get("parameterType") or {})
        values[name] = _value(types[name], one.get("parameterValue") or {})
    return Parameters(types, values)


def _type(body: Body) -> BqType:
    word = str(body.get("type", "")).upper()
    if word == "ARRAY":
        element = body.get("arrayType")
        return BqType(Kind.ARRAY, element=_type(element if isinstance(element, Mapping) else {}))
    if word == "STRUCT":
        inner = cast("Sequence[Body]", body.get("structTypes") or ())
        return BqType(
            Kind.STRUCT,
            fields=tuple((str(one.get("name")), _type(cast("Body", one["type"]))) for one in inner),
        )
    aliases = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "DECIMAL": "NUMERIC"}
    try:
        return BqType(Kind(aliases.get(word, word)))
    except ValueError:
        raise ServiceError("invalid", f"Unknown type of a query parameter: {word}") from None


def _value(kind: BqType, body: Body) -> Value:
    if kind.kind is Kind.ARRAY:
        listed = cast("Sequence[Body]", body.get("arrayValues") or ())
        return [_value(kind.item, one) for one in listed]
    if kind.kind is Kind.STRUCT:
        inner = cast("Mapping[str, Body]", body.get("structValues") or {})
        return {name.lower(): _value(one, inner.get(name) or {}) for name, one in kind.fields}
    value = body.get("value")
    if value is None:
        return None
    if kind.kind is Kind.BYTES:
        try:
            return base64.b64decode(str(value), validate=True)
        except binascii.Error:
            raise ServiceError("invalid", "A BYTES parameter is not base64.") from None
    return held_text(str(value)) if kind.kind is Kind.BIGNUMERIC else str(value)
