"""Standard streams that the caller has closed, as services and `>&-` do."""

import os
import sys

_STANDARD = (0, 1, 2)


def fill_closed_streams() -> None:
    """Open what is closed of descriptors 0 to 2 to nowhere.

    Else the next file or socket would get such a number, and be taken for the stream.
    """
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
