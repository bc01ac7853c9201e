"""Troubles of the warehouse that last: a run ends in time, and the next one completes it."""

from pathlib import Path

import pytest

from techmart_fast.errors import ExitCode
from techmart_fast.results import RunStatus
from tests.forms import long_form
from tests.shops import State, sources_in
from tests.trouble.asking import (
    LOAD_JOB,
    MERGE_JOB,
    UPLOAD,
    Ask,
    Fault,
    MakeShop,
    as_without_trouble,
    impatient,
)

LASTING: dict[str, tuple[list[Fault], str]] = {
    "quotaExceeded": ([{**UPLOAD, "reason": "quotaExceeded", "times": 99}], "quota"),
    "load jobs that never end well": (
        [{**LOAD_JOB, "reason": "invalid", "times": 99}],
        "a fault that was asked for",
    ),
    "stuck load jobs": ([{**LOAD_JOB, "delay_seconds": 60, "times": 99}], "no end after 600 s"),
    "a stuck MERGE": ([{**MERGE_JOB, "delay_seconds": 60}], "no end after 600 s"),
}


@pytest.mark.parametrize("trouble", long_form(LASTING, short=("quotaExceeded", "a stuck MERGE")))
@pytest.mark.usefixtures("quick_clock")
async def test_a_run_ends_in_time_and_the_next_one_completes_it(
    trouble: str,
    make_shop: MakeShop,
    ask: Ask,
    generated: Path,
    untroubled: dict[str, State],
) -> None:
    shop = make_shop()
    faults, words = LASTING[trouble]
    ask(*faults)
    failed = await impatient(shop).run(sources_in(generated))
    assert all(
        times < fault.get("times", 1) for times, fault in zip(ask.left(), faults, strict=True)
    )
    assert (failed.status, failed.exit_code) == (RunStatus.FAILED, ExitCode.SINKS_DIFFER)
    assert words in str(failed.error).lower()
    assert "Run again" in str(failed.error)
    ask()
    await shop.load(generated)
    await as_without_trouble(shop, make_shop, generated, untroubled)
