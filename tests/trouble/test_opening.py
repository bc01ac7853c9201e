"""A warehouse that can't be used when a run begins, and refusals that say what to do."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import requests

from techmart_fast.errors import (
    ExitCode,
    SourceChangedError,
    WarehouseAccessError,
    WarehouseError,
)
from techmart_fast.local import LocalHome, status
from techmart_fast.pipeline import find
from techmart_fast.records import Feed, SourceFile
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


async def test_a_file_that_changes_while_the_sinks_open_ends_the_run_before_it_loads(
    make_shop: MakeShop, generated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, sources = make_shop(), sources_in(copytree(generated, tmp_path / "shop"))
    look = find.look

    def look_and_change(feed: Feed, specs: Sequence[str], **more: Any) -> list[SourceFile]:
        seen = look(feed, specs, **more)
        if feed is Feed.TRANSACTIONS:
            with seen[0].path.open("ab") as file:
                file.write(b"{}\n")
        return seen

    monkeypatch.setattr(find, "look", look_and_change)
    with pytest.raises(SourceChangedError):
        await shop.run(sources)
    monkeypatch.undo()
    told = await shop.rows("SELECT status, error FROM techmart_loader.runs")
    assert [row["status"] for row in told] == ["failed"]
    assert "changed" in told[0]["error"]
    [loaded] = await shop.rows("SELECT count(*) FROM users")
    assert not loaded["count"]
    assert (await shop.run(sources)).error is None
