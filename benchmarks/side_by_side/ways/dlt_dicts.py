"""dlt: Python dicts, merged by the id."""

from benchmarks.side_by_side.model import Measured, Way
from benchmarks.side_by_side.site import Site


def run(site: Site) -> Measured:
    """Load the raw file's objects into a table of dlt's own."""
    measured, _ = site.peer("dlt_dicts.py")
    site.check("shop.transactions")
    return measured


WAY = Way(
    name="dlt-dicts",
    title="dlt, Python dicts, merge",
    reads="raw NDJSON",
    lacks="as dlt with Arrow",
    run=run,
    distribution="dlt",
    most_rows=100_000,
)
