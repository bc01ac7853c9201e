"""Sources that are addresses: which endpoint of which description one stands for."""

import re
from collections.abc import Sequence

from pydantic import ValidationError

from techmart_fast.contract import Contract
from techmart_fast.contract.endpoint import Endpoint
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
        return Endpoint.model_validate({**values, "address": addresses[0]})
    except ValidationError as error:
        told = "; ".join(explain(error, Endpoint))
        raise ConfigError(
            f"The address of {feed} can't be used: {told}.",
            hint="See docs/sources.md for addresses and how a contract describes an API.",
        ) from None
