"""Where bytes come from: finding input files, telling what they are, reading them decompressed."""

from techmart_fast.sources.discover import discover
from techmart_fast.sources.stream import open_stream

__all__ = ["discover", "open_stream"]
