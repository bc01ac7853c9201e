"""Numbers that Arrow's decimals can't hold cost their record, whatever stands beside them.

Arrow keeps a long number modulo 2^128, and ends the process at a long negative exponent; so none of
them may get there.
"""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from techmart_fast.contract import default_contract
from techmart_fast.decode import blocks, decode
from techmart_fast.records import Feed
from techmart_fast.sources import discover
from techmart_fast.validate import validate

CONTRACT = default_contract()
NOW = datetime(2025, 1, 1, tzinfo=UTC)
CLEAN = 120

HUGE = {
    "of 36 digits, 12 modulo 2^128": str(12 + 2**119),
    "of 30 digits and decimals": f"{10**29}.99",
    "of 205 digits": "1" + "0" * 200 + "1234",
    "of 203 digits and decimals": "1" + "0" * 200 + "12.34",
    "nearly nothing": "1e-99999999",
    "nearly nothing, negative": "-1E-9999999",
    "nothing with an exponent": "0e-99999999",
    "far too much": "1e99999999",
}


def record(number: int, amount: object) -> bytes:
    return orjson.dumps(
        {
            "transaction_id": f"t{number}",
            "user_id": "u",
            "product_id": "p",
            "amount": amount,
            "currency": "USD",
            "timestamp": "2024-05-01T10:00:00Z",
            "payment_method": "credit_card",
            "status": "completed",
        }
    )


@pytest.mark.parametrize("layout", ["ndjson", "array"])
@pytest.mark.parametrize("quoted", [False, True], ids=["number", "text"])
@pytest.mark.parametrize("spelling", HUGE.values(), ids=HUGE)
@pytest.mark.parametrize("odd", [False, True], ids=["beside clean records", "beside odd ones"])
def test_only_its_record_is_rejected(
    layout: str, quoted: bool, spelling: str, odd: bool, tmp_path: Path
) -> None:
    lines = [record(number, "12.50" if number % 2 else 12.5) for number in range(CLEAN)]
    written = f'"{spelling}"' if quoted else spelling
    lines[50] = record(50, "HERE").replace(b'"HERE"', written.encode())
    if odd:
        lines[51] = record(51, " 12.50 ")
    path = tmp_path / "feed"
    joined = b"\n".join(lines) if layout == "ndjson" else b"[" + b",\n".join(lines) + b"]"
    path.write_bytes(joined)
    (file,) = discover(Feed.TRANSACTIONS, [str(path)], contract=CONTRACT)
    (block,) = blocks(
        replace(file, ordinal=1), CONTRACT, block_bytes=1 << 20, max_record_bytes=1 << 20
    )
    checked = validate(decode(block, CONTRACT), CONTRACT, run_started=NOW)
    assert checked.rejections.column("code").to_pylist() == ["amount_out_of_range"]
    amounts = checked.records.column("amount").to_pylist()
    assert amounts == [Decimal("12.50")] * (CLEAN - 1)
