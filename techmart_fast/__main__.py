"""`python -m techmart_fast`: the command line."""

import gc

from techmart_fast.cli.main import main

_THRESHOLDS = (20_000, 20, 20)
"""Of the garbage collector, for its three generations. Most of what a run allocates are imported
modules, which stay; the default (700, 10, 10) goes through them some hundred times."""


def program() -> int:
    """Run the command line in this process, and return the exit code."""
    gc.set_threshold(*_THRESHOLDS)
    try:
        return main()
    finally:
        # The process ends, and its memory with it: nothing has to be looked for in it.
        gc.freeze()


if __name__ == "__main__":
    raise SystemExit(program())
