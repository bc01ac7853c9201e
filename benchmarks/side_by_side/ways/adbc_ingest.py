"""ADBC: Arrow batches by binary COPY into a bare table."""

from benchmarks.side_by_side.model import Measured, Way
from benchmarks.side_by_side.site import Site


def run(site: Site) -> Measured:
    """Read the raw file with pyarrow.json and ingest it into a new table."""
    measured, _ = site.peer("adbc_ingest.py")
    site.check("adbc_transactions")
    return measured


WAY = Way(
    name="adbc",
    title="pyarrow.json + ADBC ingest",
    reads="raw NDJSON",
    lacks="keys, indexes, checks, currency, rejections, corrections, audit, resuming, warehouse: a "
    "bare table of the raw fields",
    run=run,
    distribution="adbc-driver-postgresql",
)
