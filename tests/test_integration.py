"""The main job end to end, on real servers: counts, money and every rollup against the truth.

Runnable alone: `python tests/test_integration.py`.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from techmart_fast.api import DataSources
from techmart_fast.bundled import bundled
from techmart_fast.contract import default_contract, parse_contract
from techmart_fast.dev import Compression, FileFormat, ShopSpec, generate
from techmart_fast.errors import (
    ConfigError,
    DecodeError,
    ExitCode,
    LeaseHeldError,
    SinkError,
    SourceNotFoundError,
    TechmartError,
)
from techmart_fast.quality import QualityStatus
from techmart_fast.records import Feed
from techmart_fast.results import RunResult, RunStatus
from techmart_fast.settings import Settings
from tests.model.shop import ShopModel
from tests.shops import Shop, State, sources_in, with_postgres

MakeShop = Callable[..., Shop]


def _truth(folder: Path) -> dict[str, object]:
    truth: dict[str, object] = json.loads((folder / "truth.json").read_text())
    return truth


def _feeds(result: RunResult) -> dict[str, dict[str, object]]:
    extra = {"corrected", "repaired"}
    feeds = result.to_dict()["feeds"]
    assert isinstance(feeds, dict)
    return {
        feed: {name: count for name, count in counts.items() if name not in extra}
        for feed, counts in feeds.items()
    }


def _model(folder: Path) -> ShopModel:
    model = ShopModel(default_contract())
    for feed in Feed:
        model.feed(feed, *sorted(folder.glob(f"{feed}*")))
    return model


def _expect_rollups(state: State, model: ShopModel) -> None:
    """Every column of every rollup equals the independent computation."""
    expected = {
        "daily-sales": model.daily_sales(),
        "users": model.user_analytics(),
        "products": model.product_performance(),
        "financials": model.financial_reports(),
    }
    keys = {
        "daily-sales": ("date",),
        "users": ("user_id",),
        "products": ("product_id",),
        "financials": ("report_type", "period_start"),
    }
    for report, rows in expected.items():
        key = keys[report]
        computed = {tuple(row[name] for name in key): row for row in state[report]}
        wanted = {tuple(row[name] for name in key): row for row in rows}
        assert computed.keys() == wanted.keys(), report
        for place, row in wanted.items():
            # Masking an address is not a figure: the warehouse's own tests look at it.
            figures = {name: value for name, value in computed[place].items() if name != "email"}
            assert figures == row, (report, place)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    generate(ShopSpec(out=folder, transactions=4000, users=300, products=80, seed=3))
    return folder


async def test_the_sample_is_loaded_as_its_truth_says_and_passes_its_thresholds(
    shop: Shop,
) -> None:
    result = await shop.run()
    truth = json.loads(bundled("data", "sample_truth.json").read_text())
    assert result.error is None
    assert _feeds(result) == truth["feeds"]
    assert result.exit_code is ExitCode.DONE
    assert all(counts.adds_up for counts in result.feeds.values())
    daily = (await shop.reports())["daily-sales"]
    assert {str(row["date"]): f"{row['total_revenue']:.2f}" for row in daily} == truth[
        "revenue_usd"
    ]


async def test_counts_money_and_rollups_of_a_generated_shop_are_right(
    shop: Shop, generated: Path
) -> None:
    result = await shop.load(generated)
    truth = _truth(generated)
    assert _feeds(result) == truth["feeds"]
    end = truth["end_state"]
    assert isinstance(end, dict)
    (stored,) = await shop.rows("SELECT count(*), sum(amount_usd) FROM transactions")
    assert stored == {
        "count": end["rows"]["transactions"],
        "sum": Decimal(end["amount_usd"]),
    }
    by_currency = await shop.rows("SELECT currency, sum(amount) FROM transactions GROUP BY 1")
    assert {row["currency"]: f"{row['sum']:.2f}" for row in by_currency} == end["amount"]
    assert await shop.warehouse_sums() == (stored["count"], stored["sum"])
    _expect_rollups(await shop.state(), _model(generated))


async def test_the_same_run_again_changes_nothing_and_says_so(shop: Shop, generated: Path) -> None:
    first = await shop.load(generated)
    before = await shop.state()
    audited = await shop.rows("SELECT count(*) FROM audit_logs")
    again = await shop.load(generated)
    assert await shop.state() == before
    assert await shop.rows("SELECT count(*) FROM audit_logs") == audited
    assert again.nothing_new
    assert any("Nothing new" in note for note in again.notes)
    for feed, counts in again.feeds.items():
        assert counts.adds_up
        assert counts.loaded == counts.held == 0
        assert counts.rejected == first.feeds[feed].rejected


@pytest.mark.parametrize(
    ("layout", "compression"),
    [
        (FileFormat.JSON, Compression.GZIP),
        (FileFormat.CSV, Compression.ZSTD),
        (FileFormat.NDJSON, Compression.BZ2),
    ],
)
async def test_every_format_and_compression_loads_what_its_truth_says(
    lean_shop: Shop, tmp_path: Path, layout: FileFormat, compression: Compression
) -> None:
    generate(
        ShopSpec(
            out=tmp_path,
            transactions=1500,
            users=100,
            products=40,
            seed=5,
            format=layout,
            compression=compression,
        )
    )
    result = await lean_shop.load(tmp_path)
    assert _feeds(result) == _truth(tmp_path)["feeds"]


def _write_transactions(path: Path, statuses: dict[str, str], amount: str = "10.00") -> DataSources:
    lines = [
        json.dumps(
            {
                "transaction_id": identifier,
                "user_id": "u1",
                "product_id": "p1",
                "amount": amount,
                "currency": "USD",
                "timestamp": f"2025-03-0{1 + number % 9}T10:00:00Z",
                "payment_method": "paypal",
                "status": status,
            }
        )
        for number, (identifier, status) in enumerate(statuses.items())
    ]
    path.write_text("\n".join(lines) + "\n")
    return DataSources(transactions=(str(path),))


def _write_parents(folder: Path, *, users: str = "u1") -> DataSources:
    (folder / "users.csv").write_text(
        "user_id,email,registration_date,country,age_group,customer_tier\n"
        + "".join(f"{user},{user}@example.com,2024-01-01,DE,,vip\n" for user in users.split())
    )
    (folder / "products.json").write_text(
        json.dumps([{"product_id": "p1", "name": "Lamp", "category": "home", "price": 20}])
    )
    return DataSources(
        users=(str(folder / "users.csv"),), products=(str(folder / "products.json"),)
    )


async def test_corrections_change_exactly_the_corrected_rows_and_an_old_file_takes_nothing_back(
    shop: Shop, tmp_path: Path
) -> None:
    await shop.run(_write_parents(tmp_path))
    ids = [f"t{number:03d}" for number in range(100)]
    first = _write_transactions(tmp_path / "first.ndjson", dict.fromkeys(ids, "pending"))
    await shop.run(first)
    half = dict.fromkeys(ids[::2], "completed")
    rest = dict.fromkeys(ids[1::2], "pending")
    second = _write_transactions(
        tmp_path / "second.ndjson", {identifier: (half | rest)[identifier] for identifier in ids}
    )
    corrected = (await shop.run(second)).feeds[Feed.TRANSACTIONS]
    assert (corrected.loaded, corrected.corrected, corrected.duplicate) == (50, 50, 50)
    query = "SELECT transaction_id, status FROM transactions ORDER BY 1"
    expected = [
        {"transaction_id": identifier, "status": (half | rest)[identifier]} for identifier in ids
    ]
    assert await shop.rows(query) == expected
    audits = await shop.rows("SELECT count(*) FROM audit_logs WHERE table_name = 'transactions'")
    old = (await shop.run(first)).feeds[Feed.TRANSACTIONS]
    assert (old.read, old.loaded, old.duplicate) == (100, 0, 100)
    assert await shop.rows(query) == expected
    assert (
        await shop.rows("SELECT count(*) FROM audit_logs WHERE table_name = 'transactions'")
        == audits
    )


async def test_pieces_in_any_order_end_in_the_state_of_one_run(
    make_shop: MakeShop, tmp_path: Path
) -> None:
    generate(ShopSpec(out=tmp_path, transactions=1200, users=60, products=20, seed=11, split=5))
    contract = parse_contract('[transactions]\nordinal = "name"', name="pieces")
    whole, pieces = make_shop(), make_shop()
    await whole.load(tmp_path, contract=contract)
    sources = sources_in(tmp_path)
    late = replace(sources, users=(), products=())
    for place in (3, 0, 4, 2, 1):
        one = replace(late, transactions=(late.transactions[place],))
        assert (await pieces.run(one, contract=contract)).error is None
        if place == 4:
            await pieces.run(replace(sources, transactions=()), contract=contract)
    await pieces.run(replace(sources, transactions=()), contract=contract)
    expected, reached = await whole.state(), await pieces.state()
    for name, rows in expected.items():
        assert reached[name] == rows, name


async def test_held_transactions_are_released_by_themselves_when_the_parent_arrives(
    shop: Shop, tmp_path: Path
) -> None:
    transactions = _write_transactions(tmp_path / "t.ndjson", {"t1": "completed", "t2": "failed"})
    early = await shop.run(transactions)
    assert early.feeds[Feed.TRANSACTIONS].held == 2
    assert await shop.rows("SELECT * FROM transactions") == []
    later = await shop.run(_write_parents(tmp_path))
    assert later.released == 2
    rows = await shop.rows(
        "SELECT transaction_id, processing_priority FROM transactions ORDER BY 1"
    )
    assert rows == [
        {"transaction_id": "t1", "processing_priority": "high"},
        {"transaction_id": "t2", "processing_priority": "high"},
    ]
    daily = (await shop.reports())["daily-sales"]
    assert [str(row["date"]) for row in daily] == ["2025-03-01", "2025-03-02"]
    again = await shop.run(transactions)
    assert again.feeds[Feed.TRANSACTIONS].duplicate == 2


async def test_a_stopped_run_keeps_what_it_committed_and_the_next_one_completes_it(
    make_shop: MakeShop, tmp_path: Path
) -> None:
    generate(ShopSpec(out=tmp_path, transactions=6000, users=100, products=30, seed=2))
    stopped, whole = make_shop(block_bytes=64 * 1024, channel_bytes=64 * 1024), make_shop()
    stop = asyncio.Event()
    running = asyncio.ensure_future(stopped.run(sources_in(tmp_path), stop=stop))
    while not running.done():
        await asyncio.sleep(0.02)
        found = await stopped.rows("SELECT to_regclass('public.transactions') AS there")
        if found[0]["there"] and (await stopped.rows("SELECT 1 FROM transactions LIMIT 1")):
            stop.set()
    result = await running
    assert result.status is RunStatus.STOPPED
    assert result.exit_code is ExitCode.INTERRUPTED
    folder = stopped.settings.home / "spool" / str(result.run_id)
    folder.mkdir(exist_ok=True)
    (folder / "of-a-batch-that-never-committed.parquet").touch()
    assert (await stopped.load(tmp_path)).status is RunStatus.COMPLETED
    assert not folder.exists()
    await whole.load(tmp_path)
    assert await stopped.state() == await whole.state()
    runs = await stopped.rows("SELECT status FROM techmart_loader.runs ORDER BY started_at")
    assert [row["status"] for row in runs] == ["stopped", "completed"]


async def test_what_a_run_cost_is_told_and_stored(shop: Shop) -> None:
    result = await shop.run()
    assert result.cost is not None
    assert result.cost.modelled
    # Every query bills ten MiB a table at least.
    assert result.cost.bytes_billed >= (result.cost.jobs - 8) * 10 * 2**20
    assert result.cost.usd == round(Decimal(result.cost.bytes_billed) * Decimal("6.25") / 2**40, 6)
    (stored,) = await shop.rows(
        "SELECT warehouse_jobs, warehouse_bytes_billed, warehouse_usd FROM techmart_loader.runs"
    )
    assert list(stored.values()) == [result.cost.jobs, result.cost.bytes_billed, result.cost.usd]


async def test_a_cancelled_run_is_cancelled_and_written_down(
    lean_shop: Shop, generated: Path
) -> None:
    running = asyncio.create_task(lean_shop.run(sources_in(generated)))
    while not running.done():
        await asyncio.sleep(0.02)
        found = await lean_shop.rows("SELECT to_regclass('public.transactions') AS there")
        if found[0]["there"] and (await lean_shop.rows("SELECT 1 FROM transactions LIMIT 1")):
            break
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(running, timeout=0.01)
    assert running.cancelled()
    (row,) = await lean_shop.rows("SELECT status, error FROM techmart_loader.runs")
    assert row == {"status": "stopped", "error": "Cancelled."}
    assert (await lean_shop.load(generated)).status is RunStatus.COMPLETED


async def test_a_run_that_is_stopped_at_once_loads_nothing(
    lean_shop: Shop, generated: Path
) -> None:
    stop = asyncio.Event()
    stop.set()
    result = await lean_shop.run(sources_in(generated), stop=stop)
    assert (result.status, result.exit_code) == (RunStatus.STOPPED, ExitCode.INTERRUPTED)
    assert (await lean_shop.load(generated)).status is RunStatus.COMPLETED


async def test_two_runs_at_once_one_says_why_not(lean_shop: Shop, generated: Path) -> None:
    results = await asyncio.gather(
        lean_shop.load(generated), lean_shop.load(generated), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, BaseException)]
    assert len(refused) == 1
    assert isinstance(refused[0], LeaseHeldError)
    assert refused[0].exit_code is ExitCode.LEASE_HELD


def _one_line(error: TechmartError) -> str:
    message = str(error)
    assert message
    assert "\n" not in message
    return message


async def test_a_rerun_with_other_blocks_and_writers_finds_the_same_batches(
    lean_shop: Shop,
) -> None:
    first = await lean_shop.run()
    other = with_postgres(lean_shop.settings, writers=1)
    smaller = other.pipeline.model_copy(update={"block_bytes": 70_000})
    changed = Settings(pipeline=smaller, postgres=other.postgres, bigquery=other.bigquery)
    again = await Shop(settings=changed).run()
    assert again.nothing_new
    assert (again.verdict, again.exit_code) == (QualityStatus.PASS, ExitCode.DONE)
    assert all(quality.value is None for quality in again.quality.values())
    assert again.rows_read == first.rows_read


async def test_a_run_that_can_not_begin_says_so_in_one_line_and_writes_nothing(
    shop: Shop, tmp_path: Path
) -> None:
    with pytest.raises(SourceNotFoundError) as missing:
        await shop.run(DataSources(transactions=(str(tmp_path / "absent.json"),)))
    assert "absent.json" in _one_line(missing.value)
    assert missing.value.exit_code is ExitCode.USAGE
    picture = tmp_path / "picture.json"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(DecodeError) as strange:
        await shop.run(DataSources(users=(str(picture),)))
    assert "picture.json" in _one_line(strange.value)
    assert await shop.rows("SELECT to_regclass('public.transactions') AS there") == [
        {"there": None}
    ]


async def test_a_wrong_password_and_a_dead_server_are_told_apart(shop: Shop) -> None:
    wrong = Shop(settings=with_postgres(shop.settings, password=SecretStr("not-this-one")))
    with pytest.raises(SinkError) as refused:
        await wrong.run()
    assert refused.value.exit_code is ExitCode.USAGE
    assert "not-this-one" not in _one_line(refused.value)
    dead = Shop(settings=with_postgres(shop.settings, host="127.0.0.1", port=9))
    with pytest.raises(SinkError) as down:
        await dead.run()
    assert down.value.exit_code is ExitCode.FAILED
    assert down.value.transient
    assert "127.0.0.1" in _one_line(down.value)


async def test_a_currency_without_a_rate_yet_fails_the_run_as_a_configuration_error(
    lean_shop: Shop, tmp_path: Path
) -> None:
    await lean_shop.run(_write_parents(tmp_path))
    contract = parse_contract(
        '[[rates]]\ncurrency = "USD"\nsince = 2030-01-01\nunits_per_usd = 1\n', name="late rates"
    )
    sources = _write_transactions(tmp_path / "t.ndjson", {"t1": "completed"})
    result = await lean_shop.run(sources, contract=contract)
    assert result.status is RunStatus.FAILED
    assert result.exit_code is ConfigError.exit_code
    assert result.error is not None
    assert "no rate of USD" in result.error
    runs = await lean_shop.rows(
        "SELECT status, error FROM techmart_loader.runs ORDER BY started_at"
    )
    assert runs[-1]["status"] == "failed"
    assert runs[-1]["error"] == result.error


@pytest.fixture(autouse=True)
def _no_settings_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, *sys.argv[1:]]))
