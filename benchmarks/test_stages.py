"""One benchmark for each stage before the sinks, with rows/s and MB/s; and their floors."""

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pgpq
import pyarrow as pa
import pyarrow.json as arrow_json
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from techmart_fast.contract import Contract
from techmart_fast.decode import blocks, decode
from techmart_fast.pipeline.identity import split_lanes
from techmart_fast.records import DECODED_NUMBER, FIELDS, Block, Feed, SourceFile
from techmart_fast.sources import discover
from techmart_fast.transform import Enricher
from techmart_fast.validate import validate
from techmart_fast.warehouse import LoadTable, write_spool

_BLOCK_BYTES = 16 << 20
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
# The service level's floors, a minute; the project aims a thousand times higher.
_FLOOR_ROWS_A_MINUTE = 1_000
_FLOOR_BYTES_A_MINUTE = 10_000_000

Shop = Callable[[str], Path]


def _file(shop: Path, contract: Contract) -> SourceFile:
    specs = [str(shop / "transactions.ndjson")]
    (found,) = discover(Feed.TRANSACTIONS, specs, contract=contract)
    return replace(found, ordinal=1)


def _first_block(shop: Path, contract: Contract) -> Block:
    file = _file(shop, contract)
    return next(blocks(file, contract, block_bytes=_BLOCK_BYTES, max_record_bytes=1 << 20))


def _report(benchmark: BenchmarkFixture, rows: int, size: int) -> None:
    if benchmark.disabled:
        return
    seconds = benchmark.stats.stats.median
    benchmark.extra_info["rows_per_second"] = round(rows / seconds)
    benchmark.extra_info["megabytes_per_second"] = round(size / 1e6 / seconds, 1)
    assert rows / seconds * 60 >= _FLOOR_ROWS_A_MINUTE
    assert size / seconds * 60 >= _FLOOR_BYTES_A_MINUTE


def test_frame(benchmark: BenchmarkFixture, make_shop: Shop, contract: Contract) -> None:
    file = _file(make_shop("0"), contract)

    def frame() -> int:
        cut = blocks(file, contract, block_bytes=_BLOCK_BYTES, max_record_bytes=1 << 20)
        return sum(len(block.data) for block in cut)

    size = benchmark(frame)
    assert size == file.size_bytes
    _report(benchmark, size // 200, size)


@pytest.mark.parametrize("defects", ["0", "0.02"])
def test_decode(
    benchmark: BenchmarkFixture, make_shop: Shop, contract: Contract, defects: str
) -> None:
    block = _first_block(make_shop(defects), contract)
    decoded = benchmark(decode, block, contract)
    _report(benchmark, decoded.read, len(block.data))


def test_decode_by_pyarrow_json_alone(
    benchmark: BenchmarkFixture, make_shop: Shop, contract: Contract
) -> None:
    """The other way to compare with: no offsets, no checks, no rejections."""
    block = _first_block(make_shop("0"), contract)
    names = FIELDS[Feed.TRANSACTIONS]
    schema = pa.schema([(n, DECODED_NUMBER if n == "amount" else pa.string()) for n in names])
    options = arrow_json.ParseOptions(explicit_schema=schema)
    table = benchmark(lambda: arrow_json.read_json(io.BytesIO(block.data), parse_options=options))
    _report(benchmark, table.num_rows, len(block.data))


@pytest.mark.parametrize("defects", ["0", "0.02"])
def test_validate(
    benchmark: BenchmarkFixture, make_shop: Shop, contract: Contract, defects: str
) -> None:
    block = _first_block(make_shop(defects), contract)
    decoded = decode(block, contract)
    benchmark(validate, decoded, contract, run_started=_NOW)
    _report(benchmark, decoded.read, len(block.data))


def test_transform(benchmark: BenchmarkFixture, make_shop: Shop, contract: Contract) -> None:
    block = _first_block(make_shop("0"), contract)
    valid = validate(decode(block, contract), contract, run_started=_NOW)
    tiers = pa.table({"user_id": ["usr_1"], "customer_tier": ["vip"]})
    enricher = Enricher(contract, tiers=tiers)

    def transform() -> int:
        records = enricher.enrich(valid).records
        return sum(share.num_rows for share in split_lanes(records, "transaction_id", 2))

    _report(benchmark, benchmark(transform), len(block.data))


def _candidates(shop: Path, contract: Contract) -> pa.RecordBatch:
    block = _first_block(shop, contract)
    valid = validate(decode(block, contract), contract, run_started=_NOW)
    return Enricher(contract).enrich(valid).records


def test_encode_for_copy(benchmark: BenchmarkFixture, make_shop: Shop, contract: Contract) -> None:
    records = _candidates(make_shop("0"), contract)

    def encode() -> int:
        encoder = pgpq.ArrowToPostgresBinaryEncoder(records.schema)
        parts = (encoder.write_header(), encoder.write_batch(records), encoder.finish())
        return sum(len(part) for part in parts)

    _report(benchmark, records.num_rows, benchmark(encode))


def test_write_parquet(
    benchmark: BenchmarkFixture, make_shop: Shop, contract: Contract, tmp_path: Path
) -> None:
    records = _candidates(make_shop("0"), contract)
    numbers = iter(range(10**9))

    def spool() -> int:
        return write_spool(
            records,
            table=LoadTable.TRANSACTIONS,
            folder=tmp_path,
            name=f"spool-{next(numbers)}",
            batch_id=UUID(int=1),
        ).size_bytes

    benchmark(spool)
    _report(benchmark, records.num_rows, records.nbytes)
