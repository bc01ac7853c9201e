"""The journey of a block before the sinks: decode, validate, enrich, share out. Pure functions."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from techmart_fast.contract import Contract
from techmart_fast.decode import decode
from techmart_fast.pipeline.identity import split_lanes
from techmart_fast.pipeline.meter import Lap
from techmart_fast.records import KEY_FIELD, Block, CandidateBatch, DecodedBatch, Feed
from techmart_fast.transform import Enricher
from techmart_fast.validate import ValidatedBatch, validate


class Decode(Protocol):
    """Turns a block into columns."""

    def __call__(self, block: Block, contract: Contract) -> DecodedBatch:
        """Decode the records of one block."""


class Validate(Protocol):
    """Turns decoded columns into valid records and rejections."""

    def __call__(
        self, decoded: DecodedBatch, contract: Contract, *, run_started: datetime
    ) -> ValidatedBatch:
        """Check the records of one block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The replaceable stages of a run. `enricher` is made once per feed.

    A stage must be pure and thread-safe, and keep the schemas of `records`.
    """

    decode: Decode = decode
    validate: Validate = validate
    enricher: Callable[[Contract, pa.Table | None], Enricher] = lambda contract, tiers: Enricher(
        contract, tiers=tiers
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedBlock:
    """A block ready for the sinks: candidates by lane, rejections, and what was seen on the way.

    `candidates.records` is empty: the records are in `lanes`. The raw bytes are let go.
    `swallowed` counts lines of CSV that rejected records reach over, besides their first.
    """

    candidates: CandidateBatch
    lanes: tuple[pa.RecordBatch, ...]
    timed: int
    late: int
    swallowed: int
    laps: tuple[Lap, ...]


def prepare(
    block: Block,
    contract: Contract,
    *,
    stages: Stages,
    enricher: Enricher,
    run_started: datetime,
    lanes: int,
) -> PreparedBlock:
    """Decode, validate, enrich and share out one block."""
    clock, size = time.perf_counter, len(block.data)
    began = clock()
    decoded = stages.decode(block, contract)
    decoded_at = clock()
    validated = stages.validate(decoded, contract, run_started=run_started)
    validated_at = clock()
    candidates = enricher.enrich(validated)
    shares = split_lanes(candidates.records, KEY_FIELD[block.source.feed], lanes)
    ended = clock()
    timed, late = _timeliness(candidates, contract, run_started)
    rows, read = candidates.records.num_rows, decoded.read
    return PreparedBlock(
        candidates=replace(
            candidates, block=replace(block, data=b""), records=candidates.records.slice(0, 0)
        ),
        lanes=shares,
        timed=timed,
        late=late,
        swallowed=_swallowed(candidates),
        laps=(
            Lap(stage="decode", began=began, ended=decoded_at, rows=read, bytes=size),
            Lap(stage="validate", began=decoded_at, ended=validated_at, rows=read, bytes=size),
            Lap(stage="transform", began=validated_at, ended=ended, rows=rows, bytes=size),
        ),
    )


def _timeliness(
    candidates: CandidateBatch, contract: Contract, received: datetime
) -> tuple[int, int]:
    """Records judged, and those received later than the feed's `sla_hours` after their time."""
    feed = candidates.block.source.feed
    hours = contract.rules(feed).sla_hours
    if hours is None or feed is not Feed.TRANSACTIONS:
        return 0, 0
    oldest = received - timedelta(seconds=float(hours * 3600))
    micros = candidates.records.column("timestamp").cast(pa.int64()).to_numpy()
    late = int(np.count_nonzero(micros < int(oldest.timestamp() * 1_000_000)))
    return len(micros), late


def _swallowed(candidates: CandidateBatch) -> int:
    """A quote that is never closed takes the lines up to the next quote into its record."""
    if candidates.block.source.format != "csv":
        return 0
    raw = candidates.rejections.column("raw")
    ends = pc.count_substring(raw, b"\n")
    return int(pc.sum(ends).as_py() or 0)


def unknown_names(found: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    """Counts of unknown fields, added up."""
    return {name: found.get(name, 0) + more.get(name, 0) for name in found.keys() | more.keys()}
