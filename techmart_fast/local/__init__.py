"""The embedded parts of a laptop: PostgreSQL from a wheel, and the BigQuery stand-in's process."""

from techmart_fast.local.endpoints import (
    LocalEndpoints,
    LocalOptions,
    LocalPostgres,
    LocalStandin,
    LocalStatus,
)
from techmart_fast.local.home import LocalHome
from techmart_fast.local.memory import peak_bytes, tree_bytes
from techmart_fast.local.supervisor import embedded, start, status, stop

__all__ = [
    "LocalEndpoints",
    "LocalHome",
    "LocalOptions",
    "LocalPostgres",
    "LocalStandin",
    "LocalStatus",
    "embedded",
    "peak_bytes",
    "start",
    "status",
    "stop",
    "tree_bytes",
]
