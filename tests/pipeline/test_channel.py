"""The byte-bounded channel: order, bound, closing, cancellation."""

import asyncio

import pytest

from techmart_fast.pipeline.channel import ByteChannel, ClosedChannelError


async def _turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_items_come_out_in_the_order_in_which_they_went_in() -> None:
    channel: ByteChannel[int] = ByteChannel(100)
    for item in range(5):
        await channel.send(item, 10)
    await channel.close()
    assert [item async for item in channel] == [0, 1, 2, 3, 4]


async def test_a_sender_waits_while_the_bytes_do_not_fit_and_goes_on_when_they_do() -> None:
    channel: ByteChannel[str] = ByteChannel(100)
    await channel.send("first", 60)
    second = asyncio.ensure_future(channel.send("second", 60))
    await _turns()
    assert not second.done()
    assert channel.statistics().waiting_bytes == 60
    received = channel.__aiter__()
    assert await anext(received) == "first"
    await second
    assert channel.statistics().waiting_bytes == 60
    assert channel.statistics().peak_bytes == 60
    await channel.close()
    assert [item async for item in channel] == ["second"]


async def test_an_item_above_the_limit_waits_alone() -> None:
    channel: ByteChannel[str] = ByteChannel(10)
    await channel.send("huge", 1000)
    small = asyncio.ensure_future(channel.send("small", 1))
    await _turns()
    assert not small.done()
    received = channel.__aiter__()
    assert await anext(received) == "huge"
    await small
    assert await anext(received) == "small"


async def test_a_closed_channel_refuses_items_also_from_a_waiting_sender() -> None:
    channel: ByteChannel[int] = ByteChannel(1)
    await channel.send(1, 1)
    waiting = asyncio.ensure_future(channel.send(2, 1))
    await _turns()
    await channel.close()
    with pytest.raises(ClosedChannelError):
        await waiting
    with pytest.raises(ClosedChannelError):
        await channel.send(3, 1)
    assert [item async for item in channel] == [1]


async def test_closing_wakes_a_receiver_that_waits_for_nothing() -> None:
    channel: ByteChannel[int] = ByteChannel(1)

    async def receive() -> list[int]:
        return [item async for item in channel]

    receiver = asyncio.ensure_future(receive())
    await _turns()
    assert not receiver.done()
    await channel.close()
    await channel.close()
    assert await receiver == []


async def test_a_cancelled_sender_leaves_no_item_and_no_bytes() -> None:
    channel: ByteChannel[int] = ByteChannel(1)
    await channel.send(1, 1)
    waiting = asyncio.ensure_future(channel.send(2, 1))
    await _turns()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await channel.close()
    assert [item async for item in channel] == [1]
    assert channel.statistics().waiting_bytes == 0


async def test_a_cancelled_receiver_loses_no_item() -> None:
    channel: ByteChannel[int] = ByteChannel(1)

    async def receive_one() -> int:
        return await anext(channel.__aiter__())

    receiver = asyncio.ensure_future(receive_one())
    await _turns()
    receiver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiver
    await channel.send(7, 1)
    await channel.close()
    assert [item async for item in channel] == [7]


async def test_repr_tells_the_state() -> None:
    channel: ByteChannel[int] = ByteChannel(8)
    await channel.send(1, 3)
    assert repr(channel) == "<ByteChannel open 3/8 bytes>"
