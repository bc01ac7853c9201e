"""No credentials go astray, no private address is asked for a stranger, no secret is told."""

import asyncio
import ipaddress
import logging
import shutil
import ssl
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from api_support import (
    STYLES,
    Asked,
    FakeResolver,
    Notes,
    QuickClock,
    endpoint,
    ids_of,
    ids_up_to,
    raw_server,
    reply,
)
from pydantic import ValidationError
from yarl import URL

from techmart_fast.contract.endpoint import (
    ApiKey,
    Basic,
    Bearer,
    Endpoint,
    Links,
    NextAddresses,
    NoPages,
)
from techmart_fast.dev.catalog_server import Access, CatalogOptions, CatalogServer
from techmart_fast.errors import (
    ConfigError,
    ExitCode,
    SourceAccessError,
    SourceAnswerError,
    SourceError,
    SourceUnavailableError,
)
from techmart_fast.sources.api import addresses, fetch
from techmart_fast.sources.api.addresses import Guard, is_metadata, is_public
from techmart_fast.sources.api.credentials import read_secret
from techmart_fast.sources.api.redirects import follow

SECRET = "s3cr3t-t0ken"


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SHOP_TOKEN", SECRET)
    return SECRET


@pytest.mark.parametrize(
    ("auth", "access"),
    [
        (Bearer(environment="SHOP_TOKEN"), Access(token=SECRET)),
        (ApiKey(environment="SHOP_TOKEN"), Access(api_key=SECRET)),
        (Basic(user="ann", environment="SHOP_TOKEN"), Access(basic=f"ann:{SECRET}")),
    ],
)
@pytest.mark.usefixtures("secret")
async def test_every_kind_of_credentials_opens_the_door(
    auth: Any, access: Access, tmp_path: Path
) -> None:
    async with CatalogServer(CatalogOptions(products=5, access=access)) as server:
        got = await fetch(endpoint(server.address, auth=auth), folder=tmp_path)
        assert ids_of(got) == ids_up_to(5)
        with pytest.raises(SourceAccessError, match=r"refused with status 401.*Check auth") as no:
            await fetch(endpoint(server.address), folder=tmp_path)
    assert no.value.exit_code is ExitCode.USAGE


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    found = read_secret(Bearer(file=str(tmp_path / "token")))
    assert found is not None
    assert found.header() == {"Authorization": f"Bearer {SECRET}"}
    assert SECRET not in f"{found!r} {found}"
    (tmp_path / "pass").write_text("pässword")
    found = read_secret(Basic(user="ann", file=str(tmp_path / "pass")))
    assert found is not None
    assert found.header()["Authorization"] == f"Basic {b64encode('ann:pässword'.encode()).decode()}"


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b" blank", b"k\xc3\xa9y", b"\xff"])
def test_a_secret_that_cannot_be_used_is_told_without_it(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_secret(ApiKey(file=str(tmp_path / "token")))
    assert content.decode("latin-1").strip() == "" or "two" not in str(caught.value)
    with pytest.raises(ConfigError, match="Can't read the secret"):
        read_secret(ApiKey(file=str(tmp_path / "nothing")))
    with pytest.raises(ConfigError, match="environment variable NO_SUCH"):
        read_secret(ApiKey(environment="NO_SUCH"))


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_credentials_stay_behind_when_a_redirect_leaves_the_origin(
    status: int, tmp_path: Path
) -> None:
    async with raw_server(reply('{"data": [{"id": 1}], "total": 1}')) as other:
        away = reply(status=status, headers={"Location": f"{other.address}/there?x=1"})
        async with raw_server(away) as server:
            asked = endpoint(
                server.address,
                auth=Bearer(environment="SHOP_TOKEN"),
                headers={"X-Shop": "private"},
            )
            got = await fetch(asked, folder=tmp_path)
    assert (got.records, got.requests) == (1, 2)
    assert server.asked[0].headers["Authorization"] == f"Bearer {SECRET}"
    assert "Authorization" not in other.asked[0].headers
    assert "X-Shop" not in other.asked[0].headers
    assert other.asked[0].target == "/there?x=1"


@pytest.mark.usefixtures("secret")
async def test_credentials_go_along_within_the_origin(tmp_path: Path) -> None:
    replies = [reply(status=302, headers={"Location": "/v2"}), reply('{"data": []}')]
    async with raw_server(*replies) as server:
        asked = endpoint(
            server.address, pagination=NoPages(), auth=ApiKey(environment="SHOP_TOKEN")
        )
        await fetch(asked, folder=tmp_path)
    assert [one.headers["X-Api-Key"] for one in server.asked] == [SECRET, SECRET]


@pytest.mark.usefixtures("secret")
async def test_a_401_elsewhere_tells_where_the_credentials_were_left(tmp_path: Path) -> None:
    async with CatalogServer(CatalogOptions(access=Access(token=SECRET))) as server:
        asked = endpoint(
            server.address, "/misbehave/redirect/products", auth=Bearer(environment="SHOP_TOKEN")
        )
        with pytest.raises(SourceAccessError, match=r"leads to localhost, another origin"):
            await fetch(asked, folder=tmp_path)


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize("how", ["next", "link"])
async def test_a_next_address_at_another_origin_gets_no_credentials(
    how: str, tmp_path: Path
) -> None:
    async with raw_server(reply("[]" if how == "link" else '{"data": []}')) as other:
        there = f"{other.address}/more"
        answers = {
            "next": reply(f'{{"data": [{{"id": 1}}], "next": "{there}"}}'),
            "link": reply('[{"id": 1}]', headers={"Link": f'<{there}>; rel="next"'}),
        }
        async with raw_server(answers[how]) as server:
            asked = endpoint(
                server.address,
                records=STYLES[how].get("records", "data"),
                pagination=Links() if how == "link" else NextAddresses(),
                auth=Bearer(environment="SHOP_TOKEN"),
            )
            await fetch(asked, folder=tmp_path)
    assert "Authorization" in server.asked[0].headers
    assert "Authorization" not in other.asked[0].headers


PRIVATE = [
    *("127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.5.4", "192.168.1.1", "100.64.0.1", "0.0.0.0"),  # noqa: S104
    *("169.254.169.254", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),
    *("::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b:1::1"),
    *("2002:7f00:1::", "2002:a00:1::1", "2001:0:7f00:1::f5ff:fffe"),
]


@pytest.mark.parametrize("text", PRIVATE)
def test_private_addresses_are_seen_through_every_disguise(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text", ["93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822", "::ffff:93.184.216.34"]
)
def test_public_addresses_are_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1"])
def test_metadata_services_are_known(text: str) -> None:
    assert is_metadata(ipaddress.ip_address(text))


async def addresses_of(guard: Guard, host: str) -> list[str]:
    return [one["host"] for one in await guard.resolve(host, 80)]


async def test_a_public_service_leads_to_no_private_address() -> None:
    names = {
        "shop.example": ["93.184.216.34"],
        "evil.example": ["10.0.0.1"],
        "mixed.example": ["10.0.0.1", "93.184.216.35", "::1"],
    }
    guard = Guard(URL("https://shop.example/"), allow_private=None, resolver=FakeResolver(names))
    assert await addresses_of(guard, "shop.example") == ["93.184.216.34"]
    assert await addresses_of(guard, "mixed.example") == ["93.184.216.35"]
    with pytest.raises(SourceAccessError, match=r"shop.example leads to evil.example"):
        await guard.resolve("evil.example")
    for text in ("http://127.0.0.1/", "http://[::1]:80/", "http://[::ffff:10.0.0.1]/"):
        with pytest.raises(SourceAccessError, match="private"):
            guard.check(URL(text))
    guard.check(URL("http://93.184.216.36/"))
    with pytest.raises(OSError, match="must not be asked"):
        guard.open_socket((2, 1, 6, "", ("127.0.0.1", 80)))


async def test_a_name_that_is_bound_anew_gains_nothing() -> None:
    resolver = FakeResolver({"shop.example": [["93.184.216.34"], ["127.0.0.1"]]})  # type: ignore[dict-item]
    guard = Guard(URL("https://shop.example/"), allow_private=None, resolver=resolver)
    assert await addresses_of(guard, "shop.example") == ["93.184.216.34"]
    with pytest.raises(SourceAccessError, match="allow_private = true"):
        await guard.resolve("shop.example")


async def test_a_private_service_may_lead_to_private_addresses_but_not_to_metadata() -> None:
    names = {"shop.local": ["10.0.0.1"], "other.local": ["10.0.0.2"], "meta": ["169.254.169.254"]}
    guard = Guard(URL("http://shop.local/"), allow_private=None, resolver=FakeResolver(names))
    with pytest.raises(SourceAccessError):
        await guard.resolve("other.local")  # nothing is known of the service yet
    assert await addresses_of(guard, "shop.local") == ["10.0.0.1"]
    assert await addresses_of(guard, "other.local") == ["10.0.0.2"]
    with pytest.raises(SourceAccessError):
        await guard.resolve("meta")


@pytest.mark.parametrize(
    ("home", "allow", "target", "allowed"),
    [
        ("http://127.0.0.1/", None, "127.0.0.2", True),
        ("http://127.0.0.1/", False, "127.0.0.1", False),
        ("http://93.184.216.34/", None, "10.0.0.1", False),
        ("http://93.184.216.34/", True, "10.0.0.1", True),
        ("http://93.184.216.34/", True, "169.254.169.254", True),
        ("http://127.0.0.1/", None, "169.254.169.254", False),
        ("http://169.254.169.254/", None, "169.254.169.254", True),
        ("http://[::ffff:127.0.0.1]/", None, "127.0.0.1", True),
    ],
)
def test_who_may_be_asked_is_settled_by_the_contract(
    home: str, allow: bool | None, target: str, allowed: bool
) -> None:
    guard = Guard(URL(home), allow_private=allow)
    assert guard.allows(ipaddress.ip_address(target)) is allowed


@pytest.mark.parametrize("location", ["http://127.0.0.2:{port}/", "http://inside.example:{port}/"])
@pytest.mark.parametrize("how", ["redirect", "next"])
async def test_a_redirect_to_a_private_address_is_refused_before_it_is_connected_to(
    location: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One loopback address plays a public one, as no test may leave this machine.
    monkeypatch.setattr(
        addresses, "is_public", lambda address: address == ipaddress.ip_address("127.0.0.1")
    )
    resolver = FakeResolver({"shop.example": ["127.0.0.1"], "inside.example": ["127.0.0.2"]})

    def lead(_asked: Asked) -> bytes:
        told = location.format(port=server.port)
        if how == "redirect":
            return reply(status=302, headers={"Location": told})
        return reply(f'{{"data": [{{"id": 1}}], "next": "{told}"}}')

    async with raw_server(lead) as server:
        asked = endpoint(f"http://shop.example:{server.port}", pagination=NextAddresses())
        with pytest.raises(SourceAccessError, match=r"shop.example leads to .*: refused") as caught:
            await fetch(asked, folder=tmp_path, resolver=resolver)
    assert server.connections == 1
    assert caught.value.exit_code is ExitCode.USAGE


async def test_names_that_mean_numbers_are_no_way_around(tmp_path: Path) -> None:
    async with raw_server(reply(status=302, headers={"Location": "http://2130706433/"})) as server:
        with pytest.raises(SourceError):
            await fetch(
                endpoint(server.address, limits={"retries": 0}),
                folder=tmp_path,
                resolver=FakeResolver({"x": ["::1"]}),
            )
        assert len(server.asked) == 1


async def test_redirects_are_limited(tmp_path: Path) -> None:
    def further(asked: Asked) -> bytes:
        return reply(status=302, headers={"Location": f"/{len(asked.target)}{asked.target}"})

    async with raw_server(further) as server:
        asked = endpoint(server.address, limits={"max_redirects": 3})
        with pytest.raises(SourceAnswerError, match="more than 3 times"):
            await fetch(asked, folder=tmp_path)
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("http://shop.example/", "from https to http"),
        ("ftp://shop.example/", "no address|not HTTP"),
        ("file:///etc/passwd", "no address|not HTTP"),
        ("https://ann:pw@shop.example/", "with credentials"),
        ("", "no address"),
        ("https://[::1", "no address"),
        ("https://shop.example:99999/", "no address"),
        ("/" + "x" * 9_000, "no address"),
    ],
)
def test_an_address_that_must_not_be_followed_is_refused_without_being_told(
    told: str, words: str
) -> None:
    with pytest.raises(SourceAnswerError, match=words) as caught:
        follow(URL("https://shop.example/p"), told, what="Page 1 leads")
    assert not told or told not in str(caught.value)


def test_addresses_are_followed_as_they_are_told() -> None:
    base = URL("https://shop.example/v1/p?page=1")
    assert str(follow(base, "?a=%2F+b#part", what="")) == "https://shop.example/v1/p?a=%2F+b"
    assert str(follow(base, "//cdn.example/x", what="")) == "https://cdn.example/x"
    assert str(follow(base, "/ä b", what="")) == "https://shop.example/%C3%A4%20b"


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize(
    "answer",
    [
        reply("{}", status=401),
        reply("{}", status=500),
        reply("<html>", kind="text/html"),
        reply('{"secret": ["s3cr3t-t0ken"]}'),
        reply("broken s3cr3t-t0ken"),
        reply(status=302, headers={"Location": "ftp://x/?token=s3cr3t-t0ken"}),
        reply(status=302, headers={"Location": "http://127.0.0.1:1/?token=s3cr3t-t0ken"}),
        b"Connection: close\r\n\r\n",
    ],
)
async def test_no_secret_is_in_any_error_event_or_log(
    answer: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notes = Notes()
    caplog.set_level(logging.DEBUG)
    async with raw_server(answer) as server:
        asked = endpoint(
            server.address,
            f"/p?key={SECRET}",
            query={"signature": SECRET},
            headers={"X-Shop": SECRET},
            auth=Bearer(environment="SHOP_TOKEN"),
            limits={"retries": 2},
        )
        with pytest.raises(SourceError) as caught:
            await fetch(asked, folder=tmp_path, observer=notes, clocks=QuickClock().clocks)
    told = [str(caught.value), repr(caught.value), str(notes.events), caplog.text]
    told += [repr(asked), str(asked)]
    cause = caught.value.__cause__
    assert cause is None
    assert not any(SECRET in one for one in told)
    assert "Page 1 of 127.0.0.1" in told[0] or "leads to" in told[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": f"https://ann:{SECRET}@shop.example/"},
        {"address": "https://x/", "query": {"a": [SECRET]}},
        {"address": "https://x/", "headers": {"Cookie": SECRET}},
        {"address": "https://x/", "auth": {"kind": "bearer", "token": SECRET}},
    ],
)
def test_no_secret_is_in_the_explanation_of_a_mistake(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Endpoint.model_validate(wrong)
    assert SECRET not in str(caught.value)


async def test_cookies_are_neither_kept_nor_sent(tmp_path: Path) -> None:
    first = reply('{"data": [{"id": 1}], "next": "/2"}', headers={"Set-Cookie": "a=b; Path=/"})
    async with raw_server(first, reply('{"data": []}')) as server:
        await fetch(endpoint(server.address, pagination=NextAddresses()), folder=tmp_path)
    assert "Cookie" not in server.asked[1].headers


async def test_proxies_of_the_environment_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with raw_server(reply('{"data": []}')) as server:
        await fetch(endpoint(server.address), folder=tmp_path)
    assert len(server.asked) == 1


@pytest.fixture
def unknown_certificate(tmp_path: Path) -> ssl.SSLContext:
    """A server's context with a certificate that it signed itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


async def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(
    unknown_certificate: ssl.SSLContext, tmp_path: Path
) -> None:
    handled: list[object] = []
    listening = await asyncio.start_server(
        lambda *streams: handled.append(streams), "127.0.0.1", 0, ssl=unknown_certificate
    )
    port = listening.sockets[0].getsockname()[1]
    try:
        with pytest.raises(SourceError, match="TLS certificate") as caught:
            await fetch(endpoint(f"https://127.0.0.1:{port}"), folder=tmp_path)
    finally:
        listening.close()
        await listening.wait_closed()
    assert not isinstance(caught.value, SourceUnavailableError)
    assert handled == []
