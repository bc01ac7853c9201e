"""Reports, status and quarantine for people and scripts, from sinks that never were."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pyarrow as pa
import pytest
from cli_support import call

from techmart_fast.cli import rejected, reporting, standing
from techmart_fast.cli.reporting import SHOWN
from techmart_fast.errors import SinkError
from techmart_fast.postgres import QuarantineFilter, QuarantineRow, RunRow, SinkStatus
from techmart_fast.records import Feed, FeedCounts
from techmart_fast.warehouse import ReportKind

RUN = RunRow(
    run_id=UUID("12345678-0000-4000-8000-000000000001"),
    status="completed",
    started_at=datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC),
    ended_at=datetime(2025, 1, 2, 3, 4, 15, tzinfo=UTC),
    seconds=10.0,
    contract_name="techmart",
    contract_version="abc",
    loader_version="0.1.0",
    feeds={Feed.USERS: FeedCounts(read=12, loaded=10, rejected=1, held=0, duplicate=1)},
    bytes_read=1_000,
    peak_memory_bytes=2_000,
    warehouse_jobs=25,
    warehouse_bytes_billed=1 << 40,
    warehouse_usd=Decimal("6.25"),
    warehouse_modelled=True,
    error=None,
)
STORED = SinkStatus(
    users=10,
    products=4,
    active_products=3,
    transactions=1_000,
    amount_usd=Decimal("1234.50"),
    held=2,
    quarantined=1,
    outbox_pending=0,
    outbox_pending_rows=0,
    lease_run_id=None,
    lease_since=None,
    lease_held=False,
)
ROW = QuarantineRow(
    quarantine_id=7,
    feed=Feed.TRANSACTIONS,
    code="unknown_currency",
    field="currency",
    message="currency is not a currency of the contract",
    source_name="[sales].ndjson",
    source_line=12,
    source_offset=345,
    record_key="t1",
    record_date=date(2025, 1, 1),
    rejected_at=datetime(2025, 1, 2, tzinfo=UTC),
    resolved_at=None,
    raw=b'{"currency": "\x1b[31mXXX"}',
)


class FakeSink:
    """Answers the questions of `status` and `quarantine`, and a report, from memory."""

    def __init__(self) -> None:
        self.stored = STORED
        self.run_rows = [RUN]
        self.rows = [ROW]
        self.filters: list[QuarantineFilter] = []
        self.table = pa.table({"x": [1]})
        self.asked: dict[str, object] = {}

    async def migrate(self) -> tuple[int, ...]:
        return ()

    async def ensure(self) -> None:
        return

    async def status(self) -> SinkStatus:
        return self.stored

    async def runs(self, limit: int) -> list[RunRow]:
        return self.run_rows[:limit]

    async def runs_named(self, beginning: str) -> list[UUID]:
        ids = [run.run_id for run in self.run_rows]
        return [run_id for run_id in ids if str(run_id).startswith(beginning.lower())][:2]

    async def quarantine_list(self, filters: QuarantineFilter, limit: int) -> list[QuarantineRow]:
        self.filters.append(filters)
        return [replace(row, raw=b"") for row in self.rows[:limit]]

    async def quarantine_show(self, number: int) -> QuarantineRow | None:
        return next((row for row in self.rows if row.quarantine_id == number), None)

    async def report(self, kind: ReportKind, **asked: object) -> pa.Table:
        self.asked = {"kind": kind, **asked}
        return self.table.slice(0, asked["limit"])


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeSink:
    fake = FakeSink()

    @asynccontextmanager
    async def open_sinks(*_: object, **__: object) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(postgres=fake, warehouse=fake)

    for module in (standing, rejected, reporting):
        monkeypatch.setattr(module, "open_sinks", open_sinks)
    monkeypatch.setenv("TECHMART_HOME", str(tmp_path))
    (tmp_path / "postgres" / "18").mkdir(parents=True)
    return fake


Capsys = pytest.CaptureFixture[str]


# --- status -----------------------------------------------------------------------------------


def test_status_shows_runs_what_is_stored_and_that_the_warehouse_has_it(
    sink: FakeSink, capsys: Capsys
) -> None:
    called = call(capsys, "status")
    assert called.code == 0
    row = next(line for line in called.out.splitlines() if line.startswith("12345678"))
    assert row.split() == [
        *("12345678", "2025-01-02", "03:04:05", "completed", "10.0", "s"),
        *("12", "10", "1", "0", "1"),
        *("1100", "GB", "6.2500"),
    ]
    assert "modelled by the stand-in, no bill" in called.out
    assert "USD 1,234.50" in called.out
    assert "was published to the warehouse" in called.out


def test_status_says_when_the_warehouse_is_behind_and_ends_with_5(
    sink: FakeSink, capsys: Capsys
) -> None:
    sink.stored = replace(STORED, outbox_pending=2, outbox_pending_rows=70_000)
    called = call(capsys, "status")
    assert called.code == 5
    assert "behind: 70,000 rows in 2 files" in called.out


def test_status_says_that_an_index_is_put_off(sink: FakeSink, capsys: Capsys) -> None:
    assert "put off" not in call(capsys, "status").out
    sink.stored = replace(STORED, owed_index="transactions_user_id")
    called = call(capsys, "status")
    assert called.code == 0
    assert "transactions_user_id is put off: queries by user read the whole table" in called.out
    assert json.loads(call(capsys, "status", "--json").out)["stored"]["owed_index"]


def test_a_run_at_work_is_not_called_behind(sink: FakeSink, capsys: Capsys) -> None:
    sink.stored = replace(STORED, outbox_pending=2, lease_run_id=RUN.run_id, lease_held=True)
    called = call(capsys, "status")
    assert called.code == 0
    assert str(RUN.run_id) in called.out


def test_a_run_that_is_gone_is_behind_and_not_called_at_work(
    sink: FakeSink, capsys: Capsys
) -> None:
    sink.stored = replace(STORED, outbox_pending=2, lease_run_id=RUN.run_id)
    called = call(capsys, "status")
    assert called.code == 5
    assert "ended without finishing" in called.out


def test_the_error_of_a_failed_run_is_shown(sink: FakeSink, capsys: Capsys) -> None:
    sink.run_rows = [replace(RUN, status="failed", error="The [server] went away.", seconds=None)]
    assert "12345678: The [server] went away." in call(capsys, "status").out


def test_status_for_scripts_is_one_object(sink: FakeSink, capsys: Capsys) -> None:
    told = json.loads(call(capsys, "status", "--json").out)
    assert told["warehouse_behind"] is False
    assert told["stored"]["transactions"] == 1_000
    assert told["runs"][0]["feeds"]["users"]["loaded"] == 10
    assert told["runs"][0]["feeds"]["products"]["read"] == 0


def test_before_the_first_run_nothing_is_started(
    capsys: Capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TECHMART_HOME", str(tmp_path / "new"))
    assert "No runs yet" in call(capsys, "status").out
    assert json.loads(call(capsys, "status", "--json").out)["runs"] == []
    assert "No such" in call(capsys, "quarantine", "list").out
    assert call(capsys, "quarantine", "show", "1").code == 2
    assert not (tmp_path / "new").exists()


# --- quarantine -------------------------------------------------------------------------------


def test_rejected_records_are_listed_with_number_reason_and_place(
    sink: FakeSink, capsys: Capsys
) -> None:
    called = call(capsys, "quarantine", "list")
    row = called.out.splitlines()[1].split()
    assert row == ["7", "transactions", "unknown_currency", "currency", "[sales].ndjson", "12"]
    assert "There are more" not in called.out


def test_more_rejected_records_than_the_limit_are_mentioned(sink: FakeSink, capsys: Capsys) -> None:
    sink.rows = [replace(ROW, quarantine_id=number) for number in range(5)]
    called = call(capsys, "quarantine", "list", "--limit", "3")
    assert "There are more" in called.out
    assert sum("unknown_currency" in line for line in called.out.splitlines()) == 3
    assert len(json.loads(call(capsys, "quarantine", "list", "--limit", "3", "--json").out)) == 3


def test_the_filters_of_the_command_reach_the_sink(sink: FakeSink, capsys: Capsys) -> None:
    run_id = str(RUN.run_id)
    words = "list --feed users --reason invalid_email --source u.csv --resolved --run"
    assert call(capsys, "quarantine", *words.split(), run_id).code == 0
    assert sink.filters == [
        QuarantineFilter(
            feed=Feed.USERS,
            code="invalid_email",
            source="u.csv",
            run_id=RUN.run_id,
            include_resolved=True,
        )
    ]


@pytest.mark.parametrize(
    ("runs", "words"), [([], "There is no run"), ([RUN, RUN], "There are several runs")]
)
def test_the_beginning_of_a_runs_id_must_name_one(
    runs: list[RunRow], words: str, sink: FakeSink, capsys: Capsys
) -> None:
    assert call(capsys, "quarantine", "list", "--run", "12345678").code == 0
    assert sink.filters[-1].run_id == RUN.run_id
    sink.run_rows = runs
    called = call(capsys, "quarantine", "list", "--run", "12345678")
    assert called.code == 2
    assert words in called.err


def test_names_from_a_feed_do_not_command_the_terminal(sink: FakeSink, capsys: Capsys) -> None:
    sink.rows = [replace(ROW, source_name="a\x1b]0;title\x07\x1b[31m.csv")]
    called = call(capsys, "quarantine", "list")
    assert "a\\x1b]0;title\\x07\\x1b[31m.csv" in called.out
    assert "\x1b" not in called.out


def test_one_record_is_shown_with_its_place_and_harmless_bytes(
    sink: FakeSink, capsys: Capsys
) -> None:
    called = call(capsys, "quarantine", "show", "7")
    assert called.code == 0
    assert '{"currency": "\\x1b[31mXXX"}' in called.out
    assert "345" in called.out
    assert "[sales].ndjson" in called.out


def test_one_record_for_scripts_has_its_bytes(sink: FakeSink, capsys: Capsys) -> None:
    told = json.loads(call(capsys, "quarantine", "show", "7", "--json").out)
    assert told["raw"].encode() == ROW.raw
    assert told["number"] == 7
    assert told["code"] == "unknown_currency"


def test_a_number_that_nothing_has_is_wrong_usage(sink: FakeSink, capsys: Capsys) -> None:
    called = call(capsys, "quarantine", "show", "8")
    assert called.code == 2
    assert "number 8" in called.err


# --- reports ----------------------------------------------------------------------------------


def report_table(kind: ReportKind, rows: int) -> pa.Table:
    """A report of the shown columns and a nested one; the first column tells rows apart."""
    first, *others = SHOWN[kind]
    columns: dict[str, object] = {first: [f"{number:04}" for number in range(rows)]}
    columns |= {name: [Decimal("1234.50")] * rows for name in others}
    nested = [[{"code": "EUR", "amount": Decimal("0.10")}]] * rows
    return pa.table({**columns, "nested": nested})


@pytest.mark.parametrize("kind", ReportKind)
def test_people_see_the_main_columns_within_80_characters(
    kind: ReportKind, sink: FakeSink, capsys: Capsys
) -> None:
    sink.table = report_table(kind, 3)
    called = call(capsys, "report", kind)
    assert called.code == 0
    assert "1,234.50" in called.out
    assert "3 rows" in called.out
    assert "nested" not in called.out
    header = called.out.splitlines()[0].split("  ")
    assert len([word for word in header if word.strip()]) == len(SHOWN[kind])


@pytest.mark.parametrize(
    ("kind", "first", "last"), [("daily-sales", "0001", "0030"), ("users", "0000", "0029")]
)
def test_people_see_thirty_rows_and_hear_of_more(
    kind: str, first: str, last: str, sink: FakeSink, capsys: Capsys
) -> None:
    sink.table = report_table(ReportKind(kind), 50)
    lines = call(capsys, "report", kind).out.splitlines()
    assert lines[1].startswith(first)
    assert lines[30].startswith(last)
    assert "There is more" in lines[-1]
    assert sink.asked["limit"] == 31


def test_scripts_get_every_row_and_column(sink: FakeSink, capsys: Capsys) -> None:
    sink.table = report_table(ReportKind.USERS, 50)
    rows = json.loads(call(capsys, "report", "users", "--json").out, parse_float=Decimal)
    assert len(rows) == 50
    assert rows[0]["nested"] == [{"code": "EUR", "amount": Decimal("0.10")}]
    lines = call(capsys, "report", "users", "--csv").out.splitlines()
    assert len(lines) == 51
    assert lines[0].split(",") == sink.table.column_names
    assert sink.asked["limit"] is None


def test_bounds_and_periods_reach_the_warehouse(sink: FakeSink, capsys: Capsys) -> None:
    words = "financials --period monthly --since 2024-01-01 --until 2024-06-30 --limit 5 --json"
    assert call(capsys, "report", *words.split()).code == 0
    assert sink.asked == {
        "kind": ReportKind.FINANCIALS,
        "limit": 5,
        "since": date(2024, 1, 1),
        "until": date(2024, 6, 30),
        "report_type": "monthly",
    }


def test_an_empty_report_is_said_or_an_empty_array(sink: FakeSink, capsys: Capsys) -> None:
    sink.table = report_table(ReportKind.USERS, 0)
    assert "Nothing to report" in call(capsys, "report", "users").out
    assert call(capsys, "report", "users", "--json").out == "[]\n"


@pytest.mark.parametrize(
    "command", ["status", "quarantine list", "quarantine show 7", "report users"]
)
def test_a_sink_that_fails_is_one_line(
    command: str, sink: FakeSink, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object, **__: object) -> None:
        raise SinkError("The server went away.")

    for name in ("runs", "quarantine_list", "quarantine_show", "report"):
        monkeypatch.setattr(sink, name, fails)
    called = call(capsys, *command.split())
    assert (called.code, called.out) == (1, "")
    assert called.err == "error: The server went away.\n"
