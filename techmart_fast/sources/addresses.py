"""Sources that are addresses: which endpoint of which description one stands for."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from pydantic import ValidationError

from techmart_fast.contract import Contract
from techmart_fast.contract.endpoint import Endpoint, NoAuth
from techmart_fast.errors import ConfigError
from techmart_fast.mistakes import explain
from techmart_fast.records import Feed

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_address(spec: str) -> bool:
    """Whether a source is an address rather than a file."""
    return _ADDRESS.match(spec) is not None


def endpoint_of(feed: Feed, addresses: Sequence[str], contract: Contract) -> Endpoint:
    """The contract's endpoint of a feed, or a plain one, at the address that was given.

    Raises:
        ConfigError: there are several addresses, or one can't be used. The message does not quote
            the address: it may hold a secret.
    """
    if len(addresses) > 1:
        raise ConfigError(
            f"{feed} is to come from {len(addresses)} addresses.",
            hint="Run them one after the other, each with a contract that describes it.",
        )
    described = contract.rules(feed).api
    values: dict[str, object] = described.model_dump() if described is not None else {}
    try:
        endpoint = Endpoint.model_validate({**values, "address": addresses[0]})
    except ValidationError as error:
        told = "; ".join(explain(error, Endpoint))
        raise ConfigError(
            f"The address of {feed} can't be used: {told}.",
            hint="See docs/sources.md for addresses and how a contract describes an API.",
        ) from None
    if described is not None and not isinstance(described.auth, NoAuth):
        ours, theirs = urlsplit(described.address), urlsplit(endpoint.address)
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
            raise ConfigError(
                f"The contract has credentials for {described.host}, and {feed} is to come from "
                f"{endpoint.host}.",
                hint="They are not sent there: give that address in the contract if it is right.",
            )
    return endpoint
