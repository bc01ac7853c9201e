"""The SQL statements: read from `sql/`, with literal partitions and table names put in.

A file is valid SQL as it stands. Two things are replaced before it is sent, never a value of a
record: `column IN UNNEST(@name)` for the names in `literals` becomes a predicate of literals (only
these prune partitions in a MERGE), and the placeholder tables (`staging_…`, `changed_users`,
`changed_products`) become the tables of a load group.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

Value = str | int | bool | Decimal | date | datetime | None

Partitions = Collection[date] | Collection[int]
"""Days, or buckets of keys."""

_LITERALS = re.compile(r"([A-Za-z_.]+)\s+IN\s+UNNEST\(@(\w+)\)")
_PARAMETER = re.compile(r"@(\w+)")
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A query parameter of one value. `kind` is a BigQuery type, e.g. `NUMERIC`."""

    kind: str
    value: Value


@dataclass(frozen=True, slots=True)
class Array:
    """A query parameter of several values of one type."""

    kind: str
    values: Sequence[Value]


@dataclass(frozen=True, slots=True)
class Rows:
    """A query parameter of several rows: an array of structs. Every row has the same columns."""

    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Value]]


Parameter = Scalar | Array | Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """SQL that is ready to send. `name` is the file's, `step` and `subject` label the job."""

    name: str
    sql: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    @property
    def step(self) -> str:
        """The folder of the file: merge, partials, rollups or queries."""
        return self.name.partition("/")[0]

    @property
    def subject(self) -> str:
        """The file itself, which is named after what it fills or answers."""
        return self.name.partition("/")[2]


@cache
def sql_text(name: str) -> str:
    """The text of `sql/<name>.sql` without its comment lines."""
    path = files(__package__).joinpath("sql", *f"{name}.sql".split("/"))
    return _COMMENT.sub("", path.read_text(encoding="utf-8")).strip()


def statement(
    name: str,
    *,
    literals: Mapping[str, Partitions | None] | None = None,
    tables: Mapping[str, str] | None = None,
    parameters: Mapping[str, Parameter] | None = None,
) -> Statement:
    """Make a statement from its file.

    `literals` maps a parameter's name to its days or buckets, or to None for "any" (TRUE). A name
    in it that is also used elsewhere than behind IN stays a parameter there, with the same values.
    `parameters` that the statement does not use are left out.

    Raises:
        KeyError: the statement uses a parameter that was not given.
    """
    partitions = dict(literals or {})

    def literal(match: re.Match[str]) -> str:
        column, parameter = match.groups()
        if parameter not in partitions:
            return match[0]
        return partition_predicate(column, partitions[parameter])

    sql = _LITERALS.sub(literal, sql_text(name))
    for placeholder, table in (tables or {}).items():
        # A column may be qualified with the placeholder: alias the table to it.
        sql = re.sub(rf"\b(FROM|JOIN) {placeholder}\b(?! AS)", rf"\1 {table} AS {placeholder}", sql)
    given: dict[str, Parameter] = {
        parameter: Array("DATE", _ordered(values))
        for parameter, values in partitions.items()
        if values is not None
    }
    given.update(parameters or {})
    used = dict.fromkeys(_PARAMETER.findall(sql))
    return Statement(name=name, sql=sql, parameters={key: given[key] for key in used})


def partition_predicate(column: str, values: Partitions | None) -> str:
    """A predicate of literals that is true for the given values of `column`; TRUE for None.

    For no values it leaves the partition of NULL, which is empty: partition columns are required.
    Runs of three or more consecutive values become BETWEEN, to keep the statement short.
    """
    if values is None:
        return "TRUE"
    if not values:
        return f"{column} IS NULL"
    singles: list[str] = []
    terms: list[str] = []
    for run in _runs(values):
        if len(run) < 3:
            singles.extend(_literal(value) for value in run)
        else:
            terms.append(f"{column} BETWEEN {_literal(run[0])} AND {_literal(run[-1])}")
    if singles:
        terms.append(f"{column} IN ({', '.join(singles)})")
    return terms[0] if len(terms) == 1 else f"({' OR '.join(terms)})"


def _literal(value: date | int) -> str:
    return f"DATE '{value}'" if isinstance(value, date) else str(int(value))


def _runs(values: Partitions) -> Iterator[Sequence[date | int]]:
    """The values in order, cut where one is missing."""
    run: list[date | int] = []
    for value in _ordered(values):
        if run and _number(value) - _number(run[-1]) > 1:
            yield run
            run = []
        run.append(value)
    yield run


def _ordered(values: Partitions) -> list[date | int]:
    return sorted(set[Any](values))


def _number(value: date | int) -> int:
    return value.toordinal() if isinstance(value, date) else value
