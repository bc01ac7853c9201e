"""A sink that takes one row a second stops the source, and memory stays where it is."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from statistics import linear_regression, mean

import pytest

from tests.network.slow_sink import MIB, SlowSink, Source, channels, filled, slow_load

_SECONDS = 60
_BLOCK_MIB = 8.0
_TASKS = 4
"""They read, prepare, share out and write."""
_SLOPE_MIB = 1.0
"""What memory may grow by in a minute and still count as flat: less than one block in eight."""


@pytest.mark.parametrize("records", [200, 2], ids=["small records", "large ones"])
async def test_full_channels_stop_the_source(records: int, tmp_path: Path) -> None:
    source, sink = Source(block_bytes=1 << 16, records=records), SlowSink(seconds_a_row=None)
    limit = 8 << 16
    load = slow_load(source, sink, tmp_path, channel_bytes=limit)
    running = asyncio.ensure_future(load.run())
    limits = channels(load, limit)
    await asyncio.wait_for(filled(limits), 30)
    for _ in range(30):
        seen = [channel.statistics() for channel in limits]
        assert all(one.peak_bytes <= most for one, most in zip(seen, limits.values(), strict=True))
        raw, prepared, *writers = [one.waiting_items for one in seen]
        # A batch counts as its part of the source, be its columns ever so small.
        assert max(writers) <= 8
        # Every block that was read waits in a channel, but for one in the hands of each task.
        assert source.given - raw - prepared - max(writers) <= _TASKS
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sink.rows == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.torture
@pytest.mark.parametrize(
    ("block_bytes", "records"),
    [
        pytest.param(8 * MIB, 30_000, id="blocks as usual, of which none is taken in a minute"),
        pytest.param(1 << 16, 2, id="small blocks of large records, which flow"),
    ],
)
def test_memory_has_no_slope_under_a_sink_of_one_row_a_second(
    block_bytes: int, records: int
) -> None:
    command = [sys.executable, "-m", "tests.network.slow_sink"]
    ended = subprocess.run(
        [*command, str(block_bytes), str(records), str(_SECONDS)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout)
    at = [second for second, _ in seen["held"]]
    held = [size / MIB for _, size in seen["held"]]
    slope, start = linear_regression(at, held)
    # How sure the slope is: its standard error, as of any least squares.
    apart = [size - (start + slope * second) for second, size in zip(at, held, strict=True)]
    spread = sum((second - mean(at)) ** 2 for second in at)
    error = (sum(one * one for one in apart) / (len(at) - 2) / spread) ** 0.5
    said = (
        f"{held[0]:.1f} to {held[-1]:.1f} MiB in {at[-1]:.0f} s, slope {slope * 60:+.3f} "
        f"± {2 * error * 60:.3f} MiB a minute, {seen['rows']} rows, "
        f"{seen['filled_blocks']} to {seen['blocks']} blocks"
    )
    print(said)
    assert len(held) == _SECONDS
    assert seen["rows"] > 0
    assert (slope - 2 * error) * 60 < _SLOPE_MIB, said
    assert max(held) - held[0] < _BLOCK_MIB, said
