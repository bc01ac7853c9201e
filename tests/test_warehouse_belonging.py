"""A database and a dataset belong together: no run fills another warehouse, or half of one."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from techmart_fast.api import DataSources
from techmart_fast.errors import ExitCode, WrongWarehouseError
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.settings import BigQuerySettings, Settings
from techmart_fast.warehouse import Owner
from tests.shops import Shop

USERS = """user_id,email,registration_date,country,age_group,customer_tier
{user},ana@example.com,2023-01-01,DE,25-34,vip
"""


def users(folder: Path, name: str) -> DataSources:
    path = folder / f"{name}.csv"
    path.write_text(USERS.format(user=name))
    return DataSources(users=(str(path),))


def with_dataset(settings: Settings, dataset: str) -> Settings:
    return Settings(
        pipeline=settings.pipeline,
        postgres=settings.postgres,
        bigquery=BigQuerySettings(dataset_id=dataset),
    )


async def test_published_rows_are_not_looked_for_in_an_empty_dataset(
    make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    shop = make_shop()
    assert (await shop.run(users(tmp_path, "u1"))).error is None
    moved = Shop(settings=with_dataset(shop.settings, "elsewhere"))
    with pytest.raises(WrongWarehouseError, match="elsewhere is empty") as refused:
        await moved.run(users(tmp_path, "u2"))
    assert refused.value.exit_code is ExitCode.SINKS_DIFFER
    async with open_sinks(moved.settings, postgres=False) as sinks:
        assert not await sinks.warehouse.probe(), "a refused run leaves no dataset behind"
    back = await shop.run(users(tmp_path, "u2"))
    assert back.error is None
    assert back.published["users"] == 1


async def test_two_databases_do_not_share_a_dataset(
    make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    first, second = make_shop(), make_shop()
    assert (await first.run(users(tmp_path, "u1"))).error is None
    mixed = Shop(settings=with_dataset(second.settings, first.settings.bigquery.dataset_id))
    with pytest.raises(WrongWarehouseError, match="another PostgreSQL database"):
        await mixed.run(users(tmp_path, "u2"))
    assert (await second.run(users(tmp_path, "u2"))).error is None


async def test_two_first_runs_at_once_do_not_disturb_each_other(
    make_shop: Callable[..., Shop],
) -> None:
    settings = make_shop().settings

    async def claim() -> None:
        async with open_sinks(settings) as sinks:
            await sinks.postgres.migrate()
            known = await sinks.postgres.publication()
            await start.wait()
            await sinks.warehouse.ensure(Owner(database_id=known.database_id, has_published=False))

    start = asyncio.Barrier(3)
    await asyncio.gather(claim(), claim(), claim())
