"""Runs the stand-in: `python -m techmart_fast.standin --home DIR`."""

import gc
import os
import sys

from techmart_fast.standin.process import main

if __name__ == "__main__":
    # Syntax trees are made and dropped; what is looked through each time are imported modules.
    gc.set_threshold(20_000, 20, 20)
    code = main()
    sys.stderr.flush()
    # Everything is closed. An orderly end of the interpreter only takes time: DuckDB's bindings
    # complain at length about references of their own.
    os._exit(code)
