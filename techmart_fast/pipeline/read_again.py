"""Rejected records read again: decoded apart, validated, enriched, and put at their positions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from techmart_fast.contract import Contract
from techmart_fast.decode import decode_apart
from techmart_fast.pipeline.prepare import Validate
from techmart_fast.postgres import WaitingRecord
from techmart_fast.records import SourceFile
from techmart_fast.transform import Enricher


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadAgain:
    """Candidates and rejections at the positions that the records had in their file.

    `places` has line and bytes of each record by its offset, as the quarantine has them, `numbers`
    its number there. `size_bytes` is that of the texts that were read.
    """

    candidates: pa.RecordBatch
    rejections: pa.RecordBatch
    places: Mapping[int, tuple[int, bytes]]
    numbers: Mapping[int, int]
    size_bytes: int


def read_again(
    records: Sequence[WaitingRecord],
    texts: Sequence[bytes],
    *,
    source: SourceFile,
    contract: Contract,
    validate: Validate,
    enricher: Enricher,
    run_started: datetime,
) -> ReadAgain:
    """Read the `texts` of `records` of one file, which are in source order.

    Raises:
        DecodeError: the file's header lacks a column that the contract requires.
    """
    decoded, starts = decode_apart(texts, source, contract)
    validated = validate(decoded, contract, run_started=run_started)
    found = enricher.enrich(validated)
    offsets = np.array([one.source_offset for one in records], dtype=np.int64)
    lines = np.array([one.source_line for one in records], dtype=np.int64)
    begins = np.array(starts, dtype=np.int64)

    def which(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
        at = batch.column("source_offset").to_numpy()
        return np.asarray(np.searchsorted(begins, at, side="right") - 1, dtype=np.int64)

    accepted, rejected = which(found.records), which(found.rejections)
    return ReadAgain(
        candidates=_with(found.records, source_offset=offsets[accepted]),
        rejections=_with(
            found.rejections, source_offset=offsets[rejected], source_line=lines[rejected]
        ),
        places={one.source_offset: (one.source_line, one.raw) for one in records},
        numbers={one.source_offset: one.number for one in records},
        size_bytes=sum(map(len, texts)),
    )


def _with(batch: pa.RecordBatch, **columns: npt.NDArray[np.int64]) -> pa.RecordBatch:
    """The batch with other values in some of its columns."""
    for name, values in columns.items():
        place = batch.schema.get_field_index(name)
        batch = batch.set_column(place, batch.schema.field(name), pa.array(values))
    return batch
