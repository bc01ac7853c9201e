"""A shop to load into: a database and a dataset of its own on the session's servers.

`make_shop()` gives a new empty one. Its state in both sinks can be read back and compared.
`make_lean_shop()` gives one whose warehouse takes everything and keeps nothing, which spares two
thirds of the time: for tests that look at PostgreSQL only.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from techmart_fast.api import DataSources, run
from techmart_fast.contract import Contract
from techmart_fast.local import LocalHome, LocalPostgres
from techmart_fast.local import start as start_parts
from techmart_fast.local import stop as stop_parts
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.records import Feed
from techmart_fast.results import RunResult
from techmart_fast.settings import (
    BigQuerySettings,
    PipelineSettings,
    PostgresSettings,
    Settings,
)
from techmart_fast.warehouse import ReportKind
from tests.processes import CHECKOUT

Row = dict[str, object]
State = dict[str, list[Row]]

SAMPLE = DataSources.sample()

# Everything of the operational tables that must not depend on how often or in which pieces the
# feeds came; batches and times of writing do.
_STATE_QUERIES = {
    "users": """SELECT user_id, email, registration_date, country, age_group, customer_tier,
        source_ordinal, source_offset FROM users ORDER BY user_id""",
    "products": """SELECT product_id, name, category, price, currency, price_usd, inventory_count,
        supplier_id, is_active, source_ordinal, source_offset FROM products ORDER BY product_id""",
    "transactions": """SELECT transaction_id, user_id, product_id, amount, currency, amount_usd,
        "timestamp", payment_method, status, transaction_date, source_ordinal, source_offset
        FROM transactions ORDER BY transaction_id""",
    "held": """SELECT transaction_id, user_id, product_id, amount, source_ordinal, source_offset
        FROM techmart_loader.held_transactions
        ORDER BY transaction_id, source_ordinal, source_offset""",
    "quarantine": """SELECT feed, source_ordinal, source_offset, code
        FROM techmart_loader.quarantine ORDER BY 1, 2, 3""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """One shop's settings, and what tests ask of it."""

    settings: Settings

    async def run(
        self,
        sources: DataSources = SAMPLE,
        *,
        contract: Contract | None = None,
        ordinal: int | None = None,
        stop: asyncio.Event | None = None,
    ) -> RunResult:
        """Run the pipeline into this shop."""
        return await run(
            sources, settings=self.settings, contract=contract, ordinal=ordinal, stop=stop
        )

    async def load(self, folder: Path, **kwargs: object) -> RunResult:
        """Load the feeds of a generated shop's folder and expect it to work."""
        result = await self.run(sources_in(folder), **kwargs)  # type: ignore[arg-type]  # passed on
        assert result.error is None, result.error
        return result

    async def rows(self, query: str) -> list[Row]:
        """The rows of a query in PostgreSQL."""
        chosen = self.settings.postgres
        assert chosen.password is not None
        connection = await asyncpg.connect(
            host=chosen.host,
            port=chosen.port,
            database=chosen.db,
            user=chosen.user,
            password=chosen.password.get_secret_value(),
        )
        try:
            return [dict(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def reports(self) -> State:
        """All rollups, in full."""
        async with open_sinks(self.settings, postgres=False) as sinks:
            return {
                kind.value: (await sinks.warehouse.report(kind)).to_pylist() for kind in ReportKind
            }

    async def state(self) -> State:
        """Everything in both sinks that an order of arrival must not change."""
        tables = {name: await self.rows(query) for name, query in _STATE_QUERIES.items()}
        return {**tables, **await self.reports()}

    async def warehouse_sums(self) -> tuple[int, Decimal]:
        """Rows and Σ amount_usd of the warehouse's facts."""
        async with open_sinks(self.settings, postgres=False) as sinks:
            sums = await sinks.warehouse.daily_sums()
        amounts = sums.column("amount_usd").to_pylist()
        return sum(sums.column(1).to_pylist()), sum(amounts, Decimal(0))


def sources_in(folder: Path) -> DataSources:
    """All feeds of a generated shop, each as a glob."""
    found = {feed.value: tuple(map(str, sorted(folder.glob(f"{feed}*")))) for feed in Feed}
    return DataSources(**found)


@pytest.fixture(scope="session")
def shop_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHome]:
    """A home whose stand-in runs for the whole session."""
    home = LocalHome(tmp_path_factory.mktemp("shops") / "home")
    asyncio.run(start_parts(home, postgres=False, standin=True))
    yield home
    asyncio.run(stop_parts(home))


@pytest.fixture
def make_shop(
    new_database: Callable[..., LocalPostgres], shop_home: LocalHome
) -> Callable[..., Shop]:
    """Makes empty shops."""

    def make(**pipeline: object) -> Shop:
        server = new_database()
        warehouse = BigQuerySettings(dataset_id=f"shop_{server.database}")
        return _shop(server, warehouse, shop_home, **pipeline)

    return make


@pytest.fixture(scope="session")
def discarding() -> Iterator[dict[str, str]]:
    """The settings of an endpoint that accepts and discards, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.discarding", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHECKOUT) as server:
        try:
            assert server.stdout is not None
            yield json.loads(server.stdout.readline())
        finally:
            server.terminate()
    assert server.returncode == 0


@pytest.fixture
def make_lean_shop(
    new_database: Callable[..., LocalPostgres],
    discarding: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Shop]:
    """Makes empty shops whose warehouse keeps nothing: only PostgreSQL can be looked at."""
    home = LocalHome(tmp_path_factory.mktemp("lean"))

    def make(**pipeline: object) -> Shop:
        server = new_database()
        warehouse = BigQuerySettings(
            project_id=discarding["BIGQUERY_PROJECT_ID"],
            dataset_id=f"shop_{server.database}",
            api_endpoint=discarding["BIGQUERY_API_ENDPOINT"],
            credentials_file=Path(discarding["GOOGLE_APPLICATION_CREDENTIALS"]),
        )
        return _shop(server, warehouse, home, **pipeline)

    return make


def _shop(
    server: LocalPostgres, warehouse: BigQuerySettings, home: LocalHome, **pipeline: object
) -> Shop:
    return Shop(
        settings=Settings(
            pipeline=PipelineSettings(home=home.path, **pipeline),  # type: ignore[arg-type]  # any setting
            postgres=PostgresSettings(
                host=str(server.socket_dir),
                port=server.port,
                db=server.database,
                user=server.user,
                password=server.password,
            ),
            bigquery=warehouse,
        )
    )


@pytest.fixture
def shop(make_shop: Callable[[], Shop]) -> Shop:
    """An empty shop of the test's own."""
    return make_shop()


@pytest.fixture
def lean_shop(make_lean_shop: Callable[[], Shop]) -> Shop:
    """An empty shop of the test's own, of which PostgreSQL's part can be looked at."""
    return make_lean_shop()


def with_postgres(settings: Settings, **changes: object) -> Settings:
    """The same settings with another server, port or password."""
    return Settings(
        pipeline=settings.pipeline,
        postgres=settings.postgres.model_copy(update=changes),
        bigquery=settings.bigquery,
    )


def in_source_order(rows: Sequence[Row]) -> list[Row]:
    """Rows without positions: for states that were reached through other files."""
    return [
        {name: value for name, value in row.items() if not name.startswith("source_")}
        for row in rows
    ]


__all__ = [
    "Row",
    "Shop",
    "State",
    "discarding",
    "in_source_order",
    "lean_shop",
    "make_lean_shop",
    "make_shop",
    "replace",
    "shop",
    "shop_home",
    "sources_in",
    "with_postgres",
]
