"""The steps of a run in short, for tests of what the warehouse holds afterwards."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

from techmart_fast.contract import default_contract
from techmart_fast.contract.model import AnalyticsRules
from techmart_fast.warehouse import (
    LoadGroup,
    LoadTable,
    MergedGroup,
    Refreshed,
    ReportKind,
    WarehouseSink,
)
from techmart_fast.warehouse.statements import Statement
from tests.warehouse.values import group_of, spooled

Row = dict[str, Any]

ROLLUPS = {
    "daily": ("date", ReportKind.DAILY_SALES),
    "users": ("user_id", ReportKind.USERS),
    "products": ("product_id", ReportKind.PRODUCTS),
    "financials": ("report_type", ReportKind.FINANCIALS),
}


class Warehouse:
    """A sink, and a folder for its spool. `merged` and `refreshed` are the last results."""

    def __init__(self, sink: WarehouseSink, folder: Path, name: str) -> None:
        self.sink = sink
        self.folder = folder
        self.rules: AnalyticsRules = default_contract().analytics
        self.merged: dict[LoadTable, MergedGroup] = {}
        self.refreshed: Refreshed | None = None
        self._name = name
        self._numbers = count(1)

    async def publish(
        self, *, old_dates: Iterable[date] = (), **tables: Sequence[Mapping[str, object]]
    ) -> None:
        """Load, merge, refresh and discard rows by table, as one run does."""
        groups = await self.merge(old_dates=old_dates, **tables)
        self.refreshed = await self.sink.refresh(groups, self.rules)
        await self.sink.discard(groups)

    async def merge(
        self, *, old_dates: Iterable[date] = (), **tables: Sequence[Mapping[str, object]]
    ) -> list[LoadGroup]:
        """Load and merge only: a run that ends before its refresh."""
        groups = []
        for name, rows in tables.items():
            if not rows:
                continue
            table = LoadTable(name)
            number = next(self._numbers)
            file = spooled(self.folder, table, rows, name=str(number))
            dates = old_dates if table is LoadTable.TRANSACTIONS else ()
            # Job ids are the project's: a group is unique in it, not only in its dataset.
            group = group_of(f"{self._name}_{number}", table, file, dates=dates)
            await self.sink.load(group.parts[0])
            self.merged[table] = await self.sink.merge(group)
            groups.append(group)
        return groups

    async def rollup(self, name: str) -> dict[Any, Row]:
        """A rollup by its key; for financials by (report_type, period_start)."""
        key, kind = ROLLUPS[name]
        rows: list[Row] = (await self.sink.report(kind)).to_pylist()
        if name == "financials":
            return {(row["report_type"], row["period_start"]): row for row in rows}
        return {row[key]: row for row in rows}

    async def rollups(self) -> dict[str, dict[Any, Row]]:
        """All four rollups."""
        return {name: await self.rollup(name) for name in ROLLUPS}

    async def run(self, *statements: Statement) -> None:
        """Run statements, one after the other."""
        for one in statements:
            await self.sink._jobs.run(one)

    async def rows(self, sql: str) -> list[Row]:
        """Rows of any query."""
        table = await self.sink._jobs.table(Statement(name="queries/test", sql=sql))
        found: list[Row] = table.to_pylist()
        return found
