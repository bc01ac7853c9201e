"""Who may ask: the credentials of a request, compared in constant time."""

import binascii
import hmac
from base64 import b64decode
from collections.abc import Iterator, Mapping

from techmart_fast.dev.catalog_server.options import Access

_REALM = 'realm="catalogue"'


def may_ask(headers: Mapping[str, str], access: Access) -> bool:
    """Whether a request carries one of the credentials that the server takes."""
    if access.is_open:
        return True
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    checks = [(access.api_key, headers.get("X-Api-Key", ""))]
    if scheme.lower() == "bearer":
        checks.append((access.token, given.strip()))
    if scheme.lower() == "basic":
        checks.append((access.basic, _decoded(given.strip())))
    return any(
        wanted is not None and hmac.compare_digest(wanted.encode(), told.encode(errors="replace"))
        for wanted, told in checks
    )


def challenges(access: Access) -> Iterator[str]:
    """The `WWW-Authenticate` of an answer 401."""
    if access.token is not None:
        yield f"Bearer {_REALM}"
    if access.basic is not None:
        yield f'Basic {_REALM}, charset="UTF-8"'
    if access.api_key is not None:
        yield f"ApiKey {_REALM}"


def _decoded(text: str) -> str:
    try:
        return b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
