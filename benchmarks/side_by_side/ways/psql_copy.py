r"""psql's \copy of clean rows into the final table: what most people compare with."""

from benchmarks.side_by_side.model import Measured, Way
from benchmarks.side_by_side.server import literal
from benchmarks.side_by_side.site import Site


def run(site: Site) -> Measured:
    """Copy the clean file with all keys and indexes there; the audit triggers are off."""
    site.ask("ALTER TABLE transactions DISABLE TRIGGER USER")
    measured = site.psql(f"\\copy transactions from {literal(str(site.case.clean))} csv\n")
    site.check()
    return measured


WAY = Way(
    name="psql-copy",
    title=r"psql `\copy`",
    reads="clean CSV",
    lacks="decoding, checks, currency, rejections, corrections, audit, resuming, warehouse; a "
    "second run fails",
    run=run,
)
