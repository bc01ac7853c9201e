"""The stand-in is on this machine: a proxy of the environment has no part in it."""

from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials

from techmart_fast.warehouse import WarehouseTarget
from techmart_fast.warehouse.client import connect
from techmart_fast.warehouse.credentials import local_session
from techmart_fast.warehouse.statements import Statement
from tests.standin.serving import PROJECT, serving


@pytest.fixture(autouse=True)
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that nobody serves."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_the_stand_in_is_asked_without_a_proxy(tmp_path: Path) -> None:
    with serving(tmp_path / "stand-in") as address:
        target = WarehouseTarget(
            project=PROJECT, dataset="d", location="US", api_endpoint=address, anonymous=True
        )
        service = connect(target)
        try:
            statement = Statement(name="queries/one", sql="SELECT 1 AS one")
            service.submit_query(statement, job_id="asked", labels={})
            assert any(service.job("asked").done for _ in range(1000))
            assert service.result("asked").to_pylist() == [{"one": 1}]
        finally:
            service.close()


def test_google_is_asked_as_the_machine_asks_others() -> None:
    target = WarehouseTarget(project=PROJECT, dataset="d", location="US")
    assert local_session(target, AnonymousCredentials()) is None
