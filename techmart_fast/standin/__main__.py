"""Runs the stand-in: `python -m techmart_fast.standin --home DIR`."""

import sys

from techmart_fast.standin.process import main

if __name__ == "__main__":
    sys.exit(main())
