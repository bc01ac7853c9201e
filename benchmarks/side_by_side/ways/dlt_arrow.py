"""dlt: Arrow batches, merged by the id."""

from benchmarks.side_by_side.model import Measured, Way
from benchmarks.side_by_side.site import Site


def run(site: Site) -> Measured:
    """Load the raw file as Arrow into a table of dlt's own."""
    measured, _ = site.peer("dlt_arrow.py")
    site.check("shop.transactions")
    return measured


WAY = Way(
    name="dlt-arrow",
    title="dlt, Arrow, merge",
    reads="raw NDJSON",
    lacks="checks, currency, rejections (one damaged record ends it), foreign keys and the other "
    "indexes, audit, order of versions, warehouse in the same run",
    run=run,
    distribution="dlt",
)
