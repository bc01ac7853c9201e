"""A database that was restored from an older backup: what came since is loaded again, and sent."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from techmart_fast.api import reconcile, sync
from techmart_fast.local import LocalPostgres
from techmart_fast.pipeline.reconciled import Standing
from tests.odd_shop import feeds, sale
from tests.shops import Shop, with_postgres


@pytest.mark.torture
async def test_what_came_since_is_loaded_again_and_the_warehouse_repaired(
    shop: Shop,
    postgres_server: LocalPostgres,
    new_database: Callable[..., LocalPostgres],
    tmp_path: Path,
) -> None:
    await shop.run(feeds(tmp_path, *(sale(number) for number in range(12)), name="one"))
    backup = new_database(replace(postgres_server, database=shop.settings.postgres.db))
    since = (
        feeds(tmp_path, *(sale(number, status="refunded") for number in range(6, 20)), name="two"),
        feeds(tmp_path, *(sale(number, amount="5.00") for number in range(3, 9)), name="three"),
    )
    for sources in since:
        await shop.run(sources)
    expected = await shop.state()
    # The same dataset, and the database as it was.
    restored = replace(shop, settings=with_postgres(shop.settings, db=backup.database))
    assert (await reconcile(settings=restored.settings)).standing is Standing.DIFFERS
    for sources in since:
        assert (await restored.run(sources)).error is None
    done = await sync(settings=restored.settings, republish=True)
    assert done.run.error is None, done.run.error
    assert (await reconcile(settings=restored.settings)).standing is Standing.EQUAL
    assert await restored.state() == expected
