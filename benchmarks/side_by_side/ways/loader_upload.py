"""The loader: PostgreSQL and the uploads, without what BigQuery itself does."""

import requests

from benchmarks.side_by_side.model import Measured, Way, WayFailedError
from benchmarks.side_by_side.site import Site

_SECONDS = 30


def run(site: Site) -> Measured:
    """Load the raw transactions into a database that has their users and products."""
    stored, sent = site.count(), _received(site)
    measured = site.loader("--transactions", str(site.case.raw), dataset=site.case.dataset)
    site.check(before=stored)
    sent = _received(site) - sent
    if sent < site.rows:
        raise WayFailedError(f"{sent} rows were uploaded, not {site.rows}")
    return measured


def _received(site: Site) -> int:
    """Rows that the endpoint has received until now."""
    url = site.bench.discarding.environment["BIGQUERY_API_ENDPOINT"]
    return int(requests.get(url, timeout=_SECONDS).json()["rows"])


WAY = Way(
    name="loader",
    title="**techmart_fast**, PG + upload",
    reads="raw NDJSON",
    lacks="BigQuery's own work: load jobs go to an endpoint that accepts and discards",
    run=run,
)
