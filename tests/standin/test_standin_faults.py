"""Faults that tests ask for: the seam is there, and only when it is switched on."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from google.api_core.exceptions import (
    Forbidden,
    GoogleAPICallError,
    ServerError,
    ServiceUnavailable,
)

from tests.standin.conftest import Shop
from tests.standin.serving import request, serving

Ask = Callable[..., None]


@pytest.fixture
def ask(standin_address: str) -> Iterator[Ask]:
    """Asks for faults; none are left at the end."""

    def post(*faults: dict[str, object]) -> None:
        data = json.dumps(faults).encode()
        answer = request(standin_address, "/standin/faults", data, Content_Type="application/json")
        assert answer.status == 200

    yield post
    post()


def test_a_fault_answers_with_its_reason_and_is_used_up(shop: Shop, ask: Ask) -> None:
    ask({"method": "POST", "path": "/jobs$", "reason": "quotaExceeded"})
    with pytest.raises(Forbidden) as refused:
        shop.query("SELECT 1")
    assert refused.value.errors[0]["reason"] == "quotaExceeded"
    assert shop.value("SELECT 1") == 1


def test_a_fault_may_have_another_status(shop: Shop, ask: Ask) -> None:
    ask({"path": "/datasets/", "reason": "rateLimitExceeded", "status": 503})
    with pytest.raises(ServiceUnavailable):
        shop.client.get_dataset(shop.dataset, retry=None)


def test_a_connection_can_drop_before_or_after_the_work(shop: Shop, ask: Ask) -> None:
    ask({"method": "POST", "path": "/jobs$", "drop": "before"})
    with pytest.raises(requests.exceptions.ConnectionError):
        shop.job("SELECT 1", job_id=f"{shop.dataset}_before")
    shop.query("SELECT 1", job_id=f"{shop.dataset}_before")
    ask({"method": "POST", "path": "/jobs$", "drop": "after"})
    with pytest.raises(requests.exceptions.ConnectionError):
        shop.job("SELECT 7 AS x", job_id=f"{shop.dataset}_after")
    assert [row.x for row in shop.client.get_job(f"{shop.dataset}_after").result()] == [7]


def test_an_answer_may_be_an_error_though_the_work_is_done(shop: Shop, ask: Ask) -> None:
    ask(
        {"method": "POST", "path": "/jobs$", "reason": "backendError", "status": 503, "after": True}
    )
    with pytest.raises(ServiceUnavailable):
        shop.job("SELECT 8 AS x", job_id=f"{shop.dataset}_done")
    assert [row.x for row in shop.client.get_job(f"{shop.dataset}_done").result()] == [8]


def test_a_job_can_fail_or_be_held_up_until_it_is_cancelled(shop: Shop, ask: Ask) -> None:
    ask(
        {"job": "_fails$", "reason": "backendError"},
        {"job": "_stuck$", "delay_seconds": 60, "times": 2},
    )
    failed = shop.job("SELECT 1", job_id=f"{shop.dataset}_fails")
    with pytest.raises(ServerError, match="asked for"):
        failed.result(retry=None)
    stuck = shop.job("SELECT 1", job_id=f"{shop.dataset}_stuck")
    shop.client.cancel_job(stuck.job_id)
    with pytest.raises(GoogleAPICallError, match="cancelled"):
        stuck.result(retry=None)
    assert shop.value("SELECT 1") == 1


def test_faults_need_the_switch(new_home: Callable[[], Path]) -> None:
    with serving(new_home()) as address:
        assert request(address, "/standin/faults", b"[]").status == 404
