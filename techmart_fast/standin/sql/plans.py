"""Queries that were analysed before: the same text, over tables that are as they were then."""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from sqlglot import exp

from techmart_fast.standin.bqtypes import BqType
from techmart_fast.standin.refs import DatasetRef, TableRef
from techmart_fast.standin.resources import Table
from techmart_fast.standin.sql.analyse import Analysed, analyse_query
from techmart_fast.standin.sql.names import Names
from techmart_fast.standin.sql.parameters import Parameters

_MOST_KEPT = 32
_LONGEST_TEXT = 10_000
"""Longer ones name days or keys by the hundred: large in memory, and never asked again."""

_Key = tuple[str, str, DatasetRef | None, str | None, tuple[tuple[str, BqType], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An analysed query, its DuckDB text, and the tables that it reads."""

    analysed: Analysed
    sql: str
    tables: dict[TableRef, Table]
    location: str | None


_KEPT: OrderedDict[_Key, Plan] = OrderedDict()
_LOCK = Lock()


def planned(text: str, query: exp.Query, names: Names, parameters: Parameters) -> Plan:
    """Analyse a query (which is consumed), unless it was: that takes longer than to run most.

    `text` is all that the job said. What is kept holds for as long as each of its tables is the
    very same description, which every change of a table replaces, be it of its rows. Queries of
    views are not kept: what a view reads is not among their tables.

    Raises:
        ServiceError: as `analyse_query` does.
    """
    key = (text, names.project, names.default, names.location, tuple(parameters.types.items()))
    with _LOCK:
        plan = _KEPT.get(key)
        if plan is not None:
            _KEPT.move_to_end(key)
    if plan is not None and all(
        names.work.find_table(ref) is one for ref, one in plan.tables.items()
    ):
        names.tables.update(plan.tables)
        names.referenced.update(plan.tables)
        names.location = plan.location
        return plan
    analysed = analyse_query(query, names, parameters)
    plan = Plan(
        analysed=analysed, sql=analysed.sql, tables=dict(names.tables), location=names.location
    )
    if len(text) <= _LONGEST_TEXT and names.tables == names.referenced:
        with _LOCK:
            _KEPT[key] = plan
            while len(_KEPT) > _MOST_KEPT:
                _KEPT.popitem(last=False)
    return plan
