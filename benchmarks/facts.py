"""A warehouse of made-up facts, as many as are asked for, without the loader before it."""

import hashlib
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from techmart_fast.local import LocalHome, embedded
from techmart_fast.records import SpooledFile
from techmart_fast.warehouse import (
    STAND_IN_PROJECT,
    LoadGroup,
    LoadPart,
    LoadTable,
    WarehouseSink,
    WarehouseTarget,
)
from techmart_fast.warehouse.spool import LOAD_SCHEMAS, parquet_writer

DATASET = "facts"
FIRST_DAY, DAYS = date(2024, 1, 1), 366
LATE_DAY = date(2024, 3, 5)
_FILE_ROWS = 1_000_000

_CHANCE = "CREATE MACRO chance(i, salt, n) AS CAST(hash(i, salt) % n AS INTEGER)"
_USER = "'USR_' || lpad(CAST(chance(i, 1, {users}) AS VARCHAR), 8, '0')"
_PRODUCT = "'PRD_' || lpad(CAST(chance(i, 2, {products}) AS VARCHAR), 6, '0')"
_CENTS = "CAST(500 + chance(i, 3, 50000) AS INTEGER)"

_TRANSACTIONS = f"""
SELECT 'TXN_' || lpad(CAST(i AS VARCHAR), 10, '0') AS transaction_id, {_USER} AS user_id,
  {_PRODUCT} AS product_id, CAST({_CENTS} / 100 AS DECIMAL(12, 2)) AS amount,
  ['USD', 'EUR', 'GBP', 'JPY'][1 + chance(i, 4, 4)] AS currency,
  CAST({_CENTS} / 100 AS DECIMAL(12, 2)) AS amount_usd,
  CAST(day AS TIMESTAMP) + to_seconds(chance(i, 5, 86400)) AS timestamp,
  ['credit_card', 'paypal', 'debit_card', 'bank_transfer'][1 + chance(i, 6, 4)] AS payment_method,
  ['completed', 'completed', 'completed', 'completed', 'completed', 'completed', 'completed',
   'refunded', 'failed', 'pending'][1 + chance(i, 7, 10)] AS status,
  day AS transaction_date, hour(timestamp) AS transaction_hour, isodow(day) AS day_of_week,
  {_CENTS} > 40000 AS is_high_value, currency != 'USD' AS is_international,
  'low' AS payment_method_risk, 'low' AS transaction_risk, 'standard' AS processing_priority,
  1 AS source_ordinal, i * 200 AS source_offset, 'batch-' || CAST(i // 40000 AS VARCHAR) AS batch_id
FROM (SELECT i, {{day}} AS day FROM range({{start}}, {{stop}}) AS numbers(i))
"""
_USERS = """
SELECT 'USR_' || lpad(CAST(i AS VARCHAR), 8, '0') AS user_id, 'u***@example.com' AS email,
  DATE '2023-01-01' + CAST(chance(i, 0, 365) AS INTEGER) AS registration_date, 'DE' AS country,
  ['europe', 'north_america', 'asia_pacific', 'other'][1 + chance(i, 1, 4)] AS region,
  '25-34' AS age_group, ['standard', 'premium', 'vip'][1 + chance(i, 2, 3)] AS customer_tier,
  1 AS source_ordinal, i AS source_offset, 'batch-u' AS batch_id
FROM range({users}) AS numbers(i)
"""
_PRODUCTS = """
SELECT 'PRD_' || lpad(CAST(i AS VARCHAR), 6, '0') AS product_id, 'Product ' || i AS name,
  ['books', 'home', 'sports', 'electronics', 'toys'][1 + chance(i, 0, 5)] AS category,
  CAST((500 + chance(i, 1, 30000)) / 100 AS DECIMAL(12, 2)) AS price, 'USD' AS currency,
  price AS price_usd, CAST(chance(i, 2, 500) AS BIGINT) AS inventory_count,
  'SUP_' || chance(i, 3, 40) AS supplier_id, 'in_stock' AS inventory_status,
  'mid_range' AS price_tier, 1 AS source_ordinal, i AS source_offset, TRUE AS is_active,
  0 AS catalogue_ordinal, 'batch-p' AS batch_id
FROM range({products}) AS numbers(i)
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """A shop of this many transactions, with a user for twenty and a product for a hundred."""

    rows: int
    folder: Path

    def groups(self) -> list[LoadGroup]:
        """Everything, as the groups of a first load. Transactions are in the order of time."""
        spread = f"DATE '{FIRST_DAY}' + CAST(i * {DAYS} // {self.rows} AS INTEGER)"
        pieces = range(0, self.rows, _FILE_ROWS)
        files = [
            self._file(LoadTable.TRANSACTIONS, self._sql(start, spread), f"t{start}")
            for start in pieces
        ]
        return [
            _group("first", LoadTable.USERS, [self._file(LoadTable.USERS, self._of(_USERS), "u")]),
            _group(
                "first",
                LoadTable.PRODUCTS,
                [self._file(LoadTable.PRODUCTS, self._of(_PRODUCTS), "p")],
            ),
            _group("first", LoadTable.TRANSACTIONS, files),
        ]

    def late(self, rows: int) -> LoadGroup:
        """New transactions of a day long past."""
        sql = self._sql(self.rows, f"DATE '{LATE_DAY}'", stop=self.rows + rows)
        file = self._file(LoadTable.TRANSACTIONS, sql, "late")
        return _group("late", LoadTable.TRANSACTIONS, [file])

    def _of(self, sql: str, **values: object) -> str:
        users, products = max(self.rows // 20, 100), max(self.rows // 100, 50)
        return sql.format(users=users, products=products, **values)

    def _sql(self, start: int, day: str, *, stop: int | None = None) -> str:
        end = min(start + _FILE_ROWS, self.rows) if stop is None else stop
        return self._of(_TRANSACTIONS, start=start, stop=end, day=day)

    def _file(self, table: LoadTable, sql: str, name: str) -> SpooledFile:
        with duckdb.connect() as engine:
            engine.execute(_CHANCE)
            rows = engine.sql(sql).to_arrow_table().cast(LOAD_SCHEMAS[table])
        path = self.folder / f"{name}.parquet"
        with parquet_writer(path, rows.schema) as writer:
            writer.write_table(rows)
        days: Iterable[date] = ()
        if table is LoadTable.TRANSACTIONS:
            days = rows["transaction_date"].unique().to_pylist()
        return SpooledFile(
            table=table.value,
            path=path,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            rows=rows.num_rows,
            size_bytes=path.stat().st_size,
            dates=tuple(sorted(days)),
        )


def _group(name: str, table: LoadTable, files: list[SpooledFile]) -> LoadGroup:
    parts = [
        LoadPart(group_id=name, table=table, part=number, members=(file,))
        for number, file in enumerate(files, start=1)
    ]
    return LoadGroup(parts=tuple(parts))


@asynccontextmanager
async def warehouse(home: LocalHome) -> AsyncIterator[WarehouseSink]:
    """A sink, on a stand-in of its own that ends with the block."""
    async with embedded(home, postgres=False) as endpoints:
        assert endpoints.standin is not None
        target = WarehouseTarget(
            project=STAND_IN_PROJECT,
            dataset=DATASET,
            location="US",
            api_endpoint=endpoints.standin.url,
            anonymous=True,
            job_timeout_seconds=3600,
            request_timeout_seconds=600,
        )
        async with WarehouseSink(target) as sink:
            await sink.ensure()
            yield sink


async def merged(sink: WarehouseSink, groups: Iterable[LoadGroup]) -> None:
    """Load and merge groups, one after the other."""
    for group in groups:
        for part in group.parts:
            await sink.load(part)
        await sink.merge(group)


def copied(home: LocalHome, folder: Path) -> LocalHome:
    """A home with the same warehouse; nothing may run in the first one."""
    other = LocalHome(folder).create()
    shutil.copytree(home.standin, other.standin, dirs_exist_ok=True)
    return other
