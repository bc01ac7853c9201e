"""Data quality end to end: scores, verdicts, quarantine with its place, repairs, unknown fields.

Runnable alone: `python tests/test_data_quality.py`.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from techmart_fast.api import DataSources
from techmart_fast.contract import parse_contract
from techmart_fast.dev import ShopSpec, generate
from techmart_fast.errors import ExitCode, SourceNotFoundError, WarehouseError
from techmart_fast.facade import ECommerceAnalyticsPipeline
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.postgres import QuarantineFilter, RunStart
from techmart_fast.quality import QualityStatus
from techmart_fast.reasons import REASONS
from techmart_fast.records import Feed
from techmart_fast.results import RunStatus
from techmart_fast.warehouse import STAND_IN_PROJECT, WarehouseSink
from tests.shops import Shop

_USERS = "user_id,email,registration_date,country,age_group,customer_tier\n"


def _transaction(number: int, **changes: object) -> dict[str, object]:
    return {
        "transaction_id": f"t{number}",
        "user_id": "u1",
        "product_id": "p1",
        "amount": 10,
        "currency": "USD",
        "timestamp": "2025-03-01T10:00:00Z",
        "payment_method": "paypal",
        "status": "completed",
        **changes,
    }


@pytest.fixture
def feeds(tmp_path: Path) -> DataSources:
    (tmp_path / "users.csv").write_text(_USERS + "u1,ann@example.com,2024-01-01, de,,\n")
    (tmp_path / "products.json").write_text('[{"product_id": "p1", "name": "Lamp", "price": 5}]')
    lines = [
        json.dumps(_transaction(1)),
        json.dumps(_transaction(2, status=" Completed", channel="web")),
        json.dumps(_transaction(3, amount="ten")),
        '{"transaction_id": "t4", "user_id": ',
        json.dumps(_transaction(5, user_id="nobody")),
        json.dumps(_transaction(1)),
        json.dumps(_transaction(6, currency=None)),
        json.dumps(_transaction(7, amount=900, payment_method="apple_pay")),
    ]
    (tmp_path / "transactions.ndjson").write_text("\n".join(lines) + "\n")
    return DataSources(
        users=(str(tmp_path / "users.csv"),),
        products=(str(tmp_path / "products.json"),),
        transactions=(str(tmp_path / "transactions.ndjson"),),
    )


async def test_scores_follow_the_counts_and_a_fail_sets_the_exit_code_but_loses_nothing(
    lean_shop: Shop, feeds: DataSources
) -> None:
    result = await lean_shop.run(feeds)
    counts = result.feeds[Feed.TRANSACTIONS]
    assert (counts.read, counts.loaded, counts.rejected) == (8, 3, 3)
    assert (counts.held, counts.duplicate) == (1, 1)
    assert counts.rejected_by_reason == {
        "not_a_number": 1,
        "invalid_json": 1,
        "missing_field": 1,
    }
    scores = {
        name: quality.value for name, quality in result.quality_by_feed[Feed.TRANSACTIONS].items()
    }
    assert scores == {
        "completeness": Decimal("0.8594"),  # 55 of 64: eight records, one of them damaged
        "accuracy": Decimal("0.8750"),  # one wrong value in eight
        "consistency": Decimal("0.7500"),  # one held beside three loaded
        "validity": Decimal("0.6667"),  # one of three has a rule flag
        "uniqueness": Decimal("0.8750"),
        "timeliness": None,
    }
    assert result.status is RunStatus.COMPLETED
    assert result.verdict is QualityStatus.FAIL
    assert result.exit_code is ExitCode.QUALITY_FAIL
    (stored,) = await lean_shop.rows("SELECT count(*) FROM transactions")
    assert stored["count"] == 3


def _monitored(url: str, shop: Shop) -> list[dict[str, object]]:
    """The rows of pipeline_monitoring, by Google's client alone."""
    with bigquery.Client(
        project=STAND_IN_PROJECT,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": url},
    ) as client:
        table = f"{shop.settings.bigquery.dataset_id}.pipeline_monitoring"
        return [dict(row) for row in client.query_and_wait(f"SELECT * FROM {table}")]


async def test_scores_and_the_run_are_stored_in_both_sinks(shop: Shop, feeds: DataSources) -> None:
    result = await shop.run(feeds)
    metrics = await shop.rows(
        "SELECT * FROM techmart_loader.data_quality_metrics WHERE dimension = 'accuracy'"
    )
    stored = {row["table_name"]: row["value"] for row in metrics}
    assert float(str(stored["transactions"])) == 0.875
    assert set(stored) == {"all", "users", "products", "transactions"}
    async with open_sinks(shop.settings, postgres=False) as sinks:
        assert sinks.local.standin is not None
        runs = await asyncio.to_thread(_monitored, sinks.local.standin.url, shop)
    (run,) = runs
    assert run["run_id"] == str(result.run_id)
    assert run["status"] == "completed"
    assert (run["records_read"], run["records_rejected"]) == (10, 3)


async def test_both_sinks_know_of_every_run_also_of_those_that_failed_or_were_killed(
    shop: Shop, feeds: DataSources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await shop.run(feeds)
    with pytest.raises(SourceNotFoundError):
        await shop.run(DataSources(users=(str(tmp_path / "absent.csv"),)))
    async with open_sinks(shop.settings) as sinks:  # a run that is gone: nobody ends it
        killed = await sinks.postgres.start_run(
            RunStart(
                run_id=uuid4(),
                started_at=datetime.now(UTC),
                contract_name="techmart",
                contract_version="v",
                loader_version="0",
                lease_seconds=60.0,
            )
        )
    with monkeypatch.context() as patch:
        patch.setattr(WarehouseSink, "record_run", _unreachable)
        untold = await shop.run(feeds)
    assert "The next run does it." in " ".join(untold.notes)
    last = await shop.run(feeds)
    async with open_sinks(shop.settings) as sinks:
        assert sinks.local.standin is not None
        monitored = await asyncio.to_thread(_monitored, sinks.local.standin.url, shop)
        stored = await sinks.postgres.runs()
    told = {run["run_id"]: (run["status"], run["error"]) for run in monitored}
    assert told == {str(run.run_id): (run.status, run.error) for run in stored}
    assert {str(run) for run in (first.run_id, killed.run_id, untold.run_id, last.run_id)} < set(
        told
    )
    assert [run.status for run in stored].count("failed") == 2
    assert any("absent.csv" in str(error) for _, error in told.values())


async def _unreachable(*_: object) -> None:
    raise WarehouseError("BigQuery does not answer.", reason="timeout", transient=True)


async def test_repairs_and_unknown_fields_are_reported_and_reject_nothing(
    lean_shop: Shop, feeds: DataSources
) -> None:
    result = await lean_shop.run(feeds)
    assert result.feeds[Feed.USERS].repaired == 1
    assert result.feeds[Feed.TRANSACTIONS].repaired == 1
    assert set(result.unknown_fields[Feed.TRANSACTIONS]) == {"channel"}
    assert result.feeds[Feed.USERS].rejected == 0


async def test_a_quote_that_is_never_closed_is_suspected(lean_shop: Shop, tmp_path: Path) -> None:
    lines = [f"u{n},a@b.example,2024-01-01,DE,,\n" for n in range(6)]
    lines[1] = '"' + lines[1]
    lines[4] = lines[4].replace("a@", '"a@')
    (tmp_path / "users.csv").write_text(_USERS + "".join(lines))
    result = await lean_shop.run(DataSources(users=(str(tmp_path / "users.csv"),)))
    counts = result.feeds[Feed.USERS]
    assert (counts.read, counts.loaded, counts.rejected) == (3, 2, 1)
    (note,) = result.notes
    assert "users: rejected records reach over 3 more lines. Is a quote never closed" in note


async def test_timeliness_is_judged_only_with_a_service_level(
    lean_shop: Shop, feeds: DataSources
) -> None:
    contract = parse_contract("[transactions]\nsla_hours = 24", name="timed")
    result = await lean_shop.run(feeds, contract=contract)
    assert result.quality["timeliness"].value == 0
    assert result.quality["timeliness"].status is QualityStatus.FAIL


async def test_every_rejected_record_is_kept_with_its_reason_place_and_exact_bytes(
    shop: Shop, tmp_path: Path
) -> None:
    generate(
        ShopSpec(
            out=tmp_path, transactions=3000, users=200, products=60, defects=Decimal("0.2"), seed=4
        )
    )
    result = await shop.load(tmp_path)
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    total = sum(counts.rejected for counts in result.feeds.values())
    async with open_sinks(shop.settings, warehouse=False) as sinks:
        listed = await sinks.postgres.quarantine_list(QuarantineFilter(), limit=100_000)
        assert len(listed) == total > 100
        for row in listed:
            shown = await sinks.postgres.quarantine_show(row.quarantine_id)
            assert shown is not None
            data = content[Path(shown.source_name).name]
            place = shown.source_offset
            assert data[place : place + len(shown.raw)] == shown.raw
            assert shown.source_line == data.count(b"\n", 0, place) + 1
            assert shown.message == REASONS[shown.code].sentence(shown.field)
    await shop.load(tmp_path)
    (kept,) = await shop.rows("SELECT count(*) FROM techmart_loader.quarantine")
    assert kept["count"] == total


async def test_a_feed_of_nothing_but_damage_fails(lean_shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "broken.ndjson").write_text('{"broken": \n' * 50)
    sources = DataSources(transactions=(str(tmp_path / "broken.ndjson"),))
    result = await lean_shop.run(sources)
    assert result.feeds[Feed.TRANSACTIONS].rejected == 50
    assert result.quality["completeness"].value == 0
    assert result.exit_code is ExitCode.QUALITY_FAIL


def test_a_feed_that_does_not_exist_is_a_failed_report() -> None:
    report = ECommerceAnalyticsPipeline().run_pipeline({"orders": "orders.csv"})
    assert report["status"] == "failed"
    assert report["error"] is not None
    assert "no feed 'orders'" in report["error"]


@pytest.mark.parametrize("given", [["users.csv"], "users.csv"])
def test_sources_that_are_no_mapping_are_a_failed_report(given: Any) -> None:
    report = ECommerceAnalyticsPipeline().run_pipeline(given)
    assert report["status"] == "failed"
    assert "no mapping" in str(report["error"])


@pytest.fixture(autouse=True)
def _no_settings_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, *sys.argv[1:]]))
