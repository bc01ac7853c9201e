"""From bytes to columns: framing into blocks of whole records, then decoding block by block."""

from techmart_fast.decode.apart import decode_apart
from techmart_fast.decode.blocks import blocks
from techmart_fast.decode.decode import decode

__all__ = ["blocks", "decode", "decode_apart"]
