"""pandas: read_json, then to_sql with COPY, as its documentation shows it."""

from benchmarks.side_by_side.model import Measured, Way
from benchmarks.side_by_side.site import Site


def run(site: Site) -> Measured:
    """Read the raw file into a frame and write a new table by COPY of CSV."""
    measured, _ = site.peer("pandas_copy.py")
    site.check("pandas_transactions")
    return measured


WAY = Way(
    name="pandas-copy",
    title="pandas `to_sql`, COPY",
    reads="raw NDJSON",
    lacks="as ADBC; money becomes a float, and the whole file is in memory",
    run=run,
    distribution="pandas",
)
