"""A warehouse that can't be used when a run begins, and refusals that say what to do."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from techmart_fast.errors import ExitCode, WarehouseAccessError, WarehouseError
from techmart_fast.local import LocalHome, status
from techmart_fast.results import RunStatus
from techmart_fast.warehouse import STAND_IN_PROJECT
from tests.shops import State, sources_in
from tests.trouble.asking import MERGE_JOB, UPLOAD, Ask, Fault, MakeShop, as_without_trouble

LOOK: Fault = {"method": "GET", "path": "/datasets/", "times": 99}


async def test_postgresql_does_not_wait_for_a_warehouse_that_is_down(
    make_shop: MakeShop, ask: Ask, generated: Path, untroubled: dict[str, State]
) -> None:
    shop = make_shop()
    ask({**LOOK, "reason": "backendError", "status": 503})
    failed = await shop.run(sources_in(generated))
    assert (failed.status, failed.exit_code) == (RunStatus.FAILED, ExitCode.SINKS_DIFFER)
    assert "PostgreSQL is loaded, the warehouse is behind" in str(failed.error)
    [loaded] = await shop.rows("SELECT count(*) FROM transactions")
    assert loaded["count"]
    ask()
    await shop.load(generated)
    await as_without_trouble(shop, make_shop, generated, untroubled)


async def test_nor_for_one_that_no_longer_lets_it_in(
    make_shop: MakeShop, ask: Ask, generated: Path
) -> None:
    shop = make_shop()
    users = replace(sources_in(generated), transactions=())
    assert (await shop.run(users)).error is None
    ask({**LOOK, "reason": "accessDenied", "status": 403})
    failed = await shop.run(sources_in(generated))
    assert failed.exit_code is ExitCode.SINKS_DIFFER
    assert "Grant the account" in str(failed.error)
    [loaded] = await shop.rows("SELECT count(*) FROM transactions")
    assert loaded["count"]


async def test_one_that_never_let_it_in_is_told_before_anything_is_loaded(
    make_shop: MakeShop, ask: Ask, generated: Path
) -> None:
    shop = make_shop()
    ask({**LOOK, "reason": "accessDenied", "status": 403})
    with pytest.raises(WarehouseAccessError, match="Grant the account") as refused:
        await shop.run(sources_in(generated))
    assert refused.value.exit_code is ExitCode.USAGE
    [loaded] = await shop.rows("SELECT count(*) FROM transactions")
    assert not loaded["count"]


@pytest.mark.parametrize(
    ("fault", "todo"),
    [
        ({**MERGE_JOB, "reason": "accessDenied"}, "Grant the account roles/"),
        ({**UPLOAD, "reason": "accessDenied", "status": 403, "times": 9}, "Grant the account"),
        ({**MERGE_JOB, "reason": "bytesBilledLimitExceeded"}, "BIGQUERY_MAXIMUM_BYTES_BILLED"),
    ],
    ids=["merge", "upload", "limit"],
)
async def test_a_refusal_in_the_middle_says_what_to_do(
    fault: Fault, todo: str, make_shop: MakeShop, ask: Ask, generated: Path
) -> None:
    shop = make_shop()
    ask(fault)
    failed = await shop.run(sources_in(generated))
    assert failed.exit_code is ExitCode.SINKS_DIFFER
    assert todo in str(failed.error)
    assert "Run again" in str(failed.error)


async def test_a_dataset_whose_tables_expire_is_refused(
    make_shop: MakeShop, generated: Path, shop_home: LocalHome
) -> None:
    shop = make_shop()
    standin = status(shop_home).standin
    assert standin is not None
    address = f"{standin.url}/bigquery/v2/projects/{STAND_IN_PROJECT}/datasets"
    dataset = {
        "datasetReference": {"datasetId": shop.settings.bigquery.dataset_id},
        "defaultTableExpirationMs": "5184000000",
    }
    made = await asyncio.to_thread(requests.post, address, data=json.dumps(dataset), timeout=10)
    assert made.status_code == 200
    with pytest.raises(WarehouseError, match="--default_table_expiration 0"):
        await shop.run(sources_in(generated))
