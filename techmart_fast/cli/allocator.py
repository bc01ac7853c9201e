"""Keeps the process small: one allocator for Arrow and Python, with few arenas.

Record batches are made in one thread and freed in another. By default Arrow's pool and each of the
C library's arenas keep what they once held. By default, too, it learns from the first large buffer
that is given back to take such buffers from an arena, which they leave full of holes. Measured on
1 M transactions: a peak of 600 MB with those, of 360 to 390 MB with the settings here. With buffers
of up to 32 MiB in the arenas it is 30 MB more.
"""

import ctypes

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # from the C library's malloc.h
_ARENAS = 2
_LARGE_BYTES = 1 << 20
"""Buffers from this size on come from the kernel, and go back to it."""


def keep_memory_flat() -> None:
    """Use the C library's allocator with two arenas, and none for large buffers.

    Only the command line does this: a library must not change its host's allocator.
    """
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    tune = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, other C libraries may not
    if tune is not None:
        tune(_M_ARENA_MAX, _ARENAS)
        tune(_M_MMAP_THRESHOLD, _LARGE_BYTES)
