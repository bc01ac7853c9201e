"""Bytes of any kind as feeds: nothing escapes but documented errors, and nothing is lost."""

import bz2
import gzip
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import csv_documents
import pyarrow as pa
import pytest
from broken import NOISE, forms, holds_for, mutated
from decode_support import CONTRACT, read
from hypothesis import strategies as st
from invariants import FEED, examined, small_steps
from json_documents import array_feeds, line_feeds

from techmart_fast.decode import blocks, decode
from techmart_fast.errors import TechmartError
from techmart_fast.records import Feed
from techmart_fast.sources import discover

BLOCK_BYTES = st.sampled_from([1, 7, 40, 171, 400, 1 << 20])
MAX_RECORD_BYTES = st.sampled_from([1 << 20, 1 << 20, 400, 171, 7, 1])
STEPS = st.sampled_from([1, 3, 64, 1 << 15])
FEEDS = {
    "ndjson": st.one_of(NOISE, mutated(line_feeds())),
    "json_array": st.one_of(NOISE, mutated(array_feeds())),
    "csv": st.one_of(
        st.one_of(NOISE, csv_documents.SIGNS).map((csv_documents.HEADER + b"\n").__add__),
        mutated(csv_documents.csv_feeds()),
    ),
}


@pytest.mark.parametrize("kind", FEEDS)
@forms(40, 5_000)
def test_any_bytes_in_blocks_of_any_size(kind: str, examples: int) -> None:
    def sound(data: bytes, block_bytes: int, longest: int, step: int) -> None:
        with suppress(TechmartError), small_steps(step):
            found = examined(data, kind, block_bytes=block_bytes, max_record_bytes=longest)
            assert found == read(data, kind, feed=FEED[kind], max_record_bytes=longest)

    holds_for(examples, sound, FEEDS[kind], BLOCK_BYTES, MAX_RECORD_BYTES, STEPS)


COMPRESS: list[Callable[[bytes], bytes]] = [
    bytes,
    gzip.compress,
    bz2.compress,
    lambda data: bytes(pa.Codec("zstd").compress(data, asbytes=True)),
]


@forms(60, 10_000)
def test_a_file_of_any_bytes_is_read_or_refused_with_an_error_that_is_documented(
    examples: int,
) -> None:
    def read_or_refused(
        inside: bytes, compress: Callable[[bytes], bytes], damage: bytes, place: int, feed: Feed
    ) -> None:
        stored = compress(inside)
        stored = stored[:place] + damage + stored[place + len(damage) :]
        with tempfile.TemporaryDirectory() as folder, suppress(TechmartError):
            path = Path(folder, "feed")
            path.write_bytes(stored)
            (file,) = discover(feed, [str(path)], contract=CONTRACT)
            end = 0
            for block in blocks(file, CONTRACT, block_bytes=100, max_record_bytes=400):
                assert block.first_byte == end
                end = block.end_byte
                batch = decode(block, CONTRACT)
                assert batch.read == batch.records.num_rows + batch.rejections.num_rows

    holds_for(
        examples,
        read_or_refused,
        mutated(st.one_of(*FEEDS.values())),
        st.sampled_from(COMPRESS),
        st.one_of(st.just(b""), st.binary(max_size=20)),
        st.integers(0, 200),
        st.sampled_from(Feed),
    )
