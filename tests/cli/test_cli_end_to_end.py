"""The command line as a user has it: processes, real servers, signals, pipes."""

import json
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cli_support import environment, spawn
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from techmart_fast.dev import ShopSpec, generate

ROWS = 1_500
FEEDS = ("users", "products", "transactions")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small generated shop with a few defects, and its truth."""
    folder = tmp_path_factory.mktemp("shop")
    generate(ShopSpec(out=folder, transactions=ROWS, users=200, products=50, days=40))
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose servers run for as long as these tests need them."""
    home = tmp_path_factory.mktemp("home")
    started = spawn("local", "start", "--json", home=home)
    assert started.returncode == 0, started.stderr
    assert json.loads(started.stdout)["kept"] is True
    yield home
    stopped = spawn("local", "stop", "--json", home=home)
    assert json.loads(stopped.stdout)["running"] is False
    assert "Nothing was running" in spawn("local", "stop", home=home).stdout


def load(*more: str, shop: Path, home: Path) -> subprocess.CompletedProcess[str]:
    sources = [
        *("--users", str(shop / "users.csv")),
        *("--products", str(shop / "products.json")),
        *("--transactions", str(shop / "transactions.ndjson")),
    ]
    return spawn("run", *sources, *more, home=home)


@pytest.fixture(scope="module")
def loaded(shop: Path, home: Path) -> dict[str, Any]:
    """The object that the first `run --json` printed."""
    done = load("--json", shop=shop, home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert all(json.loads(line)["event"] for line in done.stderr.splitlines())
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def truth(shop: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((shop / "truth.json").read_text())
    return told


def test_run_prints_one_object_whose_counts_are_the_truth(
    loaded: dict[str, Any], shop: Path
) -> None:
    assert loaded["status"] == "completed"
    assert loaded["run_id"]
    assert loaded["seconds"] > 0
    assert loaded["rows_per_second"] > 0
    assert set(loaded["quality"]) >= {"completeness", "accuracy", "consistency"}
    for feed in FEEDS:
        told = loaded["feeds"][feed]
        expected = truth(shop)["feeds"][feed]
        assert {name: told[name] for name in expected} == expected


def test_the_same_run_again_is_nothing_new_and_says_so(
    loaded: dict[str, Any], shop: Path, home: Path
) -> None:
    again = load(shop=shop, home=home)
    assert again.returncode == 0, again.stderr
    assert "nothing new" in again.stdout.lower()
    assert "\x1b" not in again.stdout


def test_the_report_has_the_true_revenue_of_every_day(
    loaded: dict[str, Any], shop: Path, home: Path
) -> None:
    done = spawn("report", "daily-sales", "--json", home=home)
    rows = json.loads(done.stdout, parse_float=Decimal)
    revenue = {row["date"]: f"{row['total_revenue']:.2f}" for row in rows}
    assert revenue == truth(shop)["revenue_usd"]


def test_a_report_is_a_spreadsheet_too(loaded: dict[str, Any], home: Path) -> None:
    table = spawn("report", "financials", "--csv", "--limit", "2", home=home)
    assert table.returncode == 0, table.stderr
    assert len(table.stdout.splitlines()) == 3


def test_status_and_quarantine_tell_of_the_run(loaded: dict[str, Any], home: Path) -> None:
    standing = spawn("status", "--json", home=home)
    assert standing.returncode == 0, standing.stderr
    told = json.loads(standing.stdout)
    assert told["runs"][-1]["run_id"] == loaded["run_id"]
    assert told["warehouse_behind"] is False
    rows = json.loads(spawn("quarantine", "list", "--json", "--limit", "999", home=home).stdout)
    rejected = sum(loaded["feeds"][feed]["rejected"] for feed in FEEDS)
    assert len(rows) == rejected > 0
    number = str(rows[0]["number"])
    one = json.loads(spawn("quarantine", "show", number, "--json", home=home).stdout)
    assert one["code"] == rows[0]["code"]
    assert one["raw"]


def test_doctor_finds_everything_well(home: Path) -> None:
    done = spawn("doctor", "--json", home=home)
    assert done.returncode == 0, done.stdout
    assert {check["check"] for check in json.loads(done.stdout)} >= {"database", "warehouse"}


def test_quality_below_a_threshold_is_exit_code_3_and_loads_all_the_same(
    loaded: dict[str, Any], home: Path
) -> None:
    good = '{"user_id": "q1", "email": "a@b.example", "registration_date": "2024-01-01", '
    bad = good.replace("q1", "q2")
    done = spawn(
        *("run", "--users", "-", "--json", "--quiet"),
        home=home,
        stdin=good + '"country": "PT"}\n' + bad + '"country": "XX"}\n',
    )
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert (told["exit_code"], told["quality_verdict"]) == (3, "FAIL")
    assert (told["feeds"]["users"]["loaded"], told["feeds"]["users"]["rejected"]) == (1, 1)
    assert "accuracy" in done.stderr
    assert done.stderr.count("\n") == 1


def test_too_many_rejections_stop_the_run_with_exit_code_4(
    loaded: dict[str, Any], home: Path
) -> None:
    done = spawn(
        *("run", "--users", "-", "--json", "--quiet", "--max-rejected", "1"),
        home=home,
        stdin='{"user_id": "l1"}\n{"user_id": "l2"}\n',
    )
    assert done.returncode == 4, done.stderr
    told = json.loads(done.stdout)
    assert (told["exit_code"], told["feeds"]["users"]["rejected"]) == (4, 2)
    assert "more than --max-rejected 1" in done.stderr
    newest = json.loads(spawn("status", "--json", home=home).stdout)["runs"][0]
    assert newest["status"] == told["status"] == "failed"
    assert "more than --max-rejected 1" in newest["error"]
    assert newest["feeds"]["users"]["rejected"] == 2


def test_both_sinks_are_compared_and_synced(loaded: dict[str, Any], home: Path) -> None:
    compared = spawn("reconcile", "--json", "--quiet", home=home)
    assert compared.returncode == 0, compared.stderr
    told = json.loads(compared.stdout)
    assert (told["standing"], told["exit_code"]) == ("equal", 0)
    assert told["tables"]["transactions"]["postgres_rows"] > 0
    assert told["accounting"]["adds_up"] is True
    synced = spawn("sync", "--json", "--quiet", home=home)
    assert synced.returncode == 0, synced.stderr
    assert json.loads(synced.stdout)["published"] == {}
    assert "hold the same rows" in spawn("reconcile", home=home).stdout
    wrong = spawn("sync", "--all", home=home)
    assert wrong.returncode == 2
    assert "--republish" in wrong.stderr


def test_rejected_records_are_exported_corrected_and_replayed(
    loaded: dict[str, Any], home: Path, tmp_path: Path
) -> None:
    out, corrected = tmp_path / "rejected.ndjson", tmp_path / "corrected.ndjson"
    chosen = ("--feed", "transactions", "--reason", "unknown_currency")
    done = spawn("quarantine", "export", *chosen, "--out", str(out), home=home)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    twice = spawn("quarantine", "export", "--out", str(out), home=home)
    assert (twice.returncode, "is there already" in twice.stderr) == (2, True)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == loaded["feeds"]["transactions"]["rejected_by_reason"]["unknown_currency"]
    told = [
        {"number": line["number"], "record": json.loads(line["raw"]) | {"currency": "EUR"}}
        for line in lines
    ]
    corrected.write_text("".join(json.dumps(one) + "\n" for one in told))
    replayed = spawn("quarantine", "replay", "--rows", str(corrected), "--json", home=home)
    assert replayed.returncode == 0, replayed.stderr
    result = json.loads(replayed.stdout)
    assert (result["resolved"], result["refused"]) == (len(lines), [])
    assert json.loads(spawn("reconcile", "--json", home=home).stdout)["standing"] == "equal"
    said = spawn("quarantine", "replay", *chosen, home=home)
    assert (said.returncode, "Nothing like that waits" in said.stdout) == (0, True)
    wrong = spawn("quarantine", "replay", "--rows", str(out.with_suffix(".gone")), home=home)
    assert (wrong.returncode, "Can't read" in wrong.stderr) == (2, True)


def test_nothing_is_compared_or_synced_before_the_first_run(tmp_path: Path) -> None:
    for command in ("reconcile", "sync"):
        done = spawn(command, home=tmp_path / "home")
        assert (done.returncode, "Nothing was loaded yet" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("limit", "code"), [("50%", 4), ("100%", 3), ("101%", 2), ("-1", 2), ("1.5", 2), ("x%", 2)]
)
def test_the_limit_of_rejections_may_be_a_share(
    loaded: dict[str, Any], home: Path, limit: str, code: int
) -> None:
    done = spawn(
        *("run", "--users", "-", "--json", "--quiet", "--max-rejected", limit),
        home=home,
        stdin=f'{{"user_id": "{limit}"}}\n',
    )
    assert done.returncode == code, done.stderr


def test_a_dry_run_prints_a_plan_and_loads_nothing(shop: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    users = str(shop / "users.csv")
    planned = json.loads(spawn("run", "--dry-run", "--json", "--users", users, home=home).stdout)
    counts = truth(shop)["feeds"]["users"]
    assert planned["status"] == "planned"
    assert planned["feeds"]["users"]["read"] == counts["read"]
    assert planned["feeds"]["users"]["rejected_by_reason"] == counts["rejected_by_reason"]
    assert planned["tables"]["users"]["load_jobs"] == 1
    for_people = spawn("run", "--dry-run", "--users", users, home=home).stdout
    assert "nothing was loaded" in for_people
    assert "load jobs are free" in for_people
    assert json.loads(spawn("status", "--json", home=home).stdout)["runs"] == []


def test_output_that_can_not_be_written_is_told_in_one_line(home: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "techmart_fast", "status", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(home),
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: Can't write to standard output: No space left on device.")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_end_no_command(closed: str, home: Path) -> None:
    line = f'"{sys.executable}" -m techmart_fast status --json {closed}'
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(home),
        check=False,
    )
    assert done.returncode == 0, done.stderr


def started(*arguments: str, home: Path, **settings: str) -> subprocess.Popen[str]:
    """The command as a process that a test listens to while it works."""
    return subprocess.Popen(
        [sys.executable, "-m", "techmart_fast", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment(home), **settings},
    )


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.torture),
    ],
)
def test_a_stopped_run_says_so_and_the_next_one_carries_on(
    number: signal.Signals, code: int, home: Path, tmp_path: Path
) -> None:
    rows, prefix = 4_000, f"s{number}"
    generate(ShopSpec(out=tmp_path, transactions=rows, users=50, products=20, days=2))
    sources = []
    for name in ("users.csv", "products.json", "transactions.ndjson"):
        file = tmp_path / name
        # Ids of its own: other tests load their shops into the same database.
        own = re.sub(rb"\b(usr|prd|txn)_", prefix.encode() + rb"\g<0>", file.read_bytes())
        file.write_bytes(own)
        sources += [f"--{file.stem}", str(file)]
    # Little is read before it is committed, so that much is left when the signal comes.
    few = {"TECHMART_BLOCK_BYTES": "65536", "TECHMART_CHANNEL_BYTES": "65536"}
    with started("run", "--json", *sources, home=home, **few) as child:
        assert child.stderr is not None
        for line in child.stderr:
            event = json.loads(line)
            if event["event"] == "progress" and event["feed"] == "transactions":
                child.send_signal(number)
                break
        out, _ = child.communicate(timeout=120)
    stopped = json.loads(out)
    assert (child.returncode, stopped["status"], stopped["exit_code"]) == (code, "stopped", code)
    assert stopped["feeds"]["transactions"]["read"] < rows
    # What was read until then is committed and published.
    standing = json.loads(spawn("status", "--json", home=home).stdout)
    assert standing["warehouse_behind"] is False
    if number is signal.SIGINT:
        # Judged together with what the stopped run took in: by itself, a rest may score anything.
        rest = spawn("run", "--quiet", "--json", *sources, home=home)
        assert rest.returncode == 0, rest.stderr
        counts = truth(tmp_path)["feeds"]["transactions"]
        unique = 1 - counts["duplicate"] / counts["read"]
        by_feed = json.loads(rest.stdout)["quality_by_feed"]
        assert by_feed["transactions"]["uniqueness"] == pytest.approx(unique, abs=0.00005)
        sql = f"select count(*) from transactions where transaction_id like '{prefix}%'"
        stored = int(spawn("local", "psql", "--", "-Atc", sql, home=home).stdout)
        assert stored == truth(tmp_path)["end_state"]["rows"]["transactions"]


@pytest.mark.parametrize(
    ("arguments", "phase"),
    [
        (("--users", "-"), "Looking at the input"),  # and it waits for what is never said
        ((), "Opening PostgreSQL and the warehouse"),
    ],
)
def test_a_run_stops_before_it_began_to_load(
    arguments: tuple[str, ...], phase: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with started("run", "--json", *arguments, home=home) as child:
        assert child.stderr is not None
        assert child.stdout is not None
        for line in child.stderr:
            if json.loads(line).get("what") == phase:
                child.send_signal(signal.SIGINT)
                break
        # Not `communicate`: it would close standard input, which is what the run waits for.
        assert child.wait(timeout=60) == 130
        stopped = json.loads(child.stdout.read())
    assert (stopped["status"], stopped["feeds"]["users"]["read"]) == ("stopped", 0)
    assert "before anything was loaded" in stopped["error"]
    assert list((home / "spool").iterdir()) == []
    assert json.loads(spawn("local", "status", "--json", home=home).stdout)["running"] is False


def test_the_stand_in_serves_tools_of_the_users_own_until_it_is_stopped(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with started("local", "bigquery", "--json", home=home) as child:
        assert child.stdout is not None
        told = json.loads(child.stdout.readline())
        client = bigquery.Client(
            told["project"],
            AnonymousCredentials(),
            client_options={"api_endpoint": told["url"]},
        )
        ((one,),) = client.query_and_wait("SELECT 1")
        client.close()
        port = told["url"].rpartition(":")[2]
        elsewhere = spawn("local", "bigquery", "--port", str(int(port) - 1), home=home)
        assert elsewhere.returncode == 2
        assert told["url"] in elsewhere.stderr
        child.send_signal(signal.SIGINT)
        assert (one, child.wait(timeout=60)) == (1, 0)
    assert json.loads(spawn("local", "status", "--json", home=home).stdout)["running"] is False
