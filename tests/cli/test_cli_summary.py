"""The summary of a run: counts shown to add up, quality, speed, places, one verdict."""

import re
from dataclasses import replace

import pytest
from cli_support import RUN_ID, empty_result, run_result
from rich.console import RenderableType

from techmart_fast.cli.console import render
from techmart_fast.cli.summary import summary, verdict_line
from techmart_fast.contract import default_contract
from techmart_fast.errors import ExitCode
from techmart_fast.quality import QualityStatus, QualityTally, score
from techmart_fast.reasons import REASONS
from techmart_fast.records import Feed, FeedCounts
from techmart_fast.results import RunResult, RunStatus


def plain(result: RunResult, *, home_flag: str = "", columns: int = 80) -> str:
    parts: list[RenderableType] = list(summary(result, home_flag=home_flag))
    return render(parts, terminal=True, color=False, columns=columns)


def numbers(line: str) -> list[int]:
    return [int(digits.replace(",", "")) for digits in re.findall(r"\d[\d,]*", line)]


def test_the_counts_of_every_feed_and_of_all_add_up_in_what_is_shown() -> None:
    rows = [line for line in plain(run_result()).splitlines() if "  =  " in line]
    assert [line.split()[0] for line in rows[1:]] == ["users", "products", "transactions", "all"]
    for row in rows[1:]:
        read, *parts = numbers(row)
        assert read == sum(parts)
        assert len(parts) == 4


def test_counts_that_do_not_add_up_are_not_hidden() -> None:
    result = replace(run_result(), feeds={Feed.USERS: FeedCounts(read=3, loaded=2)})
    assert "do not add up" in plain(result)
    assert "do not add up" not in plain(run_result())


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_but_a_command_to_copy_is_wider_than_the_terminal(columns: int) -> None:
    lines = plain(run_result(), columns=columns).splitlines()
    too_wide = [line for line in lines if len(line) > columns]
    assert [line.strip()[:5] for line in too_wide] == ["psql "]


def test_rejections_are_told_by_reason_most_frequent_first() -> None:
    section = plain(run_result()).partition("Rejected, by reason")[2]
    row = next(line for line in section.splitlines() if line.startswith("  transactions"))
    assert row.split(maxsplit=2)[1] == "9,000"
    assert row.endswith("unknown_currency=8,000, timestamp_without_offset=1,000")


def test_every_dimension_is_shown_against_its_threshold() -> None:
    text = plain(run_result())
    for quality in run_result().quality.values():
        row = next(line for line in text.splitlines() if line.startswith(f"  {quality.dimension}"))
        assert row.endswith(f"{quality.threshold:.2f}  {quality.status}")


def test_speed_memory_places_and_notes_are_told() -> None:
    text = " ".join(plain(replace(run_result(), notes=("A [note].",))).split())
    for part in (
        str(RUN_ID),
        "1,005,838 records in 6.2 s: 160,934 a second",
        "loader 312 MB, database 190 MB, stand-in 260 MB",
        "warehouse load",
        "324,233",
        "68.1",
        "PostgreSQL: [home]/server",
        "techmart-fast report users",
        "A [note].",
        "note",
        "users 503",
        "44 corrections",
        "3 held transactions released",
    ):
        assert part in text


def test_commands_name_the_home_that_was_given() -> None:
    text = plain(run_result(), home_flag="--home /data/shop")
    assert "techmart-fast report users --home /data/shop" in text
    assert not re.search(r"psql.*--home", text)


def test_a_run_without_input_is_still_told() -> None:
    result = replace(run_result(), feeds={}, quality={}, quality_by_feed={}, stages=())
    assert "0 records" in plain(result)


def test_nothing_new_is_said() -> None:
    assert verdict_line(empty_result()).startswith("Done: nothing new")


@pytest.mark.parametrize("code", [code for code in ExitCode if code is not ExitCode.DONE])
def test_every_other_end_tells_its_exit_code_and_error(code: ExitCode) -> None:
    result = replace(
        run_result(status=RunStatus.FAILED, exit_code=code), error="The server went away."
    )
    line = verdict_line(result)
    assert line == f"Exit code {int(code)}: The server went away."
    assert line in plain(result, columns=120)


def test_the_dimensions_that_fail_are_named_in_the_verdict() -> None:
    counts = FeedCounts(read=10, loaded=5, duplicate=5)
    scores = score(QualityTally(counts=counts), default_contract().quality)
    result = replace(run_result(exit_code=ExitCode.QUALITY_FAIL), quality=scores)
    assert verdict_line(result) == (
        "Exit code 3: done, but the data quality fails: uniqueness 0.5000 is under 0.95."
    )


def test_a_warning_is_no_failure() -> None:
    result = replace(run_result(), verdict=QualityStatus.WARN)
    assert "WARN" in verdict_line(result)
    assert "! Done" in plain(result)


def test_every_reason_is_shown_whole_however_many_there_are() -> None:
    counts = FeedCounts(
        read=len(REASONS), rejected=len(REASONS), rejected_by_reason=dict.fromkeys(REASONS, 1)
    )
    text = plain(replace(run_result(), feeds={Feed.USERS: counts}))
    for code in REASONS:
        assert f"{code}=1" in text
