"""Rejected records are loaded after a fix as if they had been right from the start, once."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from techmart_fast.api import DataSources, reconcile, replay
from techmart_fast.contract import load_contract
from techmart_fast.errors import ConfigError, DecodeError, ExitCode, WarehouseError
from techmart_fast.pipeline.corrections import Correction, read_corrections
from techmart_fast.pipeline.reconciled import Standing
from techmart_fast.pipeline.replayed import ReplayResult
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.postgres import PostgresSink, QuarantineFilter, WaitingRecord
from techmart_fast.records import Feed
from techmart_fast.results import RunStatus
from techmart_fast.warehouse import WarehouseSink
from tests.forms import long_form
from tests.odd_shop import PRODUCTS, USERS, sale
from tests.shops import Shop, State

MakeShop = Callable[..., Shop]

WRONG_USERS = USERS.replace("ü@", "ü%")
# As long as what is right, so that every record has the same place in both files.
WRONG = {3: ("currency", "XXX"), 8: ("amount", "4O.00"), 20: ("status", "complete_")}
MENDED = {
    b"XXX": b"CAD",
    b"4O.00": b"40.00",
    b"complete_": b"completed",
    "ü%".encode(): "ü@".encode(),
}


def sales(*, right: bool) -> list[dict[str, object]]:
    """Forty sales, and a newer version of one that may be wrong."""
    rows = [sale(number, amount="40.00") for number in range(40)]
    rows[20]["status"] = "completed"
    rows += [sale(3, amount="41.00", status="refunded")]
    if not right:
        for number, (name, value) in WRONG.items():
            rows[number][name] = value
    return rows


def feeds(
    folder: Path, rows: Sequence[dict[str, object]], *, users: str = USERS, like: str = "ndjson"
) -> DataSources:
    folder.mkdir(exist_ok=True)
    (folder / "users.csv").write_text(users, encoding="utf-8")
    (folder / "products.json").write_text(json.dumps(PRODUCTS), encoding="utf-8")
    path = folder / f"sales.{like}"
    if like == "csv":
        with path.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, rows[0], quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(rows)
    elif like == "json":
        path.write_text(json.dumps(rows, indent=1))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataSources(
        users=(str(folder / "users.csv"),),
        products=(str(folder / "products.json"),),
        transactions=(str(path),),
    )


async def waiting(shop: Shop, **filters: object) -> list[WaitingRecord]:
    chosen = QuarantineFilter(**filters)  # type: ignore[arg-type]  # any filter
    async with open_sinks(shop.settings, warehouse=False) as sinks:
        await sinks.postgres.migrate()
        return [one for feed in Feed for one in await sinks.postgres.waiting_records(feed, chosen)]


async def replayed(shop: Shop, **how: object) -> ReplayResult:
    result = await replay(settings=shop.settings, **how)  # type: ignore[arg-type]  # passed on
    assert result.run.error is None, result.run.error
    assert all(counts.adds_up for counts in result.run.feeds.values())
    return result


async def is_equal(shop: Shop) -> bool:
    return (await reconcile(settings=shop.settings)).standing is Standing.EQUAL


def corrections(records: Sequence[WaitingRecord]) -> dict[int, Correction]:
    mended = {}
    for record in records:
        raw = record.raw
        for wrong, right in MENDED.items():
            raw = raw.replace(wrong, right)
        mended[record.number] = Correction(raw=raw)
    return mended


def but_for_quality(state: State) -> State:
    """The state without what goes on telling that records were rejected once."""
    return {
        name: [{key: row[key] for key in row if "quality" not in key} for row in rows]
        for name, rows in state.items()
        if name != "quarantine"
    }


@pytest.fixture
async def damaged(make_shop: MakeShop, tmp_path: Path) -> Shop:
    """A shop with a wrong user and three wrong sales in its quarantine."""
    shop = make_shop()
    result = await shop.run(feeds(tmp_path, sales(right=False), users=WRONG_USERS))
    assert result.error is None
    return shop


@pytest.mark.parametrize("like", long_form(("ndjson", "json", "csv"), short=("csv",)))
async def test_corrected_records_end_in_the_state_of_files_that_were_right(
    make_shop: MakeShop, tmp_path: Path, like: str
) -> None:
    shop, other = make_shop(), make_shop()
    await shop.run(feeds(tmp_path, sales(right=False), users=WRONG_USERS, like=like))
    records = await waiting(shop)
    assert [one.record_key for one in records] == ["1:u", "t3", "t8", "t20"]
    result = await replayed(shop, corrections=corrections(records))
    assert (result.resolved, result.refused) == (4, ())
    assert result.run.released == 10
    await other.run(feeds(tmp_path / "right", sales(right=True), like=like))
    assert but_for_quality(await shop.state()) == but_for_quality(await other.state())
    [newest] = await shop.rows("SELECT amount FROM transactions WHERE transaction_id = 't3'")
    assert newest["amount"] == Decimal("41.00")
    assert not await waiting(shop)
    assert await is_equal(shop)
    again = await replayed(shop, corrections=corrections(records))
    assert (again.resolved, again.not_waiting) == (0, 4)
    assert not any(counts.read for counts in again.run.feeds.values())


async def test_a_mended_contract_takes_what_fits_now_and_keeps_the_rest_with_its_new_reason(
    damaged: Shop, tmp_path: Path
) -> None:
    mended = tmp_path / "shop.toml"
    mended.write_text(
        '[transactions.values.currency]\nXXX = "CAD"\n'
        '[transactions.values.status]\ncomplete_ = "completed"\n'
    )
    result = await replayed(damaged, contract=load_contract(mended))
    counts = result.run.feeds[Feed.TRANSACTIONS]
    assert (counts.read, counts.rejected_by_reason) == (3, {"not_a_number": 1})
    left = await waiting(damaged, code="not_a_number")
    assert [(one.record_key, one.code) for one in left] == [("t8", "not_a_number")]
    assert b"4O.00" in left[0].raw
    assert await is_equal(damaged)
    marks = await damaged.rows(
        "SELECT q.record_key, b.kind, b.run_id FROM techmart_loader.quarantine AS q "
        "JOIN techmart_loader.batches AS b ON b.batch_no = q.resolved_batch_no"
    )
    assert {(row["record_key"], row["kind"], row["run_id"]) for row in marks} == {
        ("t3", "replay", result.run.run_id),
        ("t20", "replay", result.run.run_id),
    }


async def test_a_correction_that_is_wrong_too_leaves_the_quarantine_as_it_is(
    damaged: Shop,
) -> None:
    before = await waiting(damaged)
    by_key = {one.record_key: one for one in before}
    wrong = {
        by_key["t3"].number: Correction(raw=by_key["t3"].raw.replace(b"XXX", b"???")),
        by_key["t8"].number: Correction(raw=b"{} {}"),
        by_key["t20"].number: Correction(raw=b""),
        by_key["1:u"].number: Correction(raw=by_key["1:u"].raw + b"\nu5,a@b.com,2023-01-01,DE,,"),
    }
    result = await replayed(damaged, corrections=wrong)
    assert {one.code for one in result.refused} == {
        "unknown_currency", "not_an_object", "invalid_json", "invalid_csv",
    } - {"not_an_object"}  # fmt: skip
    assert {one.number for one in result.refused} == set(wrong)
    assert result.resolved == 0
    assert await waiting(damaged) == before


async def test_a_csv_record_may_be_corrected_as_an_object(damaged: Shop) -> None:
    [user] = await waiting(damaged, feed=Feed.USERS, code="invalid_email")
    line = {"number": user.number, "record": {
        "user_id": "1:u", "email": "ue@example.com", "registration_date": "2023-01-02",
        "country": "FR", "customer_tier": "premium"}}  # fmt: skip
    path = damaged.settings.home / "corrected.ndjson"
    path.write_text(json.dumps(line) + "\n\n")
    result = await replayed(damaged, corrections=read_corrections(path))
    assert (result.resolved, result.run.released) == (1, 10)
    assert await is_equal(damaged)


@pytest.mark.parametrize(
    "place", long_form(("write", "premium_users", "publish"), short=("publish",))
)
async def test_an_interrupted_replay_is_carried_on(
    damaged: Shop, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    mended = corrections(await waiting(damaged))
    with monkeypatch.context() as broken:
        if place == "publish":
            broken.setattr(WarehouseSink, "merge", _out_of_order)
        else:
            broken.setattr(PostgresSink, place, _gone)
        stopped = await replay(settings=damaged.settings, corrections=mended)
    assert stopped.run.status is RunStatus.FAILED
    behind = ExitCode.SINKS_DIFFER if place == "publish" else ExitCode.FAILED
    assert stopped.run.exit_code is behind
    left = {"write": 4, "premium_users": 3, "publish": 0}[place]
    assert len(await waiting(damaged)) == left
    done = await replayed(damaged, corrections=mended)
    assert (done.resolved, done.not_waiting) == (left, 4 - left)
    assert await is_equal(damaged)
    [there] = await damaged.rows("SELECT count(*) FROM transactions")
    assert there["count"] == 40


async def _out_of_order(*_: object, **__: object) -> None:
    raise WarehouseError("out of order")


async def _gone(*_: object, **__: object) -> None:
    raise DecodeError("broken here")


async def test_a_corrected_record_is_not_news_to_whoever_reads_its_file_again(
    damaged: Shop, tmp_path: Path
) -> None:
    await replayed(damaged, corrections=corrections(await waiting(damaged)))
    before = await damaged.state()
    # By this contract the file's own words are right, and would be another transaction.
    other = tmp_path / "other.toml"
    other.write_text(
        '[transactions.values.currency]\nXXX = "USD"\n'
        '[transactions.values.status]\ncomplete_ = "failed"\n'
    )
    again = await damaged.run(
        feeds(tmp_path, sales(right=False), users=WRONG_USERS), contract=load_contract(other)
    )
    counts = again.feeds[Feed.TRANSACTIONS]
    assert (counts.adds_up, counts.rejected, counts.loaded) == (True, 0, 0)
    assert (again.feeds[Feed.USERS].rejected, again.feeds[Feed.USERS].duplicate) == (0, 4)
    assert not await waiting(damaged)
    assert await damaged.state() == before
    assert await is_equal(damaged)


async def test_corrections_of_another_database_are_refused_before_anything_is_changed(
    damaged: Shop,
) -> None:
    records = await waiting(damaged)
    mended = corrections(records)
    strange = records[-1].number
    place = {"feed": "transactions", "source_name": records[-1].source.name, "source_offset": 7}
    mended[strange] = replace(mended[strange], place=place)
    refused = await replay(settings=damaged.settings, corrections=mended)
    assert refused.run.exit_code is ExitCode.USAGE
    assert f"record {strange} is of another one" in str(refused.run.error)
    assert await waiting(damaged) == records


async def test_records_stay_those_of_the_run_that_rejected_them(damaged: Shop) -> None:
    [first] = await damaged.rows("SELECT run_id FROM techmart_loader.runs")
    records = await waiting(damaged, run_id=first["run_id"])
    await replayed(damaged)
    assert await waiting(damaged, run_id=first["run_id"]) == records


async def test_a_file_whose_header_does_not_fit_the_contract_holds_up_no_other(
    damaged: Shop, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(
        '[users.fields]\nemail = "mail"\n[transactions.values.currency]\nXXX = "CAD"\n'
    )
    result = await replayed(damaged, contract=load_contract(other))
    assert (list(result.unfit.values()), result.resolved) == ([1], 1)
    assert "has no column 'mail'" in result.notes[0]


def test_numbers_of_a_corrected_record_are_kept_letter_by_letter(tmp_path: Path) -> None:
    path = tmp_path / "corrected.ndjson"
    path.write_bytes(
        b'\xef\xbb\xbf{"number": 7, "record": '
        b'{"amount": 10.000000000000000001, "n": [1e400, "\\u00e9"]}}'
    )
    assert json.loads(read_corrections(path)[7].raw, parse_float=str) == {
        "amount": "10.000000000000000001",
        "n": ["1e400", "é"],
    }


async def test_records_are_chosen_by_number_reason_and_feed(damaged: Shop) -> None:
    numbers = {one.record_key: one.number for one in await waiting(damaged)}
    mended = corrections(await waiting(damaged))
    one = await replayed(damaged, corrections=mended, numbers=[numbers["t8"], 10_000])
    assert (one.resolved, one.not_waiting) == (1, 0)
    two = await replayed(
        damaged, corrections=mended, filters=QuarantineFilter(code="unknown_currency")
    )
    assert two.resolved == 1
    assert {row.record_key for row in await waiting(damaged)} == {"1:u", "t20"}


async def test_what_postgresql_refuses_stays_in_the_quarantine(damaged: Shop) -> None:
    await damaged.rows(
        "ALTER TABLE transactions ADD CONSTRAINT no_eight CHECK (transaction_id <> 't8') NOT VALID"
    )
    result = await replayed(damaged, corrections=corrections(await waiting(damaged)))
    assert [one.code for one in result.refused] == ["refused_by_database"]
    assert result.resolved == 3
    [left] = await waiting(damaged)
    assert (left.record_key, left.code) == ("t8", "not_a_number")
    assert await is_equal(damaged)


async def test_records_that_can_not_be_read_again_are_left_out_and_told(
    make_shop: MakeShop, tmp_path: Path
) -> None:
    shop = make_shop(max_record_bytes=10_000)
    rows = [sale(1), sale(2, note="x" * 20_000), sale(3)]
    await shop.run(feeds(tmp_path, rows, users=WRONG_USERS))
    await shop.rows("UPDATE techmart_loader.files SET header = NULL")
    result = await replayed(shop)
    assert (result.cut_off, result.without_header, result.resolved) == (1, 1, 0)
    assert len(result.notes) == 2
    # Loading the file again stores its header.
    await shop.run(feeds(tmp_path, rows, users=WRONG_USERS))
    again = await replayed(shop, filters=QuarantineFilter(feed=Feed.USERS))
    assert (again.without_header, again.run.feeds[Feed.USERS].rejected) == (0, 1)


async def test_pages_of_the_quarantine_are_bounded_in_rows_and_bytes(damaged: Shop) -> None:
    async with open_sinks(damaged.settings, warehouse=False) as sinks:

        async def page(**limits: int) -> int:
            return len(
                await sinks.postgres.waiting_records(
                    Feed.TRANSACTIONS, QuarantineFilter(), **limits
                )
            )

        assert [await page(rows=2), await page(size_bytes=1), await page(size_bytes=300)] == [
            2,
            1,
            2,
        ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 1: this is no JSON"),
        ('{"raw": "x"}', "line 1: there is no number"),
        ('{"number": true, "raw": "x"}', "line 1: there is no number"),
        ('{"number": 1.0, "raw": "x"}', "line 1: there is no number"),
        ('{"number": 9223372036854775808, "raw": "x"}', "line 1: no record has so large a number"),
        ('{"number": 1, "record": {"a": 1, "a": 2}}', "line 1: a name stands twice"),
        ('{"number": 1, "record": {"a": NaN}}', "line 1: this is no JSON"),
        ('{"number": 1}', "line 1: it needs either 'raw' or 'record'"),
        ('{"number": 1, "raw": "x", "record": {}}', "line 1: it needs either"),
        (
            '{"number": 1, "raw": "secret!", "raw_encoding": "base64"}',
            "line 1: 'raw' is not in base64",
        ),
        ('{"number": 1, "raw": "x"}\n{"number": 1, "raw": "y"}', "line 2: record 1 is there twice"),
        ("\n\n", "holds no corrections"),
    ],
)
def test_a_file_of_corrections_that_is_none_is_refused_without_quoting_it(
    tmp_path: Path, line: str, said: str
) -> None:
    path = tmp_path / "corrected.ndjson"
    path.write_text(line)
    with pytest.raises(ConfigError) as refused:
        read_corrections(path)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)
