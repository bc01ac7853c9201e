"""What a run's queries would read, by dry runs: nothing is written and nothing is billed."""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date

from techmart_fast.contract.model import AnalyticsRules
from techmart_fast.errors import WarehouseError
from techmart_fast.together import together
from techmart_fast.warehouse.buckets import BUCKETS, Touched
from techmart_fast.warehouse.groups import LoadTable
from techmart_fast.warehouse.jobs import Jobs
from techmart_fast.warehouse.periods import chunks
from techmart_fast.warehouse.rollups import (
    NO_KEYS,
    changed_keys,
    changed_statement,
    daily_statements,
    finance_statements,
    financial_statements,
    key_statements,
    order_statements,
    partial_statements,
    touched_statements,
)
from techmart_fast.warehouse.schema import declared
from techmart_fast.warehouse.statements import Statement, partition_predicate, statement

LEAST_BYTES_BILLED = 10 << 20
"""Of a table that a query reads. https://cloud.google.com/bigquery/pricing#on_demand_pricing"""

_READ = re.compile(r"\b(?:FROM|JOIN|MERGE) (\w+)")
_RECORDS = ("queries/record_run", "queries/record_metrics")
_DIMENSIONS = frozenset({LoadTable.USERS, LoadTable.PRODUCTS})
_FACTS = frozenset({LoadTable.TRANSACTIONS, LoadTable.REJECTED_TRANSACTIONS})


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryEstimate:
    """A query that a run would send, what it would read, and from how many tables.

    Queries of one name (very many days are cut into several) count as one.
    """

    name: str
    bytes_read: int
    tables: int

    @property
    def bytes_billed(self) -> int:
        """What is read, ten MiB a table at least."""
        return max(self.bytes_read, self.tables * LEAST_BYTES_BILLED)


class Estimates:
    """Asks the warehouse what queries would read."""

    def __init__(self, jobs: Jobs, present: Collection[str]) -> None:
        """`present` are the names of the tables that are there."""
        self._jobs = jobs
        self._present = frozenset(present)

    async def of_run(
        self,
        tables: Collection[LoadTable],
        days: Collection[date],
        touched: Touched,
        rules: AnalyticsRules,
    ) -> tuple[QueryEstimate, ...]:
        """The queries of a run that loads new rows of `tables`, with transactions on `days`.

        `touched` are the buckets of the new rows' keys. A table that is not there yet is read as
        empty. Which orders changed users or products had, and who bought changed products, is known
        only when they are loaded: all days and all buckets are taken for theirs, which is the most
        it can be.
        """
        stored = frozenset[date]()
        if "partial_totals" in self._present:
            stored = await self._jobs.call(lambda service: service.days("partial_totals"))
        statements = list(planned_statements(tables, frozenset(days), stored, touched, rules))
        found = Counter[str]()

        async def ask(one: Statement) -> None:
            read = await self._bytes(one)
            found[one.name] += read

        await together({f"{number} {one.name}": ask(one) for number, one in enumerate(statements)})
        tables_read = Counter[str]()
        for one in statements:
            tables_read[one.name] += _tables_read(one, tables)
        queries = [
            QueryEstimate(name=name, bytes_read=found[name], tables=tables_read[name])
            for name in dict.fromkeys(one.name for one in statements)
        ]
        # A run's own row and its metrics, of one day each: less than the least that is billed.
        return (*queries, *(QueryEstimate(name=name, bytes_read=0, tables=1) for name in _RECORDS))

    async def _bytes(self, one: Statement) -> int:
        try:
            return await self._jobs.call(lambda service: service.dry_run(one))
        except WarehouseError as error:
            if error.reason == "notFound" and not _tables_named(one.sql) <= self._present:
                return 0
            raise


def _tables_named(sql: str) -> set[str]:
    return set(_READ.findall(sql)) & declared().keys()


def _tables_read(one: Statement, loaded: Collection[LoadTable]) -> int:
    staging = 1 if one.step == "merge" else 0
    sql = one.sql
    for table, no_keys in NO_KEYS.items():
        if table in loaded and no_keys in sql:
            # The run reads the keys of a staging table there.
            sql, staging = sql.replace(no_keys, ""), staging + 1
    return len(_tables_named(sql)) + staging


def planned_statements(
    tables: Collection[LoadTable],
    days: frozenset[date],
    stored: frozenset[date],
    touched: Touched,
    rules: AnalyticsRules,
) -> Iterator[Statement]:
    """What a run would send of its queries, or what reads as much; `stored` are the days so far."""
    for table in tables:
        # A MERGE names a staging table that is not there; it reads its target as this does.
        where = f" WHERE {partition_predicate('transaction_date', days)}" if table in _FACTS else ""
        sql = f"SELECT * FROM {table.value}{where}"  # noqa: S608 - names of ours, and dates
        # One that is cut into pieces reads all days of the target with each.
        pieces = len(list(chunks(days))) if table in _FACTS else 1
        yield from [Statement(name=f"merge/{table.value}", sql=sql)] * max(pieces, 1)
    # The number of the refresh does not change what is read.
    yield from partial_statements(days, refreshed=0)
    yield statement("queries/as_of")
    unchanged = changed_keys([])
    yield from touched_statements(days, refreshed=0, changed=unchanged)
    yield from order_statements(days, refreshed=0, touched=touched)
    others = frozenset[date]()
    if not _DIMENSIONS.isdisjoint(tables):
        others = stored
        yield changed_statement("changed_dates", changed=unchanged, touched=touched)
    if LoadTable.PRODUCTS in tables:
        yield changed_statement("buyers", changed=unchanged, touched=touched)
        touched = replace(touched, users=frozenset(range(BUCKETS)))
    yield statement("queries/bases")
    newest = max(days | stored, default=None)
    yield from key_statements(
        days,
        as_of=newest,
        rules=rules,
        changed=unchanged,
        touched=touched,
        refreshed=0,
        moved=newest not in stored,
    )
    named = days | others
    yield from daily_statements(named)
    yield from finance_statements(named)
    yield from financial_statements(named, rules)
