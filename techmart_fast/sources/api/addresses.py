"""Which network addresses may be asked: never a private one because a public service says so."""

import errno
import ipaddress
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from techmart_fast.errors import SourceAccessError

Address = IPv4Address | IPv6Address
AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, Sequence[Any]]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_METADATA = (
    ipaddress.ip_network("169.254.0.0/16"),
    ipaddress.ip_network("fe80::/10"),
    ipaddress.ip_network("fd00:ec2::/32"),
    ipaddress.ip_network("100.100.100.200/32"),
    ipaddress.ip_network("168.63.129.16/32"),
)
"""Link-local addresses, and those where clouds tell their machines' credentials."""


def parse_address(text: str) -> Address | None:
    """The address that a host is, or None if it is a name."""
    try:
        return ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None


def is_public(address: Address) -> bool:
    """Whether an address is on the open internet, and so is every IPv4 address inside of it."""
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(inner)
        if address in _LOCAL_NAT64:
            return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified
    )


def is_metadata(address: Address) -> bool:
    """Whether an address is link-local or a cloud's metadata service."""
    if isinstance(address, IPv6Address) and (inner := _embedded(address)) is not None:
        return is_metadata(inner)
    return any(address in network for network in _METADATA if network.version == address.version)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to this address come to in the end."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _COMPATIBLE and int(address) > 1:
        return IPv4Address(int(address))
    return None


class Guard(AbstractResolver):
    """Resolves names for aiohttp, which then connects to just these addresses.

    Whether private addresses may be asked is decided once, when the host that the user configured
    is resolved first. A name that later resolves to another kind of address (DNS rebinding) gains
    nothing. `open_socket` looks once more at whatever is about to be connected.
    """

    def __init__(
        self, home: URL, *, allow_private: bool | None, resolver: AbstractResolver | None = None
    ) -> None:
        self._home = (home.raw_host or "").lower()
        self._allow_private = allow_private
        # Without an answer yet, private addresses are out.
        self._private = allow_private is True
        self._settled = allow_private is not None or parse_address(self._home) is not None
        literal = parse_address(self._home)
        if allow_private is None and literal is not None:
            self._private = not is_public(literal)
        # Made when it is needed: aiohttp's resolvers want a running loop.
        self._resolver = resolver

    def allows(self, address: Address) -> bool:
        """Whether an address may be connected to."""
        if self._allow_private is None and address == parse_address(self._home):
            return True
        if is_metadata(address):
            # Even a private service must not lead there, unless the user says so.
            return self._allow_private is True
        return self._private or is_public(address)

    def check(self, url: URL) -> None:
        """See that a host that is written as an address may be asked.

        Raises:
            SourceAccessError: it may not.
        """
        host = url.raw_host or ""
        address = parse_address(host)
        if address is not None and not self.allows(address):
            raise self._refused(host)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name that may be asked.

        Raises:
            OSError: the name is not known.
            SourceAccessError: it has no address that may be asked.
        """
        if self._resolver is None:
            self._resolver = ThreadedResolver()
        try:
            found = await self._resolver.resolve(host, port, family)
        except UnicodeError:
            raise OSError(f"the host name '{host[:80]}' can't be one") from None
        addresses = [(one, parse_address(one["host"])) for one in found]
        if host.lower() == self._home and not self._settled:
            self._settled = True
            # A host with public addresses too is a public one.
            self._private = bool(found) and not any(
                address is not None and is_public(address) for _, address in addresses
            )
        allowed = [
            one for one, address in addresses if address is not None and self.allows(address)
        ]
        if found and not allowed:
            raise self._refused(host)
        return allowed

    async def close(self) -> None:
        """Let the resolver go."""
        if self._resolver is not None:
            await self._resolver.close()

    def open_socket(self, info: AddressInfo) -> socket.socket:
        """A socket for a connection to a checked address.

        Raises:
            OSError: the address may not be asked.
        """
        family, kind, protocol, _, target = info
        address = parse_address(str(target[0]))
        if address is None or not self.allows(address):
            raise OSError(errno.EACCES, "this address must not be asked")
        return socket.socket(family=family, type=kind, proto=protocol)

    def _refused(self, host: str) -> SourceAccessError:
        if host.lower() == self._home:
            return SourceAccessError(
                f"{host} has a private, loopback or link-local address, which must not be asked.",
                hint="If it is meant to be, set limits.allow_private = true in the contract.",
            )
        return SourceAccessError(
            f"{self._home} leads to {host}, which has a private, loopback or link-local address: "
            "refused.",
            hint="A public service has no business there; ask its operator.",
        )
