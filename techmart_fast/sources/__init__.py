"""Where bytes come from: finding input files, telling what they are, reading them decompressed."""

from techmart_fast.sources.addresses import endpoint_of, is_address
from techmart_fast.sources.discover import discover, fingerprinted, look
from techmart_fast.sources.standard_input import (
    STANDARD_INPUT,
    STANDARD_INPUT_NAME,
    copied_standard_input,
    remove_abandoned_copies,
)
from techmart_fast.sources.stream import open_stream

__all__ = [
    "STANDARD_INPUT",
    "STANDARD_INPUT_NAME",
    "copied_standard_input",
    "discover",
    "endpoint_of",
    "fingerprinted",
    "is_address",
    "look",
    "open_stream",
    "remove_abandoned_copies",
]
