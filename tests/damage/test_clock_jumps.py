"""Wall clocks that jump: positions do not depend on them, and durations neither."""

from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from techmart_fast.pipeline import run as runs
from tests.odd_shop import feeds, sale
from tests.shops import Shop


def clock_off_by(monkeypatch: pytest.MonkeyPatch, jump: timedelta) -> None:
    """The clock that a run's start is read from; what comes later reads the right one."""

    class Jumped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Jumped":
            return super().now(tz) + jump

    monkeypatch.setattr(runs, "datetime", Jumped)


async def test_runs_on_clocks_that_jump_keep_the_order_of_arrival_and_took_some_time(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [
        feeds(tmp_path, *(sale(number) for number in range(6)), name="first"),
        # Corrections on a clock that was set back: older by its time, newer by its place.
        feeds(tmp_path, sale(1, amount="9.99"), sale(2, status="refunded"), name="second"),
    ]
    for piece, jump in zip(pieces, (timedelta(hours=1), timedelta(days=-400)), strict=True):
        with monkeypatch.context() as patched:
            clock_off_by(patched, jump)
            result = await shop.run(piece)
        assert result.error is None
        assert 0 < result.seconds < 3600
        assert result.rows_per_second > 0
    stored = await shop.rows("SELECT seconds FROM techmart_loader.runs")
    assert all(0 < float(str(row["seconds"])) < 3600 for row in stored)
    [row] = await shop.rows("SELECT amount FROM transactions WHERE transaction_id = 't1'")
    assert str(row["amount"]) == "9.99"
    [sums] = await shop.rows("SELECT count(*), sum(amount_usd) FROM transactions")
    assert await shop.warehouse_sums() == tuple(sums.values())
