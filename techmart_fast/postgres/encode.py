"""Arrow to the bytes of a binary COPY, natively."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pgpq
import pyarrow as pa


def copy_bytes(records: pa.RecordBatch) -> list[bytes]:
    """The batch as a binary COPY stream, in pieces: header, rows, trailer."""
    encoder = pgpq.ArrowToPostgresBinaryEncoder(records.schema)
    return [encoder.write_header(), encoder.write_batch(records), encoder.finish()]


def with_constants(records: pa.RecordBatch, constants: Mapping[str, int]) -> pa.RecordBatch:
    """The batch with further int64 columns, each the same value in every row."""
    for name, value in constants.items():
        column = pa.array(np.full(records.num_rows, value, dtype=np.int64))
        records = records.append_column(name, column)
    return records


def with_marks(
    records: pa.RecordBatch, marks: Mapping[str, npt.NDArray[np.int32] | npt.NDArray[np.bool_]]
) -> pa.RecordBatch:
    """The batch with marking columns before its own: numpy arrays, int32 or bool."""
    arrays = [pa.array(values) for values in marks.values()]
    return pa.RecordBatch.from_arrays(
        [*arrays, *records.columns], names=[*marks, *records.schema.names]
    )
