"""Cuts a stream into blocks of whole records, the same ones on every run."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from techmart_fast.decode.window import Window

OVERSIZED_PREFIX_BYTES = 4096
"""How much of a record that is over the limit is kept, as evidence."""

_MOST_PATIENCE_BYTES = 64 << 10


class Framing(Protocol):
    """Where records of one format begin and end. Positions are those of the window.

    A record includes what separates it from the next one. What these methods answer depends on
    the bytes alone: never on the size of blocks, or on how much happens to be in the window.
    """

    def preamble(self) -> int:
        """Length of what stands before the first record: byte order mark, header, bracket."""

    def advance(self, start: int, limit: int) -> int:
        """The furthest end of whole records in `(start, start + limit]` that is cheap to find.

        `start` if there is none. No record in between is longer than `limit`.
        """

    def step(self, start: int) -> int | None:
        """The end of the one record that begins at `start`; None if it is over the limit."""

    def skip(self) -> None:
        """Drop the record with which the window begins; memory stays bounded."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Bytes `[first_byte, end_byte)` of a stream; `data` is shorter for an oversized record."""

    first_byte: int
    end_byte: int
    first_line: int
    data: bytes


def cuts(
    window: Window, framing: Framing, *, block_bytes: int, max_record_bytes: int
) -> Iterator[Cut]:
    """Consecutive cuts of at most `block_bytes`, or of one record if that is longer.

    A record over `max_record_bytes` is a cut of its own, of which only the beginning is kept.
    Memory: about `block_bytes` twice (the cut and the view), plus a few `max_record_bytes`.
    """
    end = framing.preamble()
    # After an attempt in vain some records are stepped through one by one, and more of them the
    # more attempts were in vain, so that the cost of attempts stays in proportion.
    retry, patience = end, 1
    while True:
        room = block_bytes - end
        if room <= 0:
            yield _cut(window, end)
            end, retry = 0, max(0, retry - end)
            continue
        if end >= retry:
            limit = min(room, max_record_bytes)
            reached = framing.advance(end, limit)
            if reached > end:
                end, patience = reached, 1
                continue
            retry = end + patience
            patience = min(2 * patience, _MOST_PATIENCE_BYTES)
        if window.ensure(end + 1) == end:
            break
        stepped = framing.step(end)
        if end and (stepped is None or stepped > block_bytes):
            yield _cut(window, end)
            end, retry = 0, max(0, retry - end)
        elif stepped is None:
            yield _oversized(window, framing, min(OVERSIZED_PREFIX_BYTES, max_record_bytes))
        else:
            end = stepped
    if end:
        yield _cut(window, end)


def _cut(window: Window, size: int) -> Cut:
    first_byte, first_line = window.offset, window.line
    data = window.take(size)
    return Cut(first_byte, window.offset, first_line, data)


def _oversized(window: Window, framing: Framing, prefix_bytes: int) -> Cut:
    first_byte, first_line = window.offset, window.line
    prefix = bytes(window.buffer[:prefix_bytes])
    framing.skip()
    return Cut(first_byte, window.offset, first_line, prefix)
