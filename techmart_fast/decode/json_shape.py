"""The shape of a feed's records: their keys, in one order, with the same signs in between.

One program writes a feed, so that nearly all of its records differ in their values only: what
stands between these, the *literals*, is the same in all of them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from techmart_fast.decode.json_plan import JsonPlan

_AGREEING = 0.75
"""So many of the records that are looked at must have the shape."""

_NUMBER = r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,9})?"
_NUMBER_BETWEEN = re.compile(rf"[ \t]*:[ \t]*(?P<number>{_NUMBER})[ \t]*[,}}][ \t]*")


@dataclass(frozen=True, slots=True)
class Value:
    """A value that differs from record to record: a text, or a number and what stands around it.

    `column`: of what a record is cut into at its quotation marks, counted from 0. `number`, for
    numbers, is the regular expression (RE2) that such a column must match; its first `before` and
    last `after` characters are not the number's own.
    """

    name: str
    column: int
    number: str | None = None
    before: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """Literals and values in turn; the first and the last are literals.

    `columns`: how many there are if a record is cut at its quotation marks.
    """

    literals: tuple[str, ...]
    values: tuple[Value, ...]
    columns: int

    @classmethod
    def of(cls, record: bytes, plan: JsonPlan) -> "Shape | None":
        """The shape of a record; None where it has none that could be common.

        That is: no object of texts, numbers, `true`, `false` and `null` alone, a key that stands
        twice, an escape, a line end, or a value of another type than its field has. Numbers of a
        field are as JSON has them, and as `DECODED_NUMBER` surely holds them.
        """
        scalars = _scalars(record, plan)
        if scalars is None:
            return None
        parts = record.decode().split('"')
        literals, literal, values, place = [], parts[0], list[Value](), 1
        while place < len(parts) - 1:
            key, between = parts[place], parts[place + 1]
            literal += f'"{key}"'
            if between.strip(" \t") == ":":
                literals.append(f'{literal}{between}"')
                values.append(Value(key, place + 2))
                literal, place = f'"{parts[place + 3]}', place + 4
            elif number := _NUMBER_BETWEEN.fullmatch(between):
                before, after = number.span("number")
                literals.append(literal)
                values.append(
                    Value(
                        key,
                        place + 1,
                        _around_number(between[:before], between[after:]),
                        before,
                        len(between) - after,
                    )
                )
                literal, place = "", place + 2
            elif scalars[key] is None or key not in plan.names.values():
                literal, place = literal + between, place + 2
            else:
                return None
        return cls((*literals, literal), tuple(values), len(parts)) if values else None

    @classmethod
    def common(cls, records: Iterable[bytes], plan: JsonPlan) -> "Shape | None":
        """The shape that most of some records have, if there is one."""
        shapes = Counter(cls.of(record, plan) for record in records)
        if not shapes:
            return None
        ((shape, count),) = shapes.most_common(1)
        return shape if count >= _AGREEING * shapes.total() else None


def _scalars(record: bytes, plan: JsonPlan) -> Mapping[str, object] | None:
    """The values of an object of scalars in one line, if known fields have the types they should.

    That it has so many quotation marks as its keys and texts have means that no key is there twice.
    """
    if any(sign in record for sign in b"\\\r\n"):
        return None
    try:
        found = orjson.loads(record)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict) or any(isinstance(one, dict | list) for one in found.values()):
        return None
    for field, name in plan.names.items():
        value = found.get(name)
        kinds = (int, float) if field in plan.numbers else (str,)
        if value is not None and type(value) not in kinds:
            return None
    marks = sum(4 if isinstance(one, str) else 2 for one in found.values())
    return found if record.count(b'"') == marks else None


def _around_number(before: str, after: str) -> str:
    return rf"\A{re.escape(before)}{_NUMBER}{re.escape(after)}\z"
