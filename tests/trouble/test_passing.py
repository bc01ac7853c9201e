"""Troubles of the warehouse that pass: a run gets over them, and nothing is lost or doubled."""

from pathlib import Path

import pytest

from tests.forms import long_form
from tests.shops import State
from tests.trouble.asking import (
    LOAD_JOB,
    MERGE_JOB,
    QUERY,
    UPLOAD,
    Ask,
    Fault,
    MakeShop,
    as_without_trouble,
)

PASSING: dict[str, list[Fault]] = {
    "403 rateLimitExceeded on an upload": [{**UPLOAD, "reason": "rateLimitExceeded"}],
    "503 before an upload is accepted": [{**UPLOAD, "reason": "backendError", "status": 503}],
    "503 though an upload was accepted": [
        {**UPLOAD, "reason": "backendError", "status": 503, "after": True}
    ],
    "an upload that does not arrive": [{**UPLOAD, "drop": "before"}],
    "an upload whose answer is lost": [{**UPLOAD, "drop": "after"}],
    "503 before a query is accepted": [{**QUERY, "reason": "backendError", "status": 503}],
    "503 though a query was accepted": [
        {**QUERY, "reason": "backendError", "status": 503, "after": True}
    ],
    "a query whose answer is lost": [{**QUERY, "drop": "after"}],
    "a load job that ends with errors": [{**LOAD_JOB, "reason": "backendError"}],
    "a load job that ends with errors twice": [{**LOAD_JOB, "reason": "invalid", "times": 2}],
    "a MERGE that ends with a passing error": [{**MERGE_JOB, "reason": "backendError"}],
    "slow jobs": [{"job": "^techmart_", "delay_seconds": 0.3, "times": 3}],
}
OFTEN = (
    "503 though an upload was accepted",
    "an upload whose answer is lost",
    "a load job that ends with errors",
    "a MERGE that ends with a passing error",
)


@pytest.mark.parametrize("trouble", long_form(PASSING, short=OFTEN))
async def test_a_run_gets_over(
    trouble: str,
    make_shop: MakeShop,
    ask: Ask,
    generated: Path,
    untroubled: dict[str, State],
) -> None:
    shop = make_shop()
    ask(*PASSING[trouble])
    await shop.load(generated)
    assert ask.left() == [0] * len(PASSING[trouble])
    ask()
    await as_without_trouble(shop, make_shop, generated, untroubled)
