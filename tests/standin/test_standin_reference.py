"""Expressions mean what Google's reference implementation of the dialect says."""

import base64
import datetime as dt
import json
import math
from collections.abc import Sequence
from decimal import Decimal

import duckdb
import pytest

from techmart_fast.standin.bqtypes import BqType
from techmart_fast.standin.failure import ServiceError
from techmart_fast.standin.sql.analyse import analyse_query
from techmart_fast.standin.sql.names import Names
from techmart_fast.standin.sql.parameters import Parameters
from techmart_fast.standin.sql.parse import parse_query
from techmart_fast.standin.sql.statements import result_kinds
from techmart_fast.standin.storage import Storage
from tests.standin.oracle import Answer, answer, evaluated, recorded

SIZE = 40
GIVEN = [one for one in recorded() if not one.is_refused]
REFUSED = [one.sql for one in recorded() if one.is_refused]


GROUPS = [GIVEN[start : start + SIZE] for start in range(0, len(GIVEN), SIZE)]


def computed(storage: Storage, expressions: Sequence[str]) -> list[tuple[BqType, object]]:
    """Types and values of expressions in the stand-in."""
    columns = ", ".join(f"({sql}) AS x{place}" for place, sql in enumerate(expressions))
    with storage.work() as work:
        names = Names(work=work, project="p")
        analysed = analyse_query(parse_query(f"SELECT {columns}"), names, Parameters({}, {}))
        result = work.query(analysed.sql, {})
        kinds = result_kinds(result.types, analysed)
        (row,) = result.to_arrow_table().to_pylist()
    return list(zip(kinds, row.values(), strict=True))


def plain(value: object) -> object:
    """A value as JSON would have it; numbers stay exact."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name.lower(): plain(one) for name, one in value.items()}
    return value


def equal(found: object, expected: object) -> bool:
    """Whether a value is what the reference's JSON says: exactly, also for floats."""
    if isinstance(found, dt.datetime):
        return isinstance(expected, str) and found == dt.datetime.fromisoformat(expected)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(equal, found, expected))
    if isinstance(found, dict) and isinstance(expected, dict):
        return list(found) == [name.lower() for name in expected] and all(
            map(equal, found.values(), expected.values())
        )
    if isinstance(found, float):
        # The reference writes 17 digits; both must read as the same number (or not be one).
        other = float(str(expected))
        return found == other or (math.isnan(found) and math.isnan(other))
    if isinstance(found, int | Decimal) and not isinstance(found, bool):
        return not isinstance(expected, bool) and found == Decimal(str(expected))
    return type(found) is type(expected) and found == expected


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0].sql[:30])
def test_an_expression_has_the_type_and_value_that_the_reference_gives_it(
    group: list[Answer], storage: Storage
) -> None:
    found = computed(storage, [one.sql for one in group])
    wrong = {
        one.sql: (str(kind), value, one.kind, one.value)
        for one, (kind, value) in zip(group, found, strict=True)
        if not equal(plain(value), json.loads(one.value or "null", parse_float=Decimal))
        or ("STRUCT" not in str(one.kind) and str(kind) != one.kind)
    }
    assert wrong == {}


@pytest.mark.parametrize("sql", REFUSED)
def test_an_expression_that_the_reference_refuses_is_refused(sql: str, storage: Storage) -> None:
    with pytest.raises((ServiceError, duckdb.Error)):
        computed(storage, [sql])


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group[0].sql[:30])
def test_the_recorded_values_are_the_references(group: list[Answer]) -> None:
    assert evaluated([one.sql for one in group]) == group


def test_the_recorded_refusals_are_the_references() -> None:
    assert [sql for sql in REFUSED if not answer(sql).is_refused] == []
