"""pandas: read_json, then to_sql with INSERTs of many rows."""

from benchmarks.side_by_side.model import Measured, Way
from benchmarks.side_by_side.site import Site


def run(site: Site) -> Measured:
    """Read the raw file into a frame and write a new table by INSERT."""
    measured, _ = site.peer("pandas_multi.py")
    site.check("pandas_transactions")
    return measured


WAY = Way(
    name="pandas-multi",
    title="pandas `to_sql`, `method=multi`",
    reads="raw NDJSON",
    lacks="as pandas with COPY",
    run=run,
    distribution="pandas",
    most_rows=100_000,
)
