"""The doctor: every finding is a line with what to do, never a stack trace."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_support import call

from techmart_fast.cli import checkup
from techmart_fast.cli.checkup import Checkup, database
from techmart_fast.errors import SinkAccessError, WarehouseError


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """Sinks that answer; the test may set `postgres_error` or `warehouse_error`."""
    state = SimpleNamespace(
        postgres_error=None,
        warehouse_error=None,
        server=SimpleNamespace(server_version="18.1", referential_integrity="set-based"),
    )

    async def probe() -> bool:
        return True

    @asynccontextmanager
    async def open_sinks(
        _: object, *, postgres: bool = True, warehouse: bool = True
    ) -> AsyncIterator[SimpleNamespace]:
        error = state.postgres_error if postgres else state.warehouse_error
        if error is not None:
            raise error
        yield SimpleNamespace(postgres=state.server, warehouse=SimpleNamespace(probe=probe))

    monkeypatch.setattr(checkup, "open_sinks", open_sinks)
    monkeypatch.setenv("TECHMART_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return state


Capsys = pytest.CaptureFixture[str]


def verdicts(capsys: Capsys, *arguments: str) -> tuple[int, dict[str, str], list[dict[str, str]]]:
    called = call(capsys, "doctor", "--json", *arguments)
    checks = json.loads(called.out)
    return called.code, {check["check"]: check["verdict"] for check in checks}, checks


def test_a_healthy_installation_is_all_ok(connected: SimpleNamespace, capsys: Capsys) -> None:
    code, found, _ = verdicts(capsys)
    assert code == 0
    assert {"installation", "contract", "settings", "home", "database", "warehouse"} <= set(found)
    assert set(found.values()) <= {"ok", "warn"}


def test_people_get_a_line_for_each_check(connected: SimpleNamespace, capsys: Capsys) -> None:
    called = call(capsys, "doctor")
    assert called.code == 0
    assert all(line.split()[0] in {"ok", "warn", "→"} for line in called.out.splitlines())


def test_a_refused_password_is_a_failed_line_and_the_rest_is_still_checked(
    connected: SimpleNamespace, capsys: Capsys
) -> None:
    connected.postgres_error = SinkAccessError("Wrong password.", hint="Set POSTGRES_PASSWORD.")
    code, found, checks = verdicts(capsys)
    assert code == 2
    assert (found["database"], found["warehouse"]) == ("fail", "ok")
    [failed] = [check for check in checks if check["verdict"] == "fail"]
    assert failed["todo"] == "Set POSTGRES_PASSWORD."


def test_a_warehouse_that_does_not_answer_fails(connected: SimpleNamespace, capsys: Capsys) -> None:
    connected.warehouse_error = WarehouseError("No answer.")
    code, found, _ = verdicts(capsys)
    assert (code, found["warehouse"], found["database"]) == (1, "fail", "ok")


def test_a_mistake_in_a_contract_fails_before_a_run_does(
    connected: SimpleNamespace, capsys: Capsys, tmp_path: Path
) -> None:
    (tmp_path / "shop.toml").write_text("[transactions]\nmax_amount = -1\n")
    code, found, checks = verdicts(capsys, "--contract", "shop.toml")
    assert (code, found["contract"]) == (2, "fail")
    assert "max_amount" in next(check["finding"] for check in checks if check["verdict"] == "fail")


def test_a_wrong_setting_fails_and_names_the_variable(
    connected: SimpleNamespace, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_PORT", "many")
    code, found, checks = verdicts(capsys)
    assert (code, found["settings"]) == (2, "fail")
    assert "POSTGRES_PORT" in checks[-1]["finding"]
    assert "database" not in found


def test_a_home_that_cannot_be_used_fails(
    connected: SimpleNamespace, capsys: Capsys, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    code, found, _ = verdicts(capsys, "--home", str(tmp_path / "file" / "home"))
    assert (code, found["home"]) == (2, "fail")


def test_an_absent_extra_fails_with_the_command_that_installs_it(
    connected: SimpleNamespace, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkup, "find_spec", lambda name: None if name == "duckdb" else name)
    code, found, checks = verdicts(capsys)
    assert (code, found["local extra"]) == (1, "fail")
    [failed] = [check for check in checks if check["verdict"] == "fail"]
    assert failed["finding"] == "not installed: duckdb"
    assert "techmart-fast[local]" in failed["todo"]


@pytest.mark.parametrize(
    ("version", "integrity", "expected"),
    [
        ("18.1", "set-based", {"database": "ok", "privileges": "ok"}),
        ("14.2", "triggers", {"database": "ok", "privileges": "warn"}),
        ("13.9", "set-based", {"database": "fail"}),
    ],
)
def test_the_server_is_judged_by_version_and_privileges(
    version: str, integrity: str, expected: dict[str, str]
) -> None:
    found = Checkup()
    database(found, version, integrity)
    assert {check.name: check.verdict for check in found.checks} == expected
