"""A simulated catalogue of products behind a REST API, as slow and as unreliable as asked for."""

from techmart_fast.dev.catalog_server.options import (
    Access,
    CatalogOptions,
    Drift,
    DriftKind,
    Faults,
    Misbehaviour,
    Pages,
    Pagination,
    RateLimit,
    RetryAfter,
)
from techmart_fast.dev.catalog_server.serving import CatalogServer
from techmart_fast.dev.catalog_server.state import Clocks
from techmart_fast.dev.catalog_server.stats import Stats

__all__ = [
    "Access",
    "CatalogOptions",
    "CatalogServer",
    "Clocks",
    "Drift",
    "DriftKind",
    "Faults",
    "Misbehaviour",
    "Pages",
    "Pagination",
    "RateLimit",
    "RetryAfter",
    "Stats",
]
