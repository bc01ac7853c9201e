"""Collects, column by column, the first reason for which each row of a batch is rejected."""

import numpy as np
import pyarrow as pa

from techmart_fast.reasons import REASONS
from techmart_fast.records import REJECTIONS, Block

Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]


class Verdicts:
    """First-fault-wins verdicts over the rows of one batch.

    Rules run in a fixed order (the order of the feed's fields), so the reason that a record gets
    never depends on how its block was decoded.
    """

    def __init__(self, rows: int) -> None:
        self._fault_of_row = np.zeros(rows, dtype=np.int16)
        self._faults: list[tuple[str, str]] = [("", "")]

    def reject(self, rows: Mask, code: str, field: str) -> None:
        """Give `code` to the rows of the mask that have no reason yet."""
        if not rows.any():
            return
        fault = len(self._faults)
        self._faults.append((code, field))
        self._fault_of_row[rows & (self._fault_of_row == 0)] = fault

    @property
    def accepted(self) -> Mask:
        """Rows without a reason."""
        accepted: Mask = self._fault_of_row == 0
        return accepted

    def rejections(
        self,
        block: Block,
        records: pa.RecordBatch,
        *,
        key: str,
        dates: pa.Date32Array | None,
    ) -> pa.RecordBatch:
        """The rejected rows as `REJECTIONS`.

        `records` are the decoded rows; `dates` their reporting dates where readable (all rows).
        """
        (rows,) = np.nonzero(self._fault_of_row)
        if not len(rows):
            return _NO_REJECTIONS
        # Only rejected rows come here, and each needs its own raw bytes and sentence.
        picked = records.take(pa.array(rows))
        faults = [self._faults[fault] for fault in self._fault_of_row[rows].tolist()]
        offsets = picked.column("source_offset").to_pylist()
        lengths = picked.column("source_length").to_pylist()
        starts = [offset - block.first_byte for offset in offsets]
        columns: dict[str, object] = {
            "code": [code for code, _ in faults],
            "field": [field for _, field in faults],
            "message": [REASONS[code].sentence(field) for code, field in faults],
            "source_offset": offsets,
            "source_line": picked.column("source_line").to_pylist(),
            "raw": [
                block.data[start : start + length]
                for start, length in zip(starts, lengths, strict=True)
            ],
            "record_key": picked.column(key).to_pylist(),
            "record_date": pa.nulls(len(rows)) if dates is None else dates.take(pa.array(rows)),
        }
        return pa.RecordBatch.from_pydict(columns, schema=REJECTIONS)


_NO_REJECTIONS = pa.RecordBatch.from_pylist([], schema=REJECTIONS)
