"""Opens the two sinks that the settings name: servers of the user's, or the embedded parts."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

from techmart_fast.errors import ConfigError, SinkError, TechmartError
from techmart_fast.local import LocalEndpoints, LocalHome, LocalOptions, embedded
from techmart_fast.pipeline.retries import Retries
from techmart_fast.postgres import Patience, PostgresSink, PostgresTarget
from techmart_fast.results import Destination, WarehouseCost
from techmart_fast.settings import Settings
from techmart_fast.warehouse import STAND_IN_PROJECT, WarehouseSink, WarehouseTarget

_MOST_WRITERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sinks:
    """The open sinks; `local` tells what of them is embedded."""

    home: LocalHome
    local: LocalEndpoints
    postgres_sink: PostgresSink | None
    warehouse_sink: WarehouseSink | None
    destinations: tuple[Destination, ...]
    price_per_tib: Decimal
    retries: Retries = field(default_factory=Retries)

    @property
    def cost(self) -> WarehouseCost | None:
        """What the warehouse's jobs took until now."""
        if self.warehouse_sink is None:
            return None
        return WarehouseCost(
            jobs=self.warehouse_sink.cost.jobs,
            bytes_billed=self.warehouse_sink.cost.bytes_billed,
            price_per_tib=self.price_per_tib,
            modelled=self.local.standin is not None,
        )

    def cause(self, error: TechmartError) -> TechmartError:
        """The error, or what made the embedded server crash, of which its clients know nothing."""
        crash = self.local.postgres.crash() if self.local.postgres else None
        return crash if crash and isinstance(error, SinkError) else error

    @property
    def postgres(self) -> PostgresSink:
        """PostgreSQL, if it was asked for."""
        if self.postgres_sink is None:
            raise ConfigError("These sinks were opened without PostgreSQL.")
        return self.postgres_sink

    @property
    def warehouse(self) -> WarehouseSink:
        """The warehouse, if it was asked for."""
        if self.warehouse_sink is None:
            raise ConfigError("These sinks were opened without the warehouse.")
        return self.warehouse_sink


def writer_count(settings: Settings) -> int:
    """Parallel writers: as set, or one a core, four at most."""
    return settings.postgres.writers or min(os.cpu_count() or 1, _MOST_WRITERS)


@asynccontextmanager
async def open_sinks(
    settings: Settings, *, postgres: bool = True, warehouse: bool = True
) -> AsyncIterator[Sinks]:
    """Open the sinks, starting embedded parts where no server is set; close and stop them after.

    Raises:
        TechmartError: a part can't be started, reached or entered, with what to do about it.
    """
    home = LocalHome(settings.home).create()
    async with AsyncExitStack() as stack:
        use_local_postgres = postgres and settings.embedded_postgres
        use_stand_in = warehouse and settings.stand_in
        local = LocalEndpoints()
        if use_local_postgres or use_stand_in:
            local = await stack.enter_async_context(
                embedded(
                    home,
                    postgres=use_local_postgres,
                    standin=use_stand_in,
                    options=LocalOptions.from_settings(settings.local),
                )
            )
        warehouse_sink = postgres_sink = None
        if warehouse:
            target = _warehouse_target(settings, local)
            warehouse_sink = await stack.enter_async_context(WarehouseSink(target))
        retries = Retries()
        if postgres:
            postgres_sink = await stack.enter_async_context(
                PostgresSink(
                    _postgres_target(settings, local),
                    writers=writer_count(settings),
                    command_timeout_seconds=settings.postgres.command_timeout_seconds,
                    connect_timeout_seconds=settings.postgres.connect_timeout_seconds,
                    patience=Patience(seconds=settings.postgres.retry_seconds, told=retries),
                )
            )
        yield Sinks(
            home=home,
            local=local,
            postgres_sink=postgres_sink,
            warehouse_sink=warehouse_sink,
            destinations=_destinations(settings, local),
            price_per_tib=settings.bigquery.price_per_tib,
            retries=retries,
        )


def _postgres_target(settings: Settings, local: LocalEndpoints) -> PostgresTarget:
    if local.postgres is not None:
        server = local.postgres
        return PostgresTarget(
            host=str(server.socket_dir),
            port=server.port,
            db=server.database,
            user=server.user,
            password=server.password,
        )
    return PostgresTarget.from_settings(settings.postgres)


def _warehouse_target(settings: Settings, local: LocalEndpoints) -> WarehouseTarget:
    chosen = settings.bigquery
    stand_in = local.standin
    return WarehouseTarget(
        project=chosen.project_id or STAND_IN_PROJECT,
        dataset=chosen.dataset_id,
        location=chosen.location,
        api_endpoint=stand_in.url if stand_in else chosen.api_endpoint,
        anonymous=stand_in is not None,
        credentials_file=chosen.credentials_file,
        impersonate=chosen.impersonate_service_account,
        staging_bucket=chosen.staging_bucket,
        maximum_bytes_billed=chosen.maximum_bytes_billed,
        partition_expiration_days=chosen.partition_expiration_days,
        job_timeout_seconds=chosen.job_timeout_seconds,
        request_timeout_seconds=chosen.request_timeout_seconds,
    )


def _destinations(settings: Settings, local: LocalEndpoints) -> tuple[Destination, ...]:
    places = []
    if local.postgres is not None:
        places.append(
            Destination(
                name="PostgreSQL",
                place=f"embedded server {local.postgres.version} in {settings.home}",
                look="techmart-fast local psql",
            )
        )
    elif not settings.embedded_postgres:
        chosen = settings.postgres
        place = f"{chosen.user}@{chosen.host}:{chosen.port}/{chosen.db}"
        look = f"psql -h {chosen.host} -p {chosen.port} -U {chosen.user} {chosen.db}"
        places.append(Destination(name="PostgreSQL", place=place, look=look))
    if local.standin is not None:
        place = f"stand-in for BigQuery (not BigQuery itself) in {settings.home}"
    else:
        place = f"BigQuery {settings.bigquery.project_id}.{settings.bigquery.dataset_id}"
    places.append(
        Destination(name="Warehouse", place=place, look="techmart-fast report daily-sales")
    )
    return tuple(places)
