"""Tells whether bytes are UTF-8 text."""

import numpy as np
import pyarrow as pa


def is_utf8(data: bytes, start: int, stop: int) -> bool:
    """Whether `data[start:stop]` is valid UTF-8, without a copy of it."""
    offsets = pa.py_buffer(np.array([start, stop], dtype=np.int32))
    text = pa.StringArray.from_buffers(1, offsets, pa.py_buffer(data))
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
