"""What a run's queries would read, by dry runs: nothing is written and nothing is billed."""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date

from techmart_fast.contract.model import AnalyticsRules
from techmart_fast.errors import WarehouseError
from techmart_fast.together import together
from techmart_fast.warehouse.groups import LoadTable
from techmart_fast.warehouse.jobs import Jobs
from techmart_fast.warehouse.rollups import (
    changed_keys,
    daily_statements,
    financial_statements,
    key_statements,
    partial_statements,
)
from techmart_fast.warehouse.schema import declared
from techmart_fast.warehouse.statements import Statement, date_predicate, statement

LEAST_BYTES_BILLED = 10 << 20
"""Of a table that a query reads. https://cloud.google.com/bigquery/pricing#on_demand_pricing"""

_READ = re.compile(r"\b(?:FROM|JOIN|MERGE) (\w+)")
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

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def of_run(
        self, tables: Collection[LoadTable], days: Collection[date], rules: AnalyticsRules
    ) -> tuple[QueryEstimate, ...]:
        """The queries of a run that loads new rows of `tables`, with transactions on `days`.

        A table that is not there yet is read as empty.
        """
        statements = list(_statements(tables, days, rules))
        found: dict[str, int] = {}

        async def ask(one: Statement) -> None:
            found[one.name] = found.get(one.name, 0) + await self._bytes(one)

        await together({f"{number} {one.name}": ask(one) for number, one in enumerate(statements)})
        tables_read = Counter[str]()
        for one in statements:
            tables_read[one.name] += _tables_read(one)
        return tuple(
            QueryEstimate(name=name, bytes_read=found[name], tables=tables_read[name])
            for name in dict.fromkeys(one.name for one in statements)
        )

    async def _bytes(self, one: Statement) -> int:
        try:
            return await self._jobs.call(lambda service: service.dry_run(one))
        except WarehouseError as error:
            if error.reason == "notFound":
                return 0
            raise


def _tables_read(one: Statement) -> int:
    named = set(_READ.findall(one.sql)) & declared().keys()
    return len(named) + (1 if one.step == "merge" else 0)  # its staging table


def _statements(
    tables: Collection[LoadTable], days: Collection[date], rules: AnalyticsRules
) -> Iterator[Statement]:
    for table in tables:
        # A MERGE names a staging table that is not there; it reads its target as this does.
        where = f" WHERE {date_predicate('transaction_date', days)}" if table in _FACTS else ""
        sql = f"SELECT * FROM {table.value}{where}"  # noqa: S608 - names of ours, and dates
        yield Statement(name=f"merge/{table.value}", sql=sql)
    yield from partial_statements(days)
    yield statement("queries/as_of")
    # The newest day only moves a parameter, which does not change what is read.
    newest = max(days, default=None)
    yield from key_statements(days, as_of=newest, rules=rules, changed=changed_keys([]))
    yield from daily_statements(days)
    yield from financial_statements(days, rules)
