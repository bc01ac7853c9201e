"""Fetches the records of a JSON API into one local file, politely and concurrently."""

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
from techmart_fast.sources.api.fetch import fetch
from techmart_fast.sources.api.result import Fetched
from techmart_fast.sources.api.shape import Shape, Trait

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
