"""The endpoint that benchmarks send to: a run ends well there, and all its rows arrive."""

import json
import os
import subprocess
import sys
from pathlib import Path

import requests

from benchmarks.discarding import environment
from techmart_fast.api import DataSources

PROJECT = Path(__file__).parents[1]


def test_a_run_against_it_ends_well_and_every_row_arrives(tmp_path: Path) -> None:
    key = tmp_path / "key.json"
    command = [sys.executable, "-m", "benchmarks.discarding", "--credentials", str(key)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            address = json.loads(server.stdout.readline())["url"]
            sample = DataSources.sample().by_feed().items()
            sources = [word for feed, paths in sample for word in (f"--{feed}", *paths)]
            ended = subprocess.run(
                [sys.executable, "-m", "techmart_fast", "run", "--json", "--quiet", *sources],
                cwd=PROJECT,
                env={
                    **os.environ,
                    **environment(address, key),
                    "TECHMART_HOME": str(tmp_path / "home"),
                },
                stdout=subprocess.PIPE,
                check=False,
            )
            received = requests.get(f"{address}/received", timeout=10).json()
        finally:
            server.terminate()
    result = json.loads(ended.stdout)
    assert result["error"] is None
    assert result["feeds"]["transactions"]["loaded"] > 0
    spool = next(stage for stage in result["stages"] if stage["name"] == "spool")
    loads = next(stage for stage in result["stages"] if stage["name"] == "warehouse load")
    assert received["rows"] == loads["rows"] >= spool["rows"] > 0
    assert received["bytes"] > 0
