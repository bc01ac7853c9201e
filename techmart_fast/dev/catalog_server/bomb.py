"""Gzip bombs: few bytes that expand to many, made without ever holding the many."""

import zlib
from functools import cache

EXPANDED_BYTES = 512 << 20
_BLOCK_BYTES = 1 << 20
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"


@cache
def bomb(expanded_bytes: int = EXPANDED_BYTES) -> bytes:
    """A gzip member of a JSON array that is empty but for `expanded_bytes` of white space.

    Deflate can't do better than about 1,030 to 1, so 512 MiB take half a MiB; see `nested_bomb`.
    """
    blank = b" " * _BLOCK_BYTES
    blocks, rest = divmod(max(2, expanded_bytes) - 2, _BLOCK_BYTES)
    packer = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
    # A full flush ends on a byte and refers to nothing before: the same bytes serve for each block.
    opening = packer.compress(b"[") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(blank) + packer.flush(zlib.Z_FULL_FLUSH)
    closing = packer.compress(b" " * rest + b"]") + packer.flush()
    check = zlib.crc32(b"[")
    for _ in range(blocks):
        check = zlib.crc32(blank, check)
    check = zlib.crc32(b" " * rest + b"]", check)
    length = 2 + blocks * _BLOCK_BYTES + rest
    trailer = check.to_bytes(4, "little") + (length & 0xFFFFFFFF).to_bytes(4, "little")
    return _HEADER + opening + block * blocks + closing + trailer


@cache
def nested_bomb(expanded_bytes: int = EXPANDED_BYTES) -> bytes:
    """The bomb, compressed once more: a few KiB, for `Content-Encoding: gzip, gzip`."""
    packer = zlib.compressobj(level=9, wbits=16 + zlib.MAX_WBITS)
    return packer.compress(bomb(expanded_bytes)) + packer.flush()
