"""One benchmark for each stage before the sinks, with rows/s and MB/s; and their floors."""

import io
import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from uuid import UUID

import pgpq
import pyarrow as pa
import pyarrow.json as arrow_json
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import IS_FULL_SIZE, MakeShop
from techmart_fast.contract import Contract
from techmart_fast.decode import blocks, decode
from techmart_fast.dev.spec import DefectKind
from techmart_fast.pipeline.identity import split_lanes
from techmart_fast.records import DECODED_NUMBER, FIELDS, Block, Feed, SourceFile
from techmart_fast.sources import discover
from techmart_fast.transform import Enricher
from techmart_fast.validate import validate
from techmart_fast.warehouse import LoadTable, SpoolFolder, write_spool

_BLOCK_BYTES = 16 << 20
_TURNS = 7
_TIERS = pa.table({"user_id": ["usr_1"], "customer_tier": ["vip"]})
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
# The service level's floors, a minute; the project aims a thousand times higher.
_FLOOR_ROWS_A_MINUTE = 1_000
_FLOOR_BYTES_A_MINUTE = 10_000_000


def _file(shop: Path, contract: Contract) -> SourceFile:
    specs = [str(shop / "transactions.ndjson")]
    (found,) = discover(Feed.TRANSACTIONS, specs, contract=contract)
    return replace(found, ordinal=1)


def first_block(shop: Path, contract: Contract) -> Block:
    """The first block of a shop's transactions."""
    file = _file(shop, contract)
    return next(blocks(file, contract, block_bytes=_BLOCK_BYTES, max_record_bytes=1 << 20))


def report(benchmark: BenchmarkFixture, rows: int, size: int | None = None) -> None:
    """Note rates, and hold the floors. `size` are bytes of a feed."""
    if benchmark.stats is None:
        # Without --benchmark-enable it ran once, and nothing was measured.
        return
    seconds = benchmark.stats.stats.median
    benchmark.extra_info["rows_per_second"] = round(rows / seconds)
    assert rows / seconds * 60 >= _FLOOR_ROWS_A_MINUTE
    if size is not None:
        benchmark.extra_info["megabytes_per_second"] = round(size / 1e6 / seconds, 1)
        assert size / seconds * 60 >= _FLOOR_BYTES_A_MINUTE


def test_frame(benchmark: BenchmarkFixture, make_shop: MakeShop, contract: Contract) -> None:
    file = _file(make_shop("0"), contract)

    def frame() -> int:
        cut = blocks(file, contract, block_bytes=_BLOCK_BYTES, max_record_bytes=1 << 20)
        return sum(len(block.data) for block in cut)

    size = benchmark(frame)
    assert size == file.size_bytes
    report(benchmark, size // 200, size)


@pytest.mark.parametrize("defects", ["0", "0.02"])
def test_decode(
    benchmark: BenchmarkFixture, make_shop: MakeShop, contract: Contract, defects: str
) -> None:
    block = first_block(make_shop(defects), contract)
    decoded = benchmark(decode, block, contract)
    report(benchmark, decoded.read, len(block.data))


def test_decode_by_pyarrow_json_alone(
    benchmark: BenchmarkFixture, make_shop: MakeShop, contract: Contract
) -> None:
    """The other way to compare with: no offsets, no checks, no rejections."""
    block = first_block(make_shop("0"), contract)
    report(benchmark, benchmark(_arrow_alone, block), len(block.data))


@pytest.mark.parametrize(
    ("against", "least"), [("pyarrow", 0.6), ("values", 0.7), ("structure", 0.5)]
)
def test_prepare_on_one_core(
    benchmark: BenchmarkFixture, make_shop: MakeShop, contract: Contract, against: str, least: float
) -> None:
    """Decode, validate and transform a block, by processor time, in turns with another way.

    Clean lines against `pyarrow.json` alone; 2 % invalid values, and 0.2 % broken lines, against
    clean lines.
    """
    clean = first_block(make_shop(), contract)
    if against == "pyarrow":
        measured, other = partial(_prepare, clean, contract), partial(_arrow_alone, clean)
    else:
        share = Decimal("0.02" if against == "values" else "0.002")
        shop = make_shop(str(share), shares={DefectKind(against): Decimal(1)})
        odd = first_block(shop, contract)
        measured, other = partial(_prepare, odd, contract), partial(_prepare, clean, contract)
    rates: dict[str, list[float]] = {"measured": [], "other": []}
    for _ in range(_TURNS):
        for name, way in (("other", other), ("measured", measured)):
            began = time.process_time()
            rows = way()
            rates[name].append(rows / (time.process_time() - began))
    ratio = statistics.median(rates["measured"]) / statistics.median(rates["other"])
    benchmark.extra_info.update(times_as_fast=round(ratio, 3), expected=least)
    report(benchmark, benchmark(measured), len(clean.data))
    assert benchmark.disabled or not IS_FULL_SIZE or ratio >= least


def _prepare(block: Block, contract: Contract) -> int:
    decoded = decode(block, contract)
    valid = validate(decoded, contract, run_started=_NOW)
    Enricher(contract, tiers=_TIERS).enrich(valid)
    return decoded.read


def _arrow_alone(block: Block) -> int:
    names = FIELDS[Feed.TRANSACTIONS]
    schema = pa.schema([(n, DECODED_NUMBER if n == "amount" else pa.string()) for n in names])
    table = arrow_json.read_json(
        io.BytesIO(block.data),
        read_options=arrow_json.ReadOptions(use_threads=False),
        parse_options=arrow_json.ParseOptions(explicit_schema=schema),
    )
    return int(table.num_rows)


@pytest.mark.parametrize("defects", ["0", "0.02"])
def test_validate(
    benchmark: BenchmarkFixture, make_shop: MakeShop, contract: Contract, defects: str
) -> None:
    block = first_block(make_shop(defects), contract)
    decoded = decode(block, contract)
    benchmark(validate, decoded, contract, run_started=_NOW)
    report(benchmark, decoded.read, len(block.data))


def test_transform(benchmark: BenchmarkFixture, make_shop: MakeShop, contract: Contract) -> None:
    block = first_block(make_shop("0"), contract)
    valid = validate(decode(block, contract), contract, run_started=_NOW)
    enricher = Enricher(contract, tiers=_TIERS)

    def transform() -> int:
        records = enricher.enrich(valid).records
        return sum(share.num_rows for share in split_lanes(records, "transaction_id", 2))

    report(benchmark, benchmark(transform), len(block.data))


def candidates(shop: Path, contract: Contract) -> pa.RecordBatch:
    """Its valid records, enriched."""
    block = first_block(shop, contract)
    valid = validate(decode(block, contract), contract, run_started=_NOW)
    return Enricher(contract).enrich(valid).records


def test_encode_for_copy(
    benchmark: BenchmarkFixture, make_shop: MakeShop, contract: Contract
) -> None:
    records = candidates(make_shop("0"), contract)

    def encode() -> int:
        encoder = pgpq.ArrowToPostgresBinaryEncoder(records.schema)
        parts = (encoder.write_header(), encoder.write_batch(records), encoder.finish())
        return sum(len(part) for part in parts)

    report(benchmark, records.num_rows, benchmark(encode))


def test_write_parquet(
    benchmark: BenchmarkFixture, make_shop: MakeShop, contract: Contract, tmp_path: Path
) -> None:
    records = candidates(make_shop("0"), contract)
    numbers = iter(range(10**9))

    def spool() -> int:
        return write_spool(
            records,
            table=LoadTable.TRANSACTIONS,
            folder=SpoolFolder(tmp_path),
            name=f"spool-{next(numbers)}",
            batch_id=UUID(int=1),
        ).size_bytes

    benchmark(spool)
    report(benchmark, records.num_rows, records.nbytes)
