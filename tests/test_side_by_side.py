"""The side-by-side measurement: what becomes of figures, failures and ways that are not there."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import pytest

from benchmarks.side_by_side import options, page, plot, process, rounds
from benchmarks.side_by_side.machine import Machine
from benchmarks.side_by_side.model import Measured, Outcome, WayFailedError
from benchmarks.side_by_side.report import Report, Section, as_json
from benchmarks.side_by_side.ways import (
    FIRST_LOAD,
    FIRST_LOAD_BASE,
    MORE_ROWS,
    MORE_ROWS_BASE,
    duckdb_decode,
    loader_upload,
    pgloader_csv,
    psql_copy,
)
from tests.processes import CHECKOUT

PAGE = CHECKOUT / "docs" / "performance.md"
FIGURES = Measured(
    rows=1000, wall=2.0, client_cpu=1.0, server_cpu=0.5, endpoint_cpu=0.0, client_bytes=1 << 20
)


def report(*outcomes: Outcome) -> Report:
    machine = Machine(
        day=date(2026, 1, 2),
        cpu="A & B",
        cores=2,
        memory_bytes=1 << 33,
        system="Linux",
        versions={"dlt": "1"},
    )
    section = Section(
        title="first load",
        rows=1000,
        raw_bytes=10**6,
        clean_bytes=10**6,
        base=psql_copy.WAY.name,
        outcomes=outcomes,
    )
    return Report(machine=machine, settings={"fsync": "on"}, repeat=3, sections=(section,))


TWICE_AS_FAST = report(
    Outcome(way=loader_upload.WAY, runs=(replace(FIGURES, wall=1.0),)),
    Outcome(way=psql_copy.WAY, runs=(FIGURES,)),
    Outcome(way=pgloader_csv.WAY, errors=("exit code 1: /a/folder/of/mine | broke",)),
)


def test_a_row_says_rate_ratio_and_seconds() -> None:
    text = page.text_of(TWICE_AS_FAST, plot_name=None)
    assert "| **techmart_fast**, PG + upload | raw NDJSON | 1,000 | 2.00 | 1.00 | 1.00 |" in text
    assert "2026-01-02, median of 3 runs each. A & B, 2 cores, 8.0 GiB" in text


def test_a_failure_is_told_without_places_of_the_machine_or_columns_of_its_own() -> None:
    text = page.text_of(TWICE_AS_FAST, plot_name=None)
    assert "| pgloader | clean CSV | failed: exit code 1: … / broke | | | | | | |" in text


def test_a_way_that_got_fewer_rows_says_so() -> None:
    outcome = Outcome(way=psql_copy.WAY, runs=(replace(FIGURES, rows=10),))
    assert "5 (10 rows)" in page.text_of(report(outcome), plot_name=None)


def test_every_way_says_what_it_lacks() -> None:
    everything = report(*(Outcome(way=way, left_out="not there") for way in FIRST_LOAD))
    text = page.text_of(everything, plot_name=None)
    for way in FIRST_LOAD:
        assert f"- {way.title}: {way.lacks}." in text


def test_the_page_is_changed_between_its_marks_only(tmp_path: Path) -> None:
    copied = tmp_path / "page.md"
    text = PAGE.read_text(encoding="utf-8")
    copied.write_text(text, encoding="utf-8")
    page.write(copied, TWICE_AS_FAST)
    page.write(copied, TWICE_AS_FAST)
    written = copied.read_text(encoding="utf-8")
    assert written.partition(page.BEGIN)[0] == text.partition(page.BEGIN)[0]
    assert written.partition(page.END)[2] == text.partition(page.END)[2]
    assert written.count(page.text_of(TWICE_AS_FAST, plot_name=f"img/{page.PLOT}")) == 1


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "page.md"
    other.write_text("# Other\n", encoding="utf-8")
    with pytest.raises(WayFailedError, match="lacks the marks"):
        page.write(other, TWICE_AS_FAST)
    assert other.read_text(encoding="utf-8") == "# Other\n"


def test_the_picture_is_well_formed_and_has_a_bar_for_each_figure() -> None:
    root = ET.fromstring(plot.svg(TWICE_AS_FAST))  # noqa: S314 - it was just made here
    shapes = [element.get("class") for element in root.iter() if element.get("class")]
    assert shapes.count("own") == shapes.count("peer") == 1
    assert "A & B, 2 cores, 2026-01-02" in "".join(root.itertext())


def test_the_picture_leaves_out_what_writes_nothing() -> None:
    decoded = Outcome(way=duckdb_decode.WAY, runs=(replace(FIGURES, wall=0.001),))
    (first,) = TWICE_AS_FAST.sections
    both = replace(TWICE_AS_FAST, sections=(replace(first, outcomes=(*first.outcomes, decoded)),))
    assert plot.svg(both) == plot.svg(TWICE_AS_FAST)
    assert decoded.way.title in page.text_of(both, plot_name=None)


def test_figures_are_the_medians_of_the_runs() -> None:
    walls = (replace(FIGURES, wall=wall) for wall in (5.0, 1.0, 2.0))
    found = rounds.median(Outcome(way=psql_copy.WAY, runs=tuple(walls)))
    assert found == FIGURES
    assert rounds.median(Outcome(way=psql_copy.WAY)) is None


def test_the_raw_figures_are_json() -> None:
    (section,) = json.loads(as_json(TWICE_AS_FAST))["sections"]
    assert section["outcomes"][1]["runs"] == [asdict(FIGURES)]
    assert "broke" in section["outcomes"][2]["errors"][0]


def test_what_is_not_installed_is_left_out_by_name() -> None:
    missing = [rounds.why_not(way, {}) for way in FIRST_LOAD if way.distribution]
    assert all("is not installed (`make peers`)" in why for why in missing)
    assert rounds.why_not(psql_copy.WAY, {}) == ""


def test_the_bases_are_among_the_ways_and_names_are_unique() -> None:
    names = [way.name for way in FIRST_LOAD]
    assert len(set(names)) == len(names)
    assert FIRST_LOAD_BASE in names
    assert MORE_ROWS_BASE in [way.name for way in MORE_ROWS]


def test_an_unknown_way_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options.read(["--ways", "psql-copy,copy-psql"])
    assert "unknown way copy-psql" in capsys.readouterr().err


def test_a_command_that_fails_says_its_last_lines(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such table')"]
    with pytest.raises(WayFailedError, match="exit code 1: no such table"):
        process.run(command, environment={}, folder=tmp_path, limit_seconds=60)


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(WayFailedError, match=r"no end after 0\.2 s"):
        process.run(command, environment={}, folder=tmp_path, limit_seconds=0.2)


def test_cpu_time_and_output_of_a_command_are_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print(sum(range(3_000_000)))"]
    taken = process.run(command, environment={}, folder=tmp_path, limit_seconds=60)
    assert taken.output == f"{sum(range(3_000_000))}\n"
    assert taken.cpu > 0


@pytest.mark.torture
def test_the_ways_that_need_no_peers_load_their_rows(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "benchmarks.side_by_side", "--rows", "500", "--repeat", "2"),
        *("--ways", "loader,loader-all,psql-copy,psql-staging,psql-heap"),
        *("--incremental-rows", "200", "--base-rows", "500"),
        *("--folder", str(tmp_path), "--json", str(tmp_path / "figures.json")),
    ]
    done = subprocess.run(
        command, cwd=CHECKOUT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    runs = [len(one["runs"]) for section in figures["sections"] for one in section["outcomes"]]
    assert runs == [2] * 7
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


def test_the_lock_of_the_peers_has_hashes_and_names_no_place() -> None:
    text = (CHECKOUT / "requirements-peers.txt").read_text(encoding="utf-8")
    for way in FIRST_LOAD:
        assert way.distribution is None or f"\n{way.distribution}==" in f"\n{text}"
    entries = text.strip().split("\n    --hash=sha256:")
    assert len(entries) > text.count("==")
    assert not any(word in text for word in ("http", "file:/", "--index", "--find-links"))
