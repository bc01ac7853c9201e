"""Decompresses an answer while it comes, never beyond a limit of bytes."""

import zlib

ACCEPTED = "gzip, deflate"
"""What the loader asks for; brotli and zstd can't be bounded with the libraries at hand."""

_STEP_BYTES = 256 << 10
_GZIP = 16 + zlib.MAX_WBITS


class TooLargeError(ValueError):
    """An answer has more bytes than allowed, compressed or not."""


class CodingError(ValueError):
    """An answer is compressed in a way that was not asked for, or its compression is damaged."""


class CutError(ValueError):
    """The compressed bytes end too early."""


class BoundedBody:
    """Collects a body of at most `max_bytes`, compressed and decompressed.

    Several codings on top of each other are refused: each one multiplies by up to a thousand.
    """

    def __init__(self, coding: str, *, max_bytes: int) -> None:
        names = [name.strip().lower() for name in coding.split(",")]
        names = [name for name in names if name not in {"", "identity"}]
        if len(names) > 1:
            raise CodingError("is compressed several times over")
        self._coding = names[0].removeprefix("x-") if names else ""
        if self._coding not in {"", "gzip", "deflate"}:
            raise CodingError("is compressed in a way that was not asked for")
        self._max_bytes = max_bytes
        self._came = 0
        self._stream: zlib._Decompress | None = None
        self.data = bytearray()

    def feed(self, piece: bytes) -> None:
        """Take the next bytes.

        Raises:
            TooLargeError: that is too much; nothing more was expanded.
            CodingError: the compressed data is damaged.
        """
        self._came += len(piece)
        if self._came > self._max_bytes:
            raise TooLargeError
        if not self._coding:
            self.data += piece
            return
        try:
            self._expand(piece)
        except zlib.error:
            raise CodingError(f"is damaged {self._coding} data") from None

    def close(self) -> bytearray:
        """The whole body.

        Raises:
            CutError: the compressed data ends too early.
        """
        if self._stream is not None and not self._stream.eof:
            raise CutError
        if self._coding and self._stream is None and self._came:
            raise CutError
        return self.data

    def _expand(self, piece: bytes) -> None:
        full = False
        while piece or full:
            if self._stream is None or (self._stream.eof and piece):
                # A gzip file may have several members; after deflate nothing may follow.
                if self._stream is not None and self._coding != "gzip":
                    raise CodingError("has something behind its compressed data")
                self._stream = zlib.decompressobj(self._window_bits(piece))
            # One byte more than allowed tells that it is too much.
            step = min(self._max_bytes - len(self.data) + 1, _STEP_BYTES)
            found = self._stream.decompress(piece, step)
            self.data += found
            if len(self.data) > self._max_bytes:
                raise TooLargeError
            piece = self._stream.unconsumed_tail or self._stream.unused_data
            # All bytes may be taken in and some still wait to come out.
            full = len(found) == step and not self._stream.eof

    def _window_bits(self, piece: bytes) -> int:
        if self._coding == "gzip":
            return _GZIP
        # "deflate" is zlib's format by the letter, and the bare one by some servers.
        return zlib.MAX_WBITS if piece[0] & 0x0F == zlib.DEFLATED else -zlib.MAX_WBITS
