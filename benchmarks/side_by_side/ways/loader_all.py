"""The loader with everything: three feeds, PostgreSQL, warehouse, rollups, from nothing."""

from benchmarks.side_by_side.model import Measured, Way, WayFailedError
from benchmarks.side_by_side.site import Site


def run(site: Site) -> Measured:
    """Load all feeds into an empty database and a new dataset of the stand-in."""
    if site.bench.stand_in is None:
        raise WayFailedError("the stand-in does not run")
    case, empty = site.case, f"{site.database}_empty"
    site.bench.server.make_database(empty)
    try:
        measured = site.loader(
            *("--users", str(case.users), "--products", str(case.products)),
            *("--transactions", str(case.raw)),
            endpoint=site.bench.stand_in,
            dataset=empty,
            database=empty,
        )
        found = int(site.bench.server.ask(empty, "SELECT count(*) FROM transactions"))
    finally:
        site.bench.server.drop_database(empty)
    if found != site.rows:
        raise WayFailedError(f"{found} rows have arrived, not {site.rows}")
    return measured


WAY = Way(
    name="loader-all",
    title="**techmart_fast**, all",
    reads="raw files of all feeds",
    lacks="nothing: the stand-in merges and computes all rollups on this machine's cores, and "
    "users, products and the schema are loaded, too",
    run=run,
)
