"""A whole story in the warehouse: always on the stand-in, on a real project when one is named.

    TECHMART_TEST_BIGQUERY_PROJECT=my-project make test ARGS=tests/test_bigquery_service.py

It makes a dataset of its own there and deletes it. Location: TECHMART_TEST_BIGQUERY_LOCATION (US).
"""

import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from techmart_fast.dev import ShopSpec, generate
from techmart_fast.errors import WarehouseError
from techmart_fast.local import LocalHome, status
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.records import Feed
from techmart_fast.settings import BigQuerySettings, Settings
from techmart_fast.warehouse import STAND_IN_PROJECT
from tests.shops import Shop

PROJECT = os.environ.get("TECHMART_TEST_BIGQUERY_PROJECT", "")
LOCATION = os.environ.get("TECHMART_TEST_BIGQUERY_LOCATION", "US")


async def load_twice_and_compare(shop: Shop, folder: Path) -> None:
    generate(ShopSpec(out=folder, transactions=400, users=50, products=20, days=5, seed=11))
    first = await shop.load(folder)
    assert first.published["transactions"] > 0
    (stored,) = await shop.rows("SELECT count(*), sum(amount_usd) FROM transactions")
    assert await shop.warehouse_sums() == (stored["count"], stored["sum"])
    before = await shop.reports()
    assert all(before.values())
    again = await shop.load(folder)
    assert again.feeds[Feed.TRANSACTIONS].loaded == 0
    assert await shop.reports() == before


async def test_a_shop_is_loaded_twice_into_the_stand_in(shop: Shop, tmp_path: Path) -> None:
    await load_twice_and_compare(shop, tmp_path)


async def test_a_shop_is_loaded_twice_through_a_bucket(
    make_shop: Callable[..., Shop], shop_home: LocalHome, tmp_path: Path
) -> None:
    standin = status(shop_home).standin
    assert standin is not None
    name = f"bucket-{uuid4().hex[:20]}"
    endpoint = {"api_endpoint": standin.url}
    objects = storage.Client(STAND_IN_PROJECT, AnonymousCredentials(), client_options=endpoint)
    objects.create_bucket(name)
    plain = make_shop(block_bytes=64 * 1024).settings
    through = plain.bigquery.model_copy(update={"staging_bucket": name})
    shop = Shop(
        settings=Settings(pipeline=plain.pipeline, postgres=plain.postgres, bigquery=through)
    )
    async with open_sinks(shop.settings, postgres=False) as sinks:
        assert await sinks.warehouse.try_bucket() == name
    await load_twice_and_compare(shop, tmp_path)
    client = bigquery.Client(STAND_IN_PROJECT, AnonymousCredentials(), client_options=endpoint)
    jobs = [
        job
        for job in client.list_jobs(max_results=100)
        if job.job_type == "load" and any(name in uri for uri in job.source_uris or ())
    ]
    # Several files in one job, and none stays in the bucket.
    assert max(len(job.source_uris) for job in jobs) > 1
    for uri in (uri for job in jobs for uri in job.source_uris):
        assert not objects.bucket(name).blob(uri.partition(f"{name}/")[2]).exists()
    client.close()
    objects.close()


async def test_a_missing_bucket_is_named_with_its_setting(shop: Shop) -> None:
    absent = shop.settings.bigquery.model_copy(update={"staging_bucket": "not-there"})
    settings = Settings(
        pipeline=shop.settings.pipeline, postgres=shop.settings.postgres, bigquery=absent
    )
    async with open_sinks(settings, postgres=False) as sinks:
        with pytest.raises(WarehouseError, match="check BIGQUERY_STAGING_BUCKET"):
            await sinks.warehouse.try_bucket()


@pytest.mark.skipif(not PROJECT, reason="TECHMART_TEST_BIGQUERY_PROJECT names no real project")
async def test_a_shop_is_loaded_twice_into_a_real_project(
    make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    local = make_shop().settings
    dataset = f"techmart_test_{uuid4().hex}"
    service = BigQuerySettings(project_id=PROJECT, dataset_id=dataset, location=LOCATION)
    settings = Settings(pipeline=local.pipeline, postgres=local.postgres, bigquery=service)
    try:
        await load_twice_and_compare(Shop(settings=settings), tmp_path)
    finally:
        client = bigquery.Client(project=PROJECT, location=LOCATION)
        client.delete_dataset(dataset, delete_contents=True, not_found_ok=True)
        client.close()
