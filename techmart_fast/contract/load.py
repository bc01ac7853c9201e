"""Reads contracts from TOML: a user's file laid over the default one."""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from techmart_fast.contract.endpoint import NoAuth
from techmart_fast.contract.model import Contract
from techmart_fast.errors import ConfigError
from techmart_fast.mistakes import explain
from techmart_fast.records import Feed

# A user's value replaces these whole; merging key by key would leave rates or maps of another shop.
_REPLACED_WHOLE = frozenset({"rates", "fields", "values"})


@cache
def default_contract() -> Contract:
    """The contract of the TechMart shop, as the project ships it."""
    return Contract.model_validate(_default_values())


def load_contract(path: Path | None) -> Contract:
    """The contract in `path` laid over the default one; the default one for None.

    Raises:
        ConfigError: the file can't be read, is not TOML, or says something impossible. The message
            names the file and the key.
    """
    if path is None:
        return default_contract()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"Can't read the contract {path}: {reason}.") from None
    return parse_contract(text, name=str(path), folder=path.parent)


def parse_contract(text: str, *, name: str, folder: Path | None = None) -> Contract:
    """The contract in `text` (TOML) laid over the default one; `name` is for error messages.

    Files of secrets that it names are looked for in `folder`, unless their paths are absolute.

    Raises:
        ConfigError: as `load_contract`.
    """
    try:
        values = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"The contract {name} is not valid TOML: {error}.") from None
    try:
        contract = Contract.model_validate(_overlay(_default_values(), values))
        return contract if folder is None else _placed(contract, folder)
    except ValidationError as error:
        told = explain(error, Contract)
        mistakes = "a mistake" if len(told) == 1 else f"{len(told)} mistakes"
        text = f"The contract {name} has {mistakes}: {'; '.join(told)}."
        raise ConfigError(text, hint=_HINT) from None


_HINT = (
    "See techmart_fast/contract/default.toml for every key and its meaning; those of an API are in "
    "docs/sources.md."
)


def _placed(contract: Contract, folder: Path) -> Contract:
    """The contract with the paths of its secrets as they are from its own folder."""
    for feed in Feed:
        api = contract.rules(feed).api
        if api is None or isinstance(api.auth, NoAuth) or api.auth.file is None:
            continue
        file = folder.absolute() / Path(api.auth.file).expanduser()
        auth = api.auth.model_copy(update={"file": str(file)})
        contract = contract.with_api(feed, api.model_copy(update={"auth": auth}))
    return contract


def _default_values() -> dict[str, object]:
    text = files(__package__).joinpath("default.toml").read_text(encoding="utf-8")
    return cast("dict[str, object]", tomllib.loads(text, parse_float=Decimal))


def _overlay(base: Mapping[str, object], top: Mapping[str, object]) -> dict[str, object]:
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        if key not in _REPLACED_WHOLE and isinstance(below, dict) and isinstance(value, dict):
            merged[key] = _overlay(below, value)
        else:
            merged[key] = value
    return merged
