"""What makes the loader fast and its memory flat, checked by counting, never by the clock.

How fast it is, `make bench` measures. Runnable alone: `python tests/test_performance.py`.
"""

import io
import json
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import pytest

from techmart_fast.api import run
from techmart_fast.contract import default_contract
from techmart_fast.decode import blocks
from techmart_fast.pipeline.prepare import Stages, prepare
from techmart_fast.records import Block, Feed
from techmart_fast.sources import discover
from techmart_fast.transform import Enricher
from tests.shops import Shop, sources_in

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_MIB = 1 << 20


def _record(number: int) -> dict[str, object]:
    return {
        "transaction_id": f"t{number:07d}",
        "user_id": f"u{number % 97}",
        "product_id": f"p{number % 31}",
        "amount": round(number % 9000 / 100 + 1, 2),
        "currency": "USD",
        "timestamp": "2025-03-01T10:00:00Z",
        "payment_method": "paypal",
        "status": "completed",
    }


def _write(path: Path, layout: str, rows: int) -> Path:
    with path.open("w") as feed:
        if layout == "csv":
            feed.write(",".join(_record(0)) + "\n")
            feed.writelines(",".join(map(str, _record(n).values())) + "\n" for n in range(rows))
        elif layout == "ndjson":
            feed.writelines(json.dumps(_record(n)) + "\n" for n in range(rows))
        else:
            feed.write("[")
            feed.writelines(("," if n else "") + json.dumps(_record(n)) for n in range(rows))
            feed.write("]")
    return path


def _cut(path: Path, *, block_bytes: int) -> list[Block]:
    contract = default_contract()
    (file,) = discover(Feed.TRANSACTIONS, [str(path)], contract=contract)
    file = replace(file, ordinal=1)
    return list(blocks(file, contract, block_bytes=block_bytes, max_record_bytes=_MIB))


def _python_calls(function: Callable[[], object]) -> int:
    """How many functions, of Python and of C, Python code calls while it runs."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("layout", ["ndjson", "json_array", "csv"])
def test_clean_records_cost_no_python_each(tmp_path: Path, layout: str) -> None:
    contract = default_contract()
    enricher = Enricher(contract)
    calls = []
    for rows in (2_000, 8_000):
        path = _write(tmp_path / f"{rows}.{layout}", layout, rows)
        (block,) = _cut(path, block_bytes=64 * _MIB)

        def run(block: Block = block) -> None:
            prepared = prepare(
                block,
                contract,
                stages=Stages(),
                enricher=enricher,
                run_started=_NOW,
                lanes=2,
            )
            assert prepared.candidates.rejections.num_rows == 0

        run()
        calls.append(_python_calls(run))
    assert calls[1] < calls[0] * 1.5, calls
    assert calls[1] < 4_000, calls


@pytest.mark.parametrize("layout", ["ndjson", "json_array", "csv"])
def test_framing_holds_a_few_blocks_whatever_the_size_of_the_file(
    tmp_path: Path, layout: str
) -> None:
    contract = default_contract()
    peaks = []
    for rows in (60_000, 180_000):
        path = _write(tmp_path / f"{rows}.{layout}", layout, rows)
        (file,) = discover(Feed.TRANSACTIONS, [str(path)], contract=contract)
        tracemalloc.start()
        cut = blocks(
            replace(file, ordinal=1), contract, block_bytes=256 * 1024, max_record_bytes=_MIB
        )
        assert sum(len(block.data) for block in cut) > 1_000_000
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.1
    assert peaks[1] < 8 * _MIB


async def test_a_run_never_holds_more_in_its_channels_than_the_settings_allow(
    make_lean_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    for feed, text in {
        "users.csv": "user_id,email,registration_date,country\n"
        + "".join(f"u{n},u{n}@example.com,2024-01-01,DE\n" for n in range(97)),
        "products.csv": "product_id,name,price\n"
        + "".join(f"p{n},Lamp {n},5\n" for n in range(31)),
    }.items():
        (tmp_path / feed).write_text(text)
    _write(tmp_path / "transactions.ndjson", "ndjson", 20_000)
    limit = 300_000
    shop = make_lean_shop(block_bytes=64 * 1024, channel_bytes=limit)
    seen: list[int] = []

    class Watching(io.StringIO):
        def phase(self, name: str) -> None:
            self.write(name)

        def fetching(self, progress: object) -> None:
            raise AssertionError(progress)

        def progress(self, progress: object) -> None:
            seen.append(progress.waiting_bytes)  # type: ignore[attr-defined]  # a FeedProgress

    result = await run(sources_in(tmp_path), settings=shop.settings, observer=Watching())
    assert result.error is None
    assert result.feeds[Feed.TRANSACTIONS].loaded == 20_000
    # Two channels of blocks and the lanes, which share one limit.
    assert 0 < max(seen) <= 3 * limit


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, *sys.argv[1:]]))
