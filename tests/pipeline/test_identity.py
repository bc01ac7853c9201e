"""Batch identities and lanes."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from techmart_fast.contract import default_contract, parse_contract
from techmart_fast.pipeline.identity import identify, split_lanes
from techmart_fast.records import Block, Feed, SourceFile

_FILE = SourceFile(
    feed=Feed.TRANSACTIONS,
    name="a.ndjson",
    path=Path("a.ndjson"),
    fingerprint="ab" * 32,
    size_bytes=100,
    compression="none",
    format="ndjson",
    ordinal=1,
)
_BLOCK = Block(source=_FILE, first_byte=0, end_byte=50, first_line=1, data=b"x" * 50)

_keys = st.lists(st.text(min_size=1, max_size=12), max_size=60)


def test_the_same_block_gets_the_same_batch_id_under_any_file_name() -> None:
    renamed = replace(_BLOCK, source=replace(_FILE, name="b.ndjson", path=Path("b.ndjson")))
    contract = default_contract()
    first = identify(_BLOCK, contract, lane=0, lanes=2)
    assert identify(renamed, contract, lane=0, lanes=2).batch_id == first.batch_id


def test_another_range_contract_lane_or_feed_is_another_batch() -> None:
    contract = default_contract()
    other_contract = parse_contract('name = "other"', name="other")
    users = replace(_BLOCK, source=replace(_FILE, feed=Feed.USERS))
    ids = {
        identify(_BLOCK, contract, lane=0, lanes=2).batch_id,
        identify(_BLOCK, contract, lane=1, lanes=2).batch_id,
        identify(_BLOCK, contract, lane=0, lanes=3).batch_id,
        identify(_BLOCK, other_contract, lane=0, lanes=2).batch_id,
        identify(replace(_BLOCK, end_byte=51), contract, lane=0, lanes=2).batch_id,
        identify(users, contract, lane=0, lanes=2).batch_id,
    }
    assert len(ids) == 6


@given(keys=_keys, lanes=st.integers(1, 4), offset=st.integers(0, 3))
def test_lanes_share_out_every_record_once_by_key_in_source_order(
    keys: list[str], lanes: int, offset: int
) -> None:
    records = pa.record_batch({"id": pa.array(keys, pa.string()), "row": range(len(keys))})
    records = records.slice(offset)
    shares = split_lanes(records, "id", lanes)
    assert len(shares) == lanes
    rows = [row for share in shares for row in share.column("row").to_pylist()]
    assert sorted(rows) == records.column("row").to_pylist()
    lane_of: dict[str, int] = {}
    for lane, share in enumerate(shares):
        assert share.column("row").to_pylist() == sorted(share.column("row").to_pylist())
        for key in share.column("id").to_pylist():
            assert lane_of.setdefault(key, lane) == lane


def test_lanes_are_about_even_for_ids_that_count_up() -> None:
    keys = pa.array([f"txn_{number:09d}" for number in range(10_000)])
    shares = split_lanes(pa.record_batch({"id": keys}), "id", 2)
    assert all(4_500 < share.num_rows < 5_500 for share in shares)
