"""A server that can't be entered: one line each, with what to do about it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from techmart_fast.errors import ConfigError, ExitCode, SinkAccessError, SinkError
from techmart_fast.local import LocalPostgres
from techmart_fast.postgres import PostgresSink, PostgresTarget
from techmart_fast.postgres import session as sessions
from techmart_fast.settings import PostgresSettings
from tests.postgres.places import target_of


async def enter(target: PostgresTarget) -> SinkError:
    with pytest.raises(SinkError) as caught:
        async with PostgresSink(target, writers=1, connect_timeout_seconds=5.0):
            pass
    message = str(caught.value)
    assert "\n" not in message
    assert "hunter2" not in message
    return caught.value


async def test_a_wrong_password(postgres_server: LocalPostgres) -> None:
    error = await enter(target_of(postgres_server, password=SecretStr("hunter2")))
    assert isinstance(error, SinkAccessError)
    assert error.exit_code is ExitCode.USAGE
    assert "refused the role or its password" in str(error)
    assert "POSTGRES_PASSWORD" in error.hint


async def test_a_missing_password(postgres_server: LocalPostgres, tmp_path: Path) -> None:
    error = await enter(target_of(postgres_server, password=None))
    assert isinstance(error, SinkAccessError)
    assert "password" in str(error)


async def test_an_unknown_database(postgres_server: LocalPostgres) -> None:
    error = await enter(target_of(postgres_server, db="nowhere"))
    assert isinstance(error, SinkAccessError)
    assert "no such database" in str(error)


async def test_a_server_that_is_down(tmp_path: Path) -> None:
    error = await enter(PostgresTarget(host=str(tmp_path), db="x", user="x"))
    assert error.transient
    assert error.exit_code is ExitCode.FAILED
    assert "Can't reach PostgreSQL" in str(error)


async def test_a_port_where_nobody_listens(unused_port: int) -> None:
    target = PostgresTarget(host="127.0.0.1", port=unused_port, db="x", user="x")
    assert "Can't reach PostgreSQL (x@127.0.0.1" in str(await enter(target))


async def test_a_server_without_the_tls_that_is_asked_for() -> None:
    async with answering(b"N") as port:
        target = PostgresTarget(host="127.0.0.1", port=port, db="x", user="x", sslmode="require")
        error = await enter(target)
    assert isinstance(error, SinkAccessError)
    assert "does not offer the TLS that sslmode require asks for" in str(error)


async def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(b"") as port:
        target = PostgresTarget(host="127.0.0.1", port=port, db="x", user="x", sslmode="disable")
        with pytest.raises(SinkError, match="did not answer in time"):
            async with PostgresSink(target, writers=1, connect_timeout_seconds=0.05):
                pass


async def test_a_server_that_is_too_old(
    postgres_server: LocalPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "OLDEST_SERVER", 99)
    error = await enter(target_of(postgres_server))
    assert "needs 99 or later" in str(error)


async def test_a_database_of_another_encoding(
    postgres_server: LocalPostgres, sql: Callable[..., str]
) -> None:
    made = "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    sql(postgres_server, made)
    try:
        error = await enter(target_of(postgres_server, db="latin"))
    finally:
        sql(postgres_server, "DROP DATABASE latin WITH (FORCE)")
    assert "encoding is LATIN1" in str(error)
    assert "UTF8" in error.hint


@pytest.mark.parametrize(
    ("host", "mode"),
    [
        ("/run/postgresql", "prefer"),
        ("localhost", "prefer"),
        ("127.0.0.1", "prefer"),
        ("::1", "prefer"),
        ("10.0.0.7", "verify-full"),
        ("db.example.com", "verify-full"),
    ],
)
def test_the_server_is_verified_unless_it_is_this_machine(host: str, mode: str) -> None:
    assert PostgresTarget(host=host, db="x", user="x").effective_sslmode == mode
    chosen = PostgresTarget(host=host, db="x", user="x", sslmode="require")
    assert chosen.effective_sslmode == "require"


def test_a_verifying_mode_checks_the_name_only_when_it_is_full() -> None:
    full = PostgresTarget(host="db.example.com", db="x", user="x").ssl_context()
    only_ca = PostgresTarget(host="db.example.com", db="x", user="x", sslmode="verify-ca")
    context = only_ca.ssl_context()
    assert not isinstance(full, str)
    assert not isinstance(context, str)
    assert (full.check_hostname, context.check_hostname) == (True, False)


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    target = PostgresTarget(
        host="db.example.com", db="x", user="x", root_certificates=tmp_path / "none.pem"
    )
    with pytest.raises(ConfigError, match=r"none\.pem"):
        target.ssl_context()


def test_a_target_comes_from_the_settings_and_hides_the_password() -> None:
    settings = PostgresSettings(host="db.example.com", password=SecretStr("hunter2"))
    target = PostgresTarget.from_settings(settings)
    assert str(target) == "techmart@db.example.com:5432/techmart"
    assert "hunter2" not in repr(target)
    with pytest.raises(ConfigError, match="POSTGRES_HOST"):
        PostgresTarget.from_settings(PostgresSettings())


class Answering(asyncio.Protocol):
    """A server that answers the first message with these bytes, and nothing else."""

    def __init__(self, answer: bytes, open_transports: list[asyncio.BaseTransport]) -> None:
        self._answer = answer
        self._open = open_transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._open.append(transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(self._answer)
        self._answer = b""


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """The port of such a server on this machine."""
    transports: list[asyncio.BaseTransport] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(answer, transports), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        for transport in transports:
            transport.close()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
