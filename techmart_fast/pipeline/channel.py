"""A bounded channel between two stages of one event loop, bounded in bytes, not in items.

Guarantees: items come out in the order in which they went in, each exactly once; the sum of the
sizes of waiting items never exceeds the limit, except that one item larger than the limit may
wait alone. The sender closes; the receiver's iteration then ends after the last item.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelStatistics:
    """What waits in a channel now, and the most that ever did."""

    waiting_items: int
    waiting_bytes: int
    peak_bytes: int


class ClosedChannelError(RuntimeError):
    """An item was sent into a closed channel: a mistake of the program."""


class ByteChannel(Generic[Item]):
    """One sender's and one receiver's ends over one state."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._items: deque[tuple[Item, int]] = deque()
        self._waiting_bytes = 0
        self._peak_bytes = 0
        self._closed = False
        self._changed = asyncio.Condition()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<ByteChannel {state} {self._waiting_bytes}/{self._limit_bytes} bytes>"

    def statistics(self) -> ChannelStatistics:
        """The state of the channel."""
        return ChannelStatistics(
            waiting_items=len(self._items),
            waiting_bytes=self._waiting_bytes,
            peak_bytes=self._peak_bytes,
        )

    async def send(self, item: Item, size_bytes: int) -> None:
        """Wait until there is room, then put the item in.

        Raises:
            ClosedChannelError: the channel was closed.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or self._has_room(size_bytes))
            if self._closed:
                raise ClosedChannelError("the channel is closed")
            self._items.append((item, size_bytes))
            self._waiting_bytes += size_bytes
            self._peak_bytes = max(self._peak_bytes, self._waiting_bytes)
            self._changed.notify_all()

    async def close(self) -> None:
        """No more items will come; closing twice does nothing."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def __aiter__(self) -> AsyncIterator[Item]:
        """Take items until the channel is closed and empty."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._closed or bool(self._items))
                if not self._items:
                    return
                item, size_bytes = self._items.popleft()
                self._waiting_bytes -= size_bytes
                self._changed.notify_all()
            yield item

    def _has_room(self, size_bytes: int) -> bool:
        return not self._items or self._waiting_bytes + size_bytes <= self._limit_bytes
