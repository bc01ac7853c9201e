"""DuckDB: read_json into Arrow; nothing is written."""

from benchmarks.side_by_side.model import Measured, Way, WayFailedError
from benchmarks.side_by_side.site import Site


def run(site: Site) -> Measured:
    """Decode the raw file with all columns typed."""
    measured, printed = site.peer("duckdb_decode.py")
    if int(printed) != site.rows:
        raise WayFailedError(f"{printed.strip()} rows were decoded, not {site.rows}")
    return measured


WAY = Way(
    name="duckdb-decode",
    title="DuckDB `read_json`, decode only",
    reads="raw NDJSON",
    lacks="everything but decoding: no row is written anywhere",
    run=run,
    distribution="duckdb",
    writes=False,
)
