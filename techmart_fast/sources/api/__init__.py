"""Fetches the records of a JSON API into one local file, politely and concurrently."""

from importlib import import_module
from typing import TYPE_CHECKING

from techmart_fast.sources.api.captures import Captures, KeptCapture
from techmart_fast.sources.api.checkpoint import Checkpoint, Validators
from techmart_fast.sources.api.clocks import Clocks
from techmart_fast.sources.api.credentials import read_secret
from techmart_fast.sources.api.drift import Change, ChangeKind
from techmart_fast.sources.api.events import (
    Drifted,
    Event,
    Observer,
    PageFetched,
    Paused,
    Resumed,
    Retrying,
)
from techmart_fast.sources.api.result import Fetched
from techmart_fast.sources.api.shape import Shape, Trait

if TYPE_CHECKING:
    from techmart_fast.sources.api.fetching import fetch

__all__ = [
    "Captures",
    "Change",
    "ChangeKind",
    "Checkpoint",
    "Clocks",
    "Drifted",
    "Event",
    "Fetched",
    "KeptCapture",
    "Observer",
    "PageFetched",
    "Paused",
    "Resumed",
    "Retrying",
    "Shape",
    "Trait",
    "Validators",
    "fetch",
    "read_secret",
]


def __getattr__(name: str) -> object:
    # The HTTP client takes a third of a second to import: only those who fetch wait for it.
    if name != "fetch":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = import_module(f"{__name__}.fetching").fetch
    globals()[name] = value
    return value
