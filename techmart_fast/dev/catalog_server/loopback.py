"""Tells whether a request named this machine."""

import ipaddress


def is_loopback_host(host: str) -> bool:
    """Whether a `Host` header (a name or an address, perhaps with a port) is the loopback's."""
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
