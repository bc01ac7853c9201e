"""`python -m techmart_fast`: the command line."""

from techmart_fast.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
